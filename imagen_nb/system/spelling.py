"""The known name that was probably meant by one that is not known."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any, ParamSpec, TypeVar

from imagen_nb.errors import UsageError

_Taken = ParamSpec("_Taken")
_Returned = TypeVar("_Returned")

_LONGEST_NAME = 100  # characters: what is longer is no slip of the finger
_SIMILARITY = 0.6  # 0 to 1, of a name and what was meant by it


def nearest_name(
    given: object, known: Iterable[str], similarity: float = _SIMILARITY
) -> str | None:
    """Return the known name that is most like the given one, in any case.

    None if no name is that similar (0 to 1), or what is given is no short text.
    """
    if not isinstance(given, str) or len(given) > _LONGEST_NAME:
        return None
    by_lower_case = {name.lower(): name for name in known}
    close = get_close_matches(given.lower(), [*by_lower_case], 1, similarity)
    return by_lower_case[close[0]] if close else None


def describe_meant(
    given: object, known: Iterable[str], similarity: float = _SIMILARITY
) -> str:
    """Return "; did you mean steps?" for the end of an error, or "" if none is near."""
    nearest = nearest_name(given, known, similarity)
    return f"; did you mean {nearest}?" if nearest else ""


def argument_names(function: Callable[..., Any]) -> list[str]:
    """Return the arguments that are given by name, those of `**` left out."""
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = inspect.signature(function).parameters.values()
    return [each.name for each in parameters if each.kind in by_name]


def known_arguments(
    function: Callable[_Taken, _Returned],
) -> Callable[_Taken, _Returned]:
    """Make the function raise UsageError for an argument of a name that it does not take.

    The error names what was probably meant, or all that it takes.
    """
    known = [name for name in argument_names(function) if name != "self"]

    @functools.wraps(function)
    def call(*args: _Taken.args, **kwargs: _Taken.kwargs) -> _Returned:
        for name in kwargs:
            if name not in known:
                hint = describe_meant(name, known) or f": give {', '.join(known)}"
                raise UsageError(f"unknown argument {name}{hint}")
        return function(*args, **kwargs)

    return call
