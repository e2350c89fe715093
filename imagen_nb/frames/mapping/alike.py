"""Pictures whose vectors are nearly the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_ROWS_COMPARED_AT_ONCE = (
    512  # compared with all others at once: 40 MB for 20,000 of them
)


def group_alike(vectors: NDArray[np.float32], cosine: float) -> list[list[int]]:
    """Return the row numbers of vectors that are alike, where there are several.

    Any two of a group have at least this cosine (complete linkage). Each goes to the
    first group that it fits, and groups begin in the order of the rows.

    Args:
        vectors: (count, dimensions), of length 1; rows of NaN or zeros are like nothing.
        cosine: from where on two are alike.

    Example:
        >>> group_alike(np.array([[1, 0], [0, 1], [1, 0]], np.float32), 0.99)
        [[0, 2]]
    """
    import numpy as np

    known = np.nan_to_num(vectors)
    free = np.ones(len(known), dtype=bool)
    groups = []
    for leader, others in _near_rows(known, cosine):
        if not free[leader]:
            continue
        group, room = [leader], np.empty((0, known.shape[1]), np.float32)
        for other in map(int, others[free[others]]):
            if not len(room) or (room @ known[other]).min() >= cosine:
                group.append(other)
                room = known[group[1:]]  # all are near the leader already
        if len(group) > 1:
            free[group] = False
            groups.append(group)
    return groups


def _near_rows(
    vectors: NDArray[np.float32], cosine: float
) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Yield each row that has near ones after it, with the numbers of those."""
    import numpy as np

    for start in range(0, len(vectors), _ROWS_COMPARED_AT_ONCE):
        block: Any = vectors[start : start + _ROWS_COMPARED_AT_ONCE]
        near = block @ vectors[start:].T >= cosine
        for row in map(int, np.flatnonzero(near.sum(axis=1) > 1)):
            others = np.flatnonzero(near[row, row + 1 :]) + row + 1
            if len(others):
                yield start + row, others + start
