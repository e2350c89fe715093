"""The vectors of a folder's pictures: one store for each embedder's model.

What an embedder says of a picture can be computed again: a vector lost is no picture lost.
The format of the files is told in `vector_files`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagen_nb.errors import StorageError
from imagen_nb.storage.vector_files import Space, VectorFiles, load_space_of
from imagen_nb.storage.vector_ids import (
    ID_BYTES,
    IdIndex,
    are_ids,
    ids_as_bytes,
    ids_as_texts,
)
from imagen_nb.storage.vector_numbers import (
    as_int8,
    as_units,
    exact_dots,
    largest_of,
    near_cosines,
    turned_unit,
)
from imagen_nb.system.terminal import print_notice

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_COPIED_ROWS = 16_384  # at once
_MAX_DEAD_SHARE = 0.2  # of the rows; with more, the store is written anew
# Rows compared again without rounding the query.
_RESCORED_PER_HIT, _MIN_RESCORED = 4, 200


@dataclass(frozen=True, slots=True)
class Nearest:
    """The vectors nearest to a query, best first, and what cosines are usual.

    `mean` and `std` are of the cosines of all `total` vectors of a store, NaN if there are
    none.
    """

    ids: list[str]
    cosines: NDArray[np.float32]
    mean: float
    std: float
    total: int


class VectorStore:
    """The vectors of a folder's pictures by one model, for any number of processes.

    Each is kept as int8 in proportion to its largest component. All are compared with a
    query: 1 ms for 25,000 of 512. In memory are 32 bytes a vector, the rest is mapped.

    Invariant: what was read stays as it was, whatever others write; `_rows` is replaced as
    a whole when there is more, or other files are in its place.

    Example:
        >>> store = VectorStore(Path("pictures"), "tiny-1", 2)
        >>> store.add([str(picture.record.id)], [[0.6, 0.8]])
        >>> len(store)
        1
    """

    def __init__(self, folder: Path, model: str, dimensions: int) -> None:
        """Open nothing yet.

        Args:
            folder: the output folder.
            model: the embedder's, as `Embedder.model`.
            dimensions: of a vector.
        """
        self.model, self.dimensions = model, dimensions
        name = hashlib.sha256(model.encode()).hexdigest()[:16]
        self.folder = folder / ".imagen" / "vectors" / name
        self._files = VectorFiles(self.folder, model, dimensions)
        self._rows: _Rows | None = None

    def __len__(self) -> int:
        """Return how many vectors there are."""
        return self._files.load_space().count

    def add(self, ids: Sequence[str], vectors: Any) -> None:
        """Keep vectors: float32, (len(ids), dimensions), of length 1 or all zeros.

        Those whose id is there already, or is none, are left out. Raise `StorageError` if
        the folder cannot be written to.
        """
        import numpy as np

        wanted = ids_as_bytes(ids)
        given = np.asarray(vectors, np.float32).reshape(len(ids), self.dimensions)
        with self._files.locked():
            known = self._load_whole()
            absent = np.flatnonzero(known.index.places(wanted) < 0)
            _, firsts = np.unique(wanted[absent], axis=0, return_index=True)
            new = absent[np.sort(firsts[are_ids(wanted[absent[firsts]])])]
            if len(new):
                rows, lengths = as_int8(given[new], self.dimensions)
                beside = lengths.astype("<f4").view(np.uint8).reshape(-1, 4)
                entries = np.hstack([wanted[new], beside])
                self._files.append(known.space, rows.tobytes(), entries.tobytes())

    def missing(self, ids: Iterable[str]) -> list[str]:
        """Return those ids that have no vector yet, in their order."""
        asked = [*ids]
        places = self._load().index.places(ids_as_bytes(asked))
        return [id for id, place in zip(asked, places, strict=True) if place < 0]

    def vectors(self, ids: Sequence[str]) -> NDArray[np.float32]:
        """Return the vectors of these ids, of length 1: float32, (len(ids), dimensions).

        A row of NaN where there is none.
        """
        import numpy as np

        known = self._load()
        places = known.index.places(ids_as_bytes(ids))
        found = np.full((len(ids), self.dimensions), np.nan, np.float32)
        there = places[places >= 0]
        found[places >= 0] = as_units(known.rows[there], known.lengths[there])
        return found

    def cosines(
        self, query: NDArray[np.float32]
    ) -> tuple[list[str], NDArray[np.float32]]:
        """Compare a vector, of any length, with all: return ids, and cosines beside them.

        NaN stands beside the id of a row of zeros.
        """
        known = self._load()
        found = exact_dots(known.rows, turned_unit(query)) * known.inverses
        return ids_as_texts(known.ids), found

    def best(
        self,
        query: NDArray[np.float32],
        count: int,
        among: Iterable[str] | None = None,
    ) -> Nearest:
        """Return the `count` vectors nearest to one, of any length, best first.

        Rows of zeros are none. With `among`, only those of these ids; `mean` and `std` are
        of all even so.

        Example:
            >>> store = VectorStore(Path("pictures"), "tiny-1", 2)
            >>> store.add([str(picture.record.id)], [[0.6, 0.8]])
            >>> nearest = store.best([3.0, 4.0], 5)
            >>> len(nearest.ids), round(nearest.mean, 2)
            (1, 1.0)
        """
        import numpy as np

        known, unit = self._load(), turned_unit(query)
        near = near_cosines(known.rows, known.inverses, unit)
        allowed = None if among is None else known.places_of([*among])
        most = _RESCORED_PER_HIT * count + _MIN_RESCORED
        rescored = largest_of(near.values, most, allowed)
        exact = (known.rows[rescored] @ unit) * known.inverses[rescored]
        order = np.argsort(-exact, kind="stable")[:count]
        return Nearest(
            ids=ids_as_texts(known.ids[rescored[order]]),
            cosines=exact[order],
            mean=near.mean,
            std=near.std,
            total=near.total,
        )

    def unsent(self) -> list[str]:
        """Return the ids whose vectors were not marked as sent to the cloud."""
        known = self._load()
        return ids_as_texts(known.ids[self._files.read_sent(known.space) == 0])

    def mark_sent(self, ids: Iterable[str]) -> None:
        """Note that the cloud has these. A note lost is a vector sent again.

        Ids without a vector here are left out.
        """
        self._note_sent([*ids], 1)

    def forget_sent(self, ids: Iterable[str]) -> None:
        """Note that the cloud may no longer have these."""
        self._note_sent([*ids], 0)

    def keep_only(self, ids: Iterable[str]) -> int:
        """Remove all other vectors, if they are more than a fifth; return how many.

        Who reads meanwhile goes on with what was there. Raise `StorageError` if the folder
        cannot be written to.

        Example:
            >>> store = VectorStore(Path("pictures"), "tiny-1", 2)
            >>> store.add([str(picture.record.id)], [[0.6, 0.8]])
            >>> store.keep_only([])
            1
        """
        wanted = [*ids]
        with self._files.locked():
            known = self._load()
            kept = known.places_of(wanted)
            dead = known.space.count - len(kept)
            if dead <= _MAX_DEAD_SHARE * known.space.count:
                return 0
            self._replace(known, kept)
            return dead

    def _note_sent(self, ids: list[str], sent: int) -> None:
        with self._files.locked():
            known = self._load_whole()
            places = known.places_of(ids)
            if len(places):
                notes = self._files.read_sent(known.space)
                notes[places] = sent
                start, stop = int(places[0]), int(places[-1]) + 1
                self._files.write_sent(known.space, start, notes[start:stop].tobytes())

    def _load_whole(self) -> _Rows:
        """Return what is there; locked. What is damaged is taken out first."""
        import numpy as np

        known = self._load()
        if not self._files.is_whole(known.space):
            self._replace(known, np.arange(known.space.count))
            known = self._load()
        return known

    def _replace(self, known: _Rows, kept: NDArray[np.int64]) -> None:
        sent = self._files.read_sent(known.space)[kept].tobytes()
        rows, entries = _blocks(known.rows, kept), _blocks(known.entries, kept)
        self._files.replace(rows, entries, sent)

    def _load(self) -> _Rows:
        while True:
            space, before = self._files.load_space(), self._rows
            if before and before.space == space:
                return before
            try:
                rows, entries = self._files.read_rows(space)
            except (FileNotFoundError, ValueError):
                continue  # replaced, or cut off, meanwhile
            known = _Rows(space, rows, entries, before)
            self._rows = known
            return known


class _Rows:
    """The rows of a store as they were when it was read."""

    def __init__(
        self,
        space: Space,
        rows: NDArray[np.int8],
        entries: NDArray[np.uint8],
        before: _Rows | None,
    ) -> None:
        """`before`: what was read before, whose index may be of the first of these."""
        self.space, self.rows, self.entries = space, rows, entries
        self._index_before: IdIndex | None = None
        if before and before.space.is_start_of(space):
            self._index_before = before.__dict__.get("index") or before._index_before

    @cached_property
    def ids(self) -> NDArray[np.uint8]:
        """The ids: (count, 16)."""
        return self.entries[:, :ID_BYTES]

    @cached_property
    def lengths(self) -> NDArray[np.float32]:
        """The lengths of the rows: 0 where there is no vector."""
        import numpy as np

        return np.ascontiguousarray(self.entries[:, ID_BYTES:]).view("<f4")[:, 0]

    @cached_property
    def inverses(self) -> NDArray[np.float32]:
        """What makes a scalar product with a row a cosine: NaN where there is no vector."""
        import numpy as np

        nothing = np.full_like(self.lengths, np.nan)
        return np.divide(1, self.lengths, out=nothing, where=self.lengths > 0)

    @cached_property
    def index(self) -> IdIndex:
        """Where each id stands."""
        import numpy as np

        index = IdIndex(np.asarray(self.ids), self._index_before)
        self._index_before = None
        return index

    def places_of(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """Return where those of these ids stand that are there, each once, in order."""
        import numpy as np

        places = np.unique(self.index.places(ids_as_bytes(ids)))
        return places[places >= 0]


def stores_in(folder: Path) -> list[VectorStore]:
    """Return the stores of an output folder that have vectors; tell which are damaged."""
    found = []
    for path in sorted((folder / ".imagen" / "vectors").glob("*/space.json")):
        try:
            space = load_space_of(path.parent)
        except StorageError as error:
            print_notice(f"{error}: its vectors are computed again by `imagen embed`")
            continue
        if space:
            store = VectorStore(folder, space.model, space.dimensions)
            if store.folder == path.parent:  # else somebody has copied it here
                found.append(store)
    return found


def _blocks(rows: NDArray[Any], kept: NDArray[np.int64]) -> Iterator[bytes]:
    for start in range(0, len(kept), _COPIED_ROWS):
        yield rows[kept[start : start + _COPIED_ROWS]].tobytes()
