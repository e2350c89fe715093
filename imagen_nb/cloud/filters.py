"""Values in the addresses that PostgREST is asked by."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

MAX_VALUES_PER_URL = 100  # ids or seeds in one request, whose address must stay short
_NUL_REPLACEMENT = str.maketrans({"\0": "\N{REPLACEMENT CHARACTER}"})  # as in rows

T = TypeVar("T")


def quote_literal(value: str) -> str:
    r"""Return a value in double quotes, as `in.(…)` and PostgreSQL's arrays take it."""
    escaped = value.translate(_NUL_REPLACEMENT)
    escaped = escaped.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def url_chunks(
    values: Sequence[T], most: int = MAX_VALUES_PER_URL
) -> list[Sequence[T]]:
    """Return the values in parts of at most `most`, each fit for one address."""
    return [values[start : start + most] for start in range(0, len(values), most)]


def in_filter(values: Iterable[str | int]) -> str:
    """Return the condition that a column is one of these values.

    Example:
        >>> in_filter(["a", "b"]), in_filter([1, 2])
        ('in.("a","b")', 'in.(1,2)')
    """
    texts = [str(v) if isinstance(v, int) else quote_literal(v) for v in values]
    return f"in.({','.join(texts)})"


def array_literal(values: Iterable[str]) -> str:
    """Return the values as an array of PostgreSQL: `{"a","b"}`."""
    return "{" + ",".join(map(quote_literal, values)) + "}"
