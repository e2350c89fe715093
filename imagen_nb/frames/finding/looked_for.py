"""One direction in an embedder's space, from what is wanted and what is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagen_nb.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Of what is wanted, 1. More leads away from what is meant, less leaves what is not in it.
_WEIGHT_OF_UNWANTED = 0.4


def query_vector(
    wanted: NDArray[np.float32], unwanted: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return a vector, of length 1, that points to what is wanted and away from the rest.

    Args:
        wanted: vectors of length 1: (k, dimensions).
        unwanted: likewise; k may be 0 of one of both.

    Raises:
        UsageError: if nothing is left, as the same is wanted and unwanted.
    """
    import numpy as np

    direction = _average(wanted) - _WEIGHT_OF_UNWANTED * _average(unwanted)
    length = np.linalg.norm(direction)
    if length < 1e-3:
        raise UsageError("nothing is left to look for: the same is wanted and unwanted")
    unit: NDArray[np.float32] = (direction / length).astype(np.float32)
    return unit


def _average(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the average, of length 1; zeros of none."""
    import numpy as np

    total: NDArray[np.float32] = vectors.sum(axis=0)
    length = np.linalg.norm(total)
    return total / length if length > 0 else total
