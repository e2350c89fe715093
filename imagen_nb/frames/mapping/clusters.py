"""Clusters of pictures by their vectors, named by the words of their prompts."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

from imagen_nb.errors import UsageError
from imagen_nb.frames.mapping.naming import cluster_names
from imagen_nb.frames.mapping.projection import UMAP_INSTALL
from imagen_nb.frames.schema import prompts_of

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

CLUSTER = "cluster"  # the column
_KMEANS_SEED = 21  # the same vectors give the same clusters
# Numbers of clusters.
_CANDIDATES = (2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32)
_JUDGED = 2_000  # vectors by which the number is chosen
_STARTS = 4  # of k-means, of which the best counts


def add_clusters(
    frame: pd.DataFrame, vectors: NDArray[np.float32], n: int | None
) -> pd.DataFrame:
    """Return the frame with the column `cluster`, as `Accessor.clusters` documents.

    Args:
        frame: its column `prompt`, if it has one, gives the words.
        vectors: of its pictures: (len(frame), dimensions), of length 1; of NaN or zeros
            where nothing can be said.
        n: how many clusters; None chooses.

    Raises:
        UsageError: for an `n` that is no number from 1 on, or without scikit-learn.
    """
    import numpy as np
    import pandas as pd

    numbers = cluster_numbers(vectors, n)
    names = cluster_names(numbers, prompts_of(frame))
    column = [names[number] if number >= 0 else np.nan for number in numbers.tolist()]
    return frame.assign(**{CLUSTER: pd.array(column, dtype="str")})


def cluster_numbers(vectors: NDArray[np.float32], n: int | None) -> NDArray[np.int64]:
    """Return the cluster of each vector, 0 the largest one; -1 for none.

    k-means with a fixed seed. Of None, the number of clusters is the one whose
    silhouette is best.
    """
    import numpy as np

    wanted = _validated_clusters(n)
    kmeans = _require_kmeans()
    numbers = np.full(len(vectors), -1)
    known = np.flatnonzero(has_vector(vectors))
    if not len(known):
        return numbers
    rows = vectors[known]
    different = len(np.unique(rows, axis=0))
    count = min(wanted or _best_count(rows, different, kmeans), different)
    found = kmeans(count).fit_predict(rows)
    order = np.argsort(-np.bincount(found, minlength=count), kind="stable")
    numbers[known] = np.argsort(order)[found]
    return numbers


def has_vector(vectors: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return which rows are vectors, neither NaN nor zeros: (count,)."""
    import numpy as np

    return np.asarray(np.nan_to_num(vectors).any(axis=1))


def _validated_clusters(n: int | None) -> int | None:
    try:
        count = None if n is None else operator.index(n)
    except TypeError:
        count = 0
    if count is not None and count < 1:
        raise UsageError(f"n is how many clusters, 1 or more, or None, not {n!r}")
    return count


def _require_kmeans() -> Any:
    """Return what makes a k-means of so many clusters; UsageError without the library."""
    try:
        from sklearn.cluster import KMeans
    except ImportError:
        raise UsageError(f"clusters need scikit-learn: {UMAP_INSTALL}") from None
    return lambda count: KMeans(count, n_init=_STARTS, random_state=_KMEANS_SEED)


def _best_count(rows: NDArray[np.float32], different: int, kmeans: Any) -> int:
    """Return the number of clusters that are best told apart: by the silhouette."""
    import numpy as np
    from sklearn.metrics import silhouette_score

    step = -(-len(rows) // _JUDGED)
    judged = rows[::step]
    most = min(different, len(np.unique(judged, axis=0)), len(judged) - 1)
    scores = {
        count: silhouette_score(judged, kmeans(count).fit_predict(judged))
        for count in _CANDIDATES
        if count <= most
    }
    return max(scores, key=scores.__getitem__, default=1)
