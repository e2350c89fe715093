"""Checks of what a user gives: the value as it will be used, or a `UsageError`."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from typing import Any

from imagen_nb.errors import UsageError


def checked_prompt(prompt: object) -> str:
    """Return the prompt itself. Raise `UsageError` if it is blank or no UTF-8 text."""
    text = validated_text("the prompt", prompt)
    if not text.strip():
        raise UsageError("the prompt is empty: say what to draw")
    return text


def validated_text(name: str, value: object) -> str:
    """Return the text itself. Raise `UsageError` if it is no text, or not in UTF-8."""
    if not isinstance(value, str):
        raise UsageError(f"{name} must be text, not {type(value).__name__}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"{name} has half a character (lone surrogate) at position {error.start}: remove it"
        ) from None
    return value


def checked_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Return the tags, stripped, each once, in order. Raise `UsageError` for no tag."""
    if isinstance(tags, str):
        tags = (tags,)
    names = [tag.strip() if isinstance(tag, str) else tag for tag in tags]
    for name in names:
        if not isinstance(name, str) or not name or not name.isprintable():
            raise UsageError(
                f"a tag must be a line of text that is not empty, not {short_repr(name)}"
            )
    return tuple(dict.fromkeys(names))


def validated_int(name: str, value: Any, low: int, high: int) -> int:
    """Return a whole number from `low` to `high`. Raise `UsageError` for anything else."""
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None:
        raise UsageError(f"{name} must be a whole number, not {short_repr(value)}")
    if not low <= number <= high:
        raise UsageError(
            f"{name} must be {_describe_range(low, high)}, not {short_repr(number)}"
        )
    return number


def validated_float(name: str, value: Any, low: float, high: float) -> float:
    """Return a number from `low` to `high`. Raise `UsageError` for anything else."""
    try:
        number = None if isinstance(value, (bool, str)) else float(value)
    except OverflowError:
        number = math.inf
    except (TypeError, ValueError):
        number = None
    if number is None:
        raise UsageError(f"{name} must be a number, not {short_repr(value)}")
    if not (math.isfinite(number) and low <= number <= high):
        raise UsageError(
            f"{name} must be {_describe_range(f'{low:g}', f'{high:g}')}, not {number:g}"
        )
    return number + 0.0  # no negative zero


def _describe_range(low: object, high: object) -> str:
    return f"from {low} to {high}" if low != high else str(low)


def short_repr(value: object) -> str:
    """Return the value's repr on one line of at most 60 characters."""
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # Python writes no number of more than 4300 digits
        return "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:57]}..."
