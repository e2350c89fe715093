"""Groups of which any two members are near each other (complete linkage)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_ROWS_AT_ONCE = 512  # compared with all others at once: 40 MB for 10,000 of 64 bits


def near_pairs(
    count: int, is_near: Callable[[slice], NDArray[np.bool_]]
) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Yield each row that has near ones after it, with the numbers of those.

    Args:
        count: how many rows there are.
        is_near: returns, of a block of rows, which rows from the block's first one on
            each is near to: (rows of the block, count - block.start). A row is near to
            itself.
    """
    import numpy as np

    for start in range(0, count, _ROWS_AT_ONCE):
        near = is_near(slice(start, start + _ROWS_AT_ONCE))
        for row in map(int, np.flatnonzero(near.sum(axis=1) > 1)):
            others = np.flatnonzero(near[row, row + 1 :]) + row + 1
            if len(others):
                yield start + row, others + start


def linked_groups(
    count: int,
    pairs: Iterable[tuple[int, NDArray[np.intp]]],
    fits: Callable[[list[int], int], bool],
) -> list[list[int]]:
    """Return the groups of several rows, which begin in the order of the rows.

    Each row goes to the first group that it fits.

    Args:
        count: how many rows there are.
        pairs: of near ones, as of `near_pairs`.
        fits: whether a row is near all members of a group, whose first one it is near.
    """
    import numpy as np

    free = np.ones(count, dtype=bool)
    groups = []
    for leader, others in pairs:
        if not free[leader]:
            continue
        group = [leader]
        for other in map(int, others[free[others]]):
            if fits(group, other):
                group.append(other)
        free[group] = False
        if len(group) > 1:
            groups.append(group)
    return groups
