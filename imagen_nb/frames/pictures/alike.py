"""Pictures whose vectors are nearly the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imagen_nb.frames.pictures.grouping import linked_groups, near_pairs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


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

    known: Any = np.nan_to_num(vectors)

    def is_near(block: slice) -> NDArray[np.bool_]:
        return np.asarray(known[block] @ known[block.start :].T >= cosine)

    def fits(group: list[int], other: int) -> bool:
        return bool((known[group[1:]] @ known[other] >= cosine).all())

    pairs = near_pairs(len(known), is_near)
    return linked_groups(len(known), pairs, fits)
