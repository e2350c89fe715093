"""The known name that was probably meant by one that is not known."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

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
