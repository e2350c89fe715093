"""What a user gives, checked: the value as it will be used, or one line that says why not."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from typing import Any

from imagen_nb.errors import UsageError


def checked_prompt(prompt: object) -> str:
    """The prompt itself. Raises `UsageError` when it is blank or is not text that can be kept."""
    said = validated_text("the prompt", prompt)
    if not said.strip():
        raise UsageError("the prompt is empty: say what to draw")
    return said


def validated_text(name: str, value: object) -> str:
    """The text itself. Raises `UsageError` for what is none, or cannot be kept."""
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
    """The tags, stripped, each once, in their order. Raises `UsageError` for what is no tag."""
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
    """A whole number from `low` to `high`. Raises `UsageError` for anything else."""
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
    """A number from `low` to `high`. Raises `UsageError` for anything else."""
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
    """The value on one short line, whatever it is."""
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # Python writes no number of more than 4300 digits
        return "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:57]}..."
