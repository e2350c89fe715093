"""The pictures of a collection that are most like a direction, with their scores."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from imagen_nb.frames.finding.computing import store_of
from imagen_nb.frames.plugins.embedders import Embedder
from imagen_nb.frames.query import Query
from imagen_nb.frames.schema import history_frame
from imagen_nb.frames.sources.source import History
from imagen_nb.storage.catalog import Catalog

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

SCORE = "score"  # the column
_FEWEST = 3  # pictures whose average says something


@dataclass(frozen=True, slots=True)
class Hits:
    """Pictures, the best first, and how like they are.

    `mean`, `std` and `total` are of all pictures of the collection, these or not.
    """

    ids: list[str]
    cosines: NDArray[np.float32]
    mean: float
    std: float
    total: int

    def scores(self) -> NDArray[np.float64]:
        """Return by how many standard deviations each lies above the average.

        All 0 where there is none: of fewer than three pictures, or of equal ones.
        """
        import numpy as np

        if self.total < _FEWEST or not self.std > 1e-6:
            return np.zeros(len(self.ids))
        return (self.cosines.astype(np.float64) - self.mean) / self.std


def local_hits(
    catalogs: Sequence[Catalog], embedder: Embedder, query: NDArray[np.float32]
) -> Hits:
    """Return all pictures of the catalogs that have a vector, each once, the best first.

    Without those of which the embedder can say nothing.
    """
    import numpy as np

    found: dict[str, float] = {}
    for catalog in catalogs:
        if not catalog.has_any():
            continue
        with catalog.reader() as connection:
            rows = connection.execute("SELECT id FROM images").fetchall()
        known = {id for (id,) in rows} - found.keys()
        ids, cosines = store_of(catalog, embedder).cosines(query)
        pairs = zip(ids, cosines.tolist(), strict=True)
        found |= {id: one for id, one in pairs if id in known and one == one}
    likeness = np.fromiter(found.values(), np.float32, len(found))
    order = np.argsort(-likeness, kind="stable")
    ids = [*found]
    return Hits(
        [ids[place] for place in order],
        likeness[order],
        float(likeness.mean(dtype=np.float64)) if len(ids) else 0.0,
        float(likeness.std(dtype=np.float64)) if len(ids) else 0.0,
        len(ids),
    )


def find_pictures(
    looked_for: NDArray[np.float32],
    embedder: Embedder,
    history: History,
    query: Query,
    n: int,
    left_out: Collection[str] = (),
) -> pd.DataFrame:
    """Return the `n` best pictures that the query matches, with the column `score`."""
    hits = local_hits(history.catalogs(), embedder, looked_for)
    scores = dict(zip(hits.ids, hits.scores().tolist(), strict=True))
    ids = [id for id in hits.ids if id not in left_out]
    if query != Query():
        matching = {*history.table(query, "local")["id"].to_pylist()}
        ids = [id for id in ids if id in matching]
    best = ids[:n]
    table = history.table(replace(query, ids=tuple(best)), "local")
    frame = history_frame(table)
    order = {id: place for place, id in enumerate(best)}
    frame = frame.iloc[frame["id"].map(order).argsort()].reset_index(drop=True)
    return frame.assign(**{SCORE: frame["id"].map(scores).astype("float64")})
