"""Vectors of many dimensions as points of a plane: what is alike lies together."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imagen_nb.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LAYOUTS = ("auto", "umap", "pca")
UMAP_INSTALL = 'pip install "imagen_nb[umap]"'
_LAYOUT_SEED = 21  # of UMAP: the same vectors give the same map
_NEIGHBOURS = 15
_FEWEST_FOR_UMAP = 2 * _NEIGHBOURS  # fewer have no neighbourhoods to speak of


@dataclass(frozen=True, slots=True)
class Projection:
    """Points of a plane. `points`: float32, (count, 2); `method`: "UMAP" or "PCA"."""

    points: NDArray[np.float32]
    method: str


def project(vectors: NDArray[np.float32], layout: str = "auto") -> Projection:
    """Return where vectors lie on a map. Equal vectors give equal maps.

    Args:
        vectors: (count, dimensions), of length 1 and without NaN.
        layout: "umap" or "pca"; "auto" is UMAP where it is installed. Fewer than 30 are
            always laid out by PCA.

    Raises:
        UsageError: for another layout, or "umap" where that is not installed.
    """
    if layout not in LAYOUTS:
        raise UsageError(f"layout is one of {', '.join(LAYOUTS)}, not {layout!r}")
    has_neighbourhoods = len(vectors) >= _FEWEST_FOR_UMAP
    umap: Any = _umap() if layout != "pca" and has_neighbourhoods else None
    if umap is None and layout == "umap" and has_neighbourhoods:
        raise UsageError(f"this layout needs umap-learn: {UMAP_INSTALL}")
    if umap is None:
        return Projection(principal_components(vectors), "PCA")
    model = umap(
        n_neighbors=_NEIGHBOURS,
        metric="cosine",
        init="pca",
        random_state=_LAYOUT_SEED,
        n_jobs=1,  # what a seed needs; UMAP warns where it has to say so itself
    )
    return Projection(model.fit_transform(vectors), "UMAP")


def _umap() -> Any:
    """Return the class UMAP, or None where umap-learn is not installed."""
    try:
        with warnings.catch_warnings():
            # That TensorFlow lacks, which nothing here needs.
            warnings.simplefilter("ignore", ImportWarning)
            from umap import UMAP
    except ImportError:
        return None
    return UMAP


def principal_components(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the two directions in which vectors differ most: float32, (count, 2)."""
    import numpy as np

    centred = vectors - vectors.mean(axis=0) if len(vectors) else vectors
    directions = np.linalg.svd(centred.T @ centred)[2][:2]
    largest = np.abs(directions).argmax(axis=1)[:, None]
    signs = np.sign(np.take_along_axis(directions, largest, axis=1))
    found = np.zeros((len(vectors), 2), np.float32)
    found[:, : len(directions)] = centred @ (directions * signs).T
    return found
