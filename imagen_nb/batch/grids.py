"""Grids: a mapping of names to values stands for every combination of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from imagen_nb.batch.parameters import Parameter, listed
from imagen_nb.batch.tables import Row
from imagen_nb.errors import UsageError
from imagen_nb.request.sweep_syntax import MAX_MANY, expand, parse_sizes

_SIZES = ("width", "height")


def rows(grid: Mapping[str, Any], known: Sequence[Parameter]) -> tuple[Row, ...]:
    r"""Every combination, the first name slowest.

    `prompts`, `seeds` … are the plural of a parameter's name; `sizes` are `128x192`, for width and
    height; whole numbers may be a range like `1..8`; alternatives in texts, `{red|blue} boat`,
    expand in order, and `\{` is a brace. Raises `UsageError` for a grid that is none.
    """
    axes = [_axis(str(name), value, known) for name, value in grid.items()]
    count = math.prod(map(len, axes))
    if count > MAX_MANY:
        raise UsageError(f"this grid has {count:,} jobs, more than {MAX_MANY:,}: split it")
    return tuple(
        Row(f"job {number}", {k: v for part in parts for k, v in part.items() if v is not None})
        for number, parts in enumerate(itertools.product(*axes), 1)
    )


def _axis(name: str, value: Any, known: Sequence[Parameter]) -> list[dict[str, Any]]:
    """What one line of the grid varies over."""
    by_name = {parameter.name: parameter for parameter in known}
    if name in ("size", "sizes") and name not in by_name and by_name.keys() >= {*_SIZES}:
        return [dict(zip(_SIZES, size, strict=True)) for size in _sizes(value)]
    meant = name if name in by_name or name.removesuffix("s") not in by_name else name[:-1]
    values = [choice for one in listed(by_name.get(meant), value) for choice in _choices(one)]
    if not values:
        raise UsageError(f"the grid has no values for {name!r}")
    return [{meant: one} for one in values]


def _sizes(value: Any) -> Iterable[Sequence[int]]:
    for one in value if isinstance(value, list) else [value]:
        yield from parse_sizes(str(one))


def _choices(value: Any) -> list[Any]:
    return [*expand(value)] if isinstance(value, str) else [value]
