"""Text in PostgREST's filters: whatever it is, it stays text."""

from __future__ import annotations

from collections.abc import Iterable

_NUL = str.maketrans({"\0": "\N{REPLACEMENT CHARACTER}"})  # as rows have it


def quoted(value: str) -> str:
    r"""A value between double quotes, as `in.(…)` and PostgreSQL's arrays take it."""
    return '"' + value.translate(_NUL).replace("\\", "\\\\").replace('"', '\\"') + '"'


def any_of(values: Iterable[str | int]) -> str:
    """The condition that a column is one of these values: `in.("a","b")`."""
    return f"in.({','.join(str(v) if isinstance(v, int) else quoted(v) for v in values)})"


def array(values: Iterable[str]) -> str:
    """The values as an array of PostgreSQL: `{"a","b"}`."""
    return "{" + ",".join(map(quoted, values)) + "}"
