"""How like what is looked for the pictures of a gallery are: by meaning, or by look."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from imagen_nb.errors import ImagenError, UsageError
from imagen_nb.frames.finding.computing import (
    store_of,
    stored_vectors,
    vectors_of_frame,
)
from imagen_nb.frames.plugins.embedders import Embedder, unit_vectors
from imagen_nb.frames.query import is_uuid
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.vectors import VectorStore
from imagen_nb.studio.default import studio
from imagen_nb.system.terminal import counted_pictures
from imagen_nb.widgets.question import GalleryQuestion
from imagen_nb.widgets.rows import GalleryRows

if TYPE_CHECKING:
    Positions = npt.NDArray[np.int32]
    Scores = npt.NDArray[np.float32]
    Vector = npt.NDArray[np.float32]

MOST_RANKED = 200  # pictures that are shown of what the filters leave
_PICTURES_PER_LOOK = 32  # after which it can be given up
_LEAST_SPREAD = 1e-6  # of cosines: below it they are one


@dataclass(frozen=True, slots=True)
class Ranking:
    """How like what is looked for the rows are.

    Attributes:
        scores: of each row: by how many standard deviations it lies above the average
            of the frame; NaN of one that cannot be looked at.
        first: the position of the picture that others are like; None for a text.
        note: a line on what could not be looked at, or "".
    """

    scores: Scores
    first: int | None = None
    note: str = ""

    def best_of(self, positions: Positions) -> Positions:
        """Return the best of these rows, `MOST_RANKED` at most, the best first.

        Rows that were added since have no score, and are left out.
        """
        known = positions[positions < len(self.scores)]
        known = known[~np.isnan(self.scores[known])]
        scores = np.where(known == self.first, np.inf, self.scores[known])
        return known[np.argsort(-scores, kind="stable")[:MOST_RANKED]]


class PictureRanker:
    """Ranks the rows of a gallery; looks at pictures that nobody has looked at before.

    Args:
        rows: of the gallery.
        tell: called before each batch of pictures that must be looked at, with how many
            are done, and how many there are.
    """

    def __init__(self, rows: GalleryRows, tell: Callable[[int, int], None]) -> None:
        self._rows, self._tell = rows, tell
        # Kept, as it takes longer to find one than to ask it.
        self._embedder: Embedder | None = None
        self._unseen: set[str] = set()  # ids of pictures that cannot be had

    def rank(
        self, question: GalleryQuestion, go_on: Callable[[], bool]
    ) -> Ranking | None:
        """Return how the rows rank; None if `go_on`, asked now and then, said no.

        Raises:
            UsageError: for a text that the embedder knows no word of.
            ImagenError: if there is no embedder, it cannot be loaded, or the picture
                that others shall be like cannot be had.
        """
        if not go_on():
            return None
        self._embedder = embedder = self._embedder or studio().embedder()
        catalogs = studio().lookup.catalogs()
        stores = [store_of(catalog, embedder) for catalog in catalogs]
        query = self._query_of(question, stores, embedder, catalogs)
        if not self._look_at_others(stores, embedder, catalogs, go_on):
            return None
        likeness = self._cosines(stores, query)
        return Ranking(_scores_of(likeness), question.like, self._note())

    def _query_of(
        self,
        question: GalleryQuestion,
        stores: Sequence[VectorStore],
        embedder: Embedder,
        catalogs: Sequence[Catalog],
    ) -> Vector:
        if question.like is None:
            return _vector_of_text(question.words, embedder)
        id = self._rows.id_of(question.like)
        (vector,) = stored_vectors([id], stores, embedder.dimensions)
        if np.isnan(vector).any():
            (vector,) = self._vectors([question.like], embedder, catalogs)
        if np.isnan(vector).any():
            raise ImagenError("this picture cannot be had: nothing can be like it")
        if not vector.any():
            raise ImagenError(
                f"the embedder {embedder.model} can say nothing of this picture"
            )
        row: Vector = vector
        return row

    def _look_at_others(
        self,
        stores: Sequence[VectorStore],
        embedder: Embedder,
        catalogs: Sequence[Catalog],
        go_on: Callable[[], bool],
    ) -> bool:
        """Look at the pictures that no store knows; return whether that was all done."""
        lacking = self._lacking(stores)
        for start in range(0, len(lacking), _PICTURES_PER_LOOK):
            if not go_on():
                return False
            self._tell(start, len(lacking))
            part = lacking[start : start + _PICTURES_PER_LOOK]
            vectors = self._vectors(part, embedder, catalogs)
            unseen = np.flatnonzero(np.isnan(vectors[:, 0]))
            self._unseen |= {self._rows.id_of(part[place]) for place in unseen.tolist()}
        return True

    def _vectors(
        self, at: Sequence[int], embedder: Embedder, catalogs: Sequence[Catalog]
    ) -> npt.NDArray[np.float32]:
        """Return the vectors of these, a row each; those that are made are kept."""
        return vectors_of_frame(
            self._rows.frame_at(at),
            embedder,
            catalogs,
            studio().reader(),
            progress=False,
            notify=lambda _: None,  # the view says how many, not the cell
        )

    def _lacking(self, stores: Sequence[VectorStore]) -> list[int]:
        """Return a position of each picture that no store knows and that can be had."""
        ids = self._rows.ids()
        lacking = ids
        for store in stores:
            lacking = store.missing(lacking)
        if not lacking:
            return []
        wanted = {id for id in lacking if is_uuid(id)} - self._unseen
        at = {id: place for place, id in enumerate(ids) if id in wanted}
        return sorted({*at.values()} - self._rows.gone)

    def _cosines(self, stores: Sequence[VectorStore], query: Vector) -> Scores:
        """Return the cosine of each row; NaN where no store has its vector."""
        import pandas as pd

        wanted = pd.Index(self._rows.ids())
        found = np.full(len(wanted), np.nan, np.float32)
        for store in stores:
            ids, cosines = store.cosines(query)
            if len(ids):
                places = pd.Index(ids).get_indexer(wanted)
                is_new = (places >= 0) & np.isnan(found)
                found[is_new] = cosines[places[is_new]]
        return found

    def _note(self) -> str:
        if not self._unseen:
            return ""
        return f"{counted_pictures(len(self._unseen))} cannot be had, and left out"


def _vector_of_text(text: str, embedder: Embedder) -> Vector:
    vectors = unit_vectors(embedder.embed_texts([text]), embedder, 1)
    if not vectors.any():
        raise UsageError(
            f"the embedder {embedder.model} knows no word of {text!r}:"
            " say it in other words"
        )
    vector: Vector = vectors[0]
    return vector


def _scores_of(cosines: Scores) -> Scores:
    """Return by how many standard deviations each lies above the average; 0 if none does."""
    seen = cosines[~np.isnan(cosines)].astype(np.float64)
    if not len(seen) or seen.std() < _LEAST_SPREAD:
        return np.where(np.isnan(cosines), cosines, np.float32(0))
    scores: Scores = ((cosines - seen.mean()) / seen.std()).astype(np.float32)
    return scores
