"""How like pictures are what is looked for: of this machine, of the cloud, of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imagen_nb.cloud.client import Cloud
from imagen_nb.frames.finding.computing import store_of
from imagen_nb.frames.plugins.embedders import Embedder
from imagen_nb.storage.catalog import Catalog

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_FEWEST = 3  # pictures whose average says something
_NO_DEVIATION = 1e-6  # of cosines: what rounding makes of equal ones


@dataclass(frozen=True, slots=True)
class Hits:
    """Pictures, the best first, and how like they are.

    Attributes:
        ids: the pictures'.
        cosines: beside them: float32, never NaN.
        mean: of the cosines of all pictures of the collection, these or not.
        std: their standard deviation.
        total: how many they are.
    """

    ids: list[str]
    cosines: NDArray[np.float32]
    mean: float
    std: float
    total: int

    def scores(self) -> list[float]:
        """Return by how many standard deviations each lies above the average.

        All 0 where that says nothing: of fewer than three pictures, or of equal ones.
        """
        return z_scores(self.cosines, self.mean, self.std, self.total)


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
) -> Hits:
    """Return at most `count` pictures of each catalog that have a vector, or of these.

    Some may be deleted pictures, whose vectors are left for a while.
    """
    import numpy as np

    found = Hits([], np.empty(0, np.float32), 0.0, 0.0, 0)
    for catalog in catalogs:
        near = store_of(catalog, embedder).best(query, count, ids)
        if near.total:
            here = Hits(near.ids, near.cosines, near.mean, near.std, near.total)
            found = both_hits(found, here)
    return found


def cloud_hits(
    cloud: Cloud,
    embedder: Embedder,
    query: NDArray[np.float32],
    count: int,
    ids: Sequence[str] | None = None,
) -> Hits:
    """Return at most `count` of the user's pictures in the cloud, or of these.

    Raises:
        NoVectorsError: if the database has no vectors.
        CloudError: if the cloud does not answer.
    """
    from imagen_nb.cloud.vectors import find_in_cloud

    found = find_in_cloud(cloud, embedder.model, query, count, ids)
    return Hits(found.ids, found.cosines, found.mean, found.std, found.total)


def both_hits(here: Hits, there: Hits) -> Hits:
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
) -> Hits:
    import numpy as np

    order = np.argsort(-cosines, kind="stable")
    best = [ids[place] for place in order.tolist()]
    return Hits(best, cosines[order], mean, std, total)
