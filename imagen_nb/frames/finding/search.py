"""The pictures of a history that are most like what is looked for, with their scores."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from imagen_nb.cloud.account import NOT_CONFIGURED
from imagen_nb.cloud.client import Cloud
from imagen_nb.errors import CloudError, UsageError
from imagen_nb.frames.finding.hits import both_hits, cloud_hits, local_hits, scores_of
from imagen_nb.frames.plugins.embedders import Embedder
from imagen_nb.frames.query import Query
from imagen_nb.frames.schema import history_frame
from imagen_nb.frames.sources.source import History, require_source
from imagen_nb.storage.vectors import Nearest
from imagen_nb.system.terminal import print_notice

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray

SCORE = "score"  # the column
_ROWS_PER_HIT = 4  # looked at first, for those that the conditions leave out


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for, among which pictures.

    Attributes:
        history: of the session.
        embedder: whose vectors are compared.
        query: a vector of it, of length 1.
        conditions: that pictures must meet; without a limit.
        n: how many at most.
        left_out: ids of pictures that are not to be found.
    """

    history: History
    embedder: Embedder
    query: NDArray[np.float32]
    conditions: Query
    n: int
    left_out: Collection[str] = ()

    def run(self, source: str) -> pd.DataFrame:
        """Return the best pictures, best first, with the column `score`.

        Args:
            source: one of `SOURCES`. "auto" is both, or only this machine where the
                cloud does not answer or has no vectors: a line on stderr says so.

        Raises:
            UsageError: if there is no such source, or no cloud is configured for it.
            CloudError: if the source is cloud or merged and cannot be searched.
            StorageError: if a catalog cannot be read.
        """
        require_source(source)
        if source != "auto":
            return self._run(source)
        if self.history.cloud() is None:
            return self._run("local")
        try:
            return self._run("merged")
        except CloudError as error:
            print_notice(f"find: among the pictures of this machine only: {error}")
            return self._run("local")

    def _run(self, source: str) -> pd.DataFrame:
        hits = self._hits(source, None)
        ids = self._wanted(hits.ids)
        table = self.history.table(replace(self.conditions, ids=tuple(ids)), source)
        if table.num_rows < self.n and len(hits.ids) >= self._count:
            table = self.history.table(self.conditions, source)
            hits = self._hits(source, table["id"].to_pylist())
        return self._best(table, hits)

    @property
    def _count(self) -> int:
        """How many hits are looked at: the conditions leave some out."""
        return self.n * _ROWS_PER_HIT + len(self.left_out)

    def _hits(self, source: str, ids: Sequence[str] | None) -> Nearest:
        """Return the best of this machine, of the cloud, or of both; or of these ids."""
        if source == "local":
            return self._local(ids)
        there = cloud_hits(self._cloud(), self.embedder, self.query, self._count, ids)
        return there if source == "cloud" else both_hits(self._local(ids), there)

    def _local(self, ids: Sequence[str] | None) -> Nearest:
        catalogs = self.history.catalogs()
        return local_hits(catalogs, self.embedder, self.query, self._count, ids)

    def _cloud(self) -> Cloud:
        cloud = self.history.cloud()
        if cloud is None:
            raise UsageError(f"nothing to find in the cloud: {NOT_CONFIGURED}")
        return cloud

    def _wanted(self, ids: Sequence[str]) -> list[str]:
        """Return the ids without those that are left out, and of those asked for only."""
        asked = self.conditions.ids
        chosen = None if asked is None else {*asked}
        left = ids if chosen is None else [id for id in ids if id in chosen]
        return [id for id in left if id not in self.left_out]

    def _best(self, table: pa.Table, hits: Nearest) -> pd.DataFrame:
        """Return the best rows of a table, best first, with their scores."""
        import pyarrow as pa

        places = {id: place for place, id in enumerate(table["id"].to_pylist())}
        found = [
            (places[id], score)
            for id, score in zip(hits.ids, scores_of(hits), strict=True)
            if id in places and id not in self.left_out
        ][: self.n]
        rows = pa.array([place for place, _ in found], pa.int64())
        frame = history_frame(table.take(rows))
        return frame.assign(**{SCORE: [score for _, score in found]}).astype(
            {SCORE: "float64"}
        )
