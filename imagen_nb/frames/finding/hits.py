"""How like pictures are what is looked for: of this machine, of the cloud, of both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from imagen_nb.cloud.client import Cloud
from imagen_nb.frames.finding.computing import store_of
from imagen_nb.frames.plugins.embedders import Embedder
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.vectors import Nearest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_FEWEST = 3  # pictures whose average says something
_NO_DEVIATION = 1e-6  # of cosines: what rounding makes of equal ones


def scores_of(hits: Nearest) -> list[float]:
    """Return by how many standard deviations each lies above the average.

    All 0 where that says nothing: of fewer than three pictures, or of equal ones.
    """
    return z_scores(hits.cosines, hits.mean, hits.std, hits.total)


def z_scores(
    cosines: NDArray[np.float32], mean: float, std: float, total: int
) -> list[float]:
    """Return by how many deviations cosines lie above the average of `total` pictures."""
    import numpy as np

    if total < _FEWEST or not std > _NO_DEVIATION:
        return [0.0] * len(cosines)
    scores: list[float] = ((cosines.astype(np.float64) - mean) / std).tolist()
    return scores


def local_hits(
    catalogs: Sequence[Catalog],
    embedder: Embedder,
    query: NDArray[np.float32],
    count: int,
    ids: Sequence[str] | None = None,
) -> Nearest:
    """Return at most `count` pictures of each catalog that have a vector, or of these.

    Some may be deleted pictures, whose vectors are left for a while.
    """
    import numpy as np

    found = Nearest([], np.empty(0, np.float32), np.nan, np.nan, 0)
    for catalog in catalogs:
        here = store_of(catalog, embedder).best(query, count, ids)
        found = both_hits(found, here)
    return found


def cloud_hits(
    cloud: Cloud,
    embedder: Embedder,
    query: NDArray[np.float32],
    count: int,
    ids: Sequence[str] | None = None,
) -> Nearest:
    """Return at most `count` of the user's pictures in the cloud, or of these.

    Raises:
        NoVectorsError: if the database has no vectors.
        CloudError: if the cloud does not answer.
    """
    from imagen_nb.cloud.vectors import find_in_cloud

    return find_in_cloud(cloud, embedder.model, query, count, ids)


def both_hits(here: Nearest, there: Nearest) -> Nearest:
    """Return the pictures of two collections, each once, on one scale.

    What both have is as like as here. Average and deviation are those of the larger
    collection, here where both are equally large.
    """
    import numpy as np

    known = {*here.ids}
    new = [place for place, id in enumerate(there.ids) if id not in known]
    cosines = np.concatenate([here.cosines, there.cosines[new]])
    ids = [*here.ids, *(there.ids[place] for place in new)]
    larger = there if there.total > here.total else here
    return _best_first(ids, cosines, larger.mean, larger.std, larger.total)


def _best_first(
    ids: Sequence[str],
    cosines: NDArray[np.float32],
    mean: float,
    std: float,
    total: int,
) -> Nearest:
    import numpy as np

    order = np.argsort(-cosines, kind="stable")
    best = [ids[place] for place in order.tolist()]
    return Nearest(best, cosines[order], mean, std, total)
