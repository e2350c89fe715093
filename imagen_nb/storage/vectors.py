"""The vectors of a folder's pictures: one store for each embedder's model.

What an embedder says of a picture can be computed again: a vector lost is no picture lost.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from filelock import FileLock, Timeout

from imagen_nb.errors import StorageError
from imagen_nb.storage.catalog_schema import LOCK_TIMEOUT_S
from imagen_nb.system.atomic import (
    explain_folder_errors,
    flush_folder,
    make_folder,
    write_atomically,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_ID_BYTES = 16
_ROWS_PER_BLOCK = 16_384  # compared at once
_LARGEST = 127  # of an int8: the largest component of a vector becomes this


class VectorStore:
    """The vectors of a folder's pictures by one model, for any number of processes.

    Each is kept as int8 in proportion to its largest component, 1 byte a dimension.

    Invariant: rows are only added. They are flushed before the file `space.json` counts
    them, so that what it counts is whole after a crash; what lies behind is written over.

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
        self._positions: dict[str, int] = {}  # by id, of the rows read so far
        self._sent: set[str] = set()

    def __len__(self) -> int:
        """Return how many vectors there are."""
        return _count_of(self.folder)

    def add(self, ids: Sequence[str], vectors: Any) -> None:
        """Keep vectors: float32, (len(ids), dimensions), of length 1 or all zeros.

        Those whose id is there already are left out. Raise `StorageError` if the folder
        cannot be written to.
        """
        import numpy as np

        rows = np.asarray(vectors, np.float32).reshape(len(ids), self.dimensions)
        with self._locked():
            known = self._load_positions()
            new = [place for place, id in enumerate(ids) if id not in known]
            if not new:
                return
            count = len(known)
            added = b"".join(UUID(ids[place]).bytes for place in new)
            _write_rows(
                self._file("vectors.i8"),
                count * self.dimensions,
                _as_int8(rows[new]).tobytes(),
            )
            _write_rows(self._file("ids.bin"), count * _ID_BYTES, added)
            flush_folder(self.folder)
            self._save_count(count + len(new))

    def missing(self, ids: Iterable[str]) -> list[str]:
        """Return those ids that have no vector yet, in their order."""
        known = self._load_positions()
        return [id for id in ids if id not in known]

    def vectors(self, ids: Sequence[str]) -> NDArray[np.float32]:
        """Return the vectors of these ids, of length 1: float32, (len(ids), dimensions).

        A row of NaN where there is none.
        """
        import numpy as np

        known = self._load_positions()
        found = np.full((len(ids), self.dimensions), np.nan, np.float32)
        places = [place for place, id in enumerate(ids) if id in known]
        rows = self._rows()
        found[places] = _as_units(rows[[known[ids[place]] for place in places]])
        return found

    def cosines(
        self, query: NDArray[np.float32]
    ) -> tuple[list[str], NDArray[np.float32]]:
        """Compare a vector, of any length, with all: return ids, and cosines beside them.

        NaN stands beside the id of a row of zeros.
        """
        import numpy as np

        ids, rows = [*self._load_positions()], self._rows()
        unit = query / np.linalg.norm(query)
        found = np.empty(len(ids), np.float32)
        for start in range(0, len(ids), _ROWS_PER_BLOCK):
            block = slice(start, start + _ROWS_PER_BLOCK)
            found[block] = _as_units(rows[block], nan=True) @ unit
        return ids, found

    def unsent(self) -> list[str]:
        """Return the ids whose vectors were not marked as sent to the cloud."""
        sent = self._load_sent()
        return [id for id in self._load_positions() if id not in sent]

    def mark_sent(self, ids: Iterable[str]) -> None:
        """Note that the cloud has these. A note lost is a vector sent again."""
        with self._locked():
            sent = self._load_sent() | {*ids}
            write_atomically(self._file("sent.bin"), _bytes_of(sorted(sent)))

    def forget_sent(self, ids: Iterable[str]) -> None:
        """Note that the cloud may no longer have these."""
        with self._locked():
            sent = self._load_sent() - {*ids}
            write_atomically(self._file("sent.bin"), _bytes_of(sorted(sent)))

    def _file(self, name: str) -> Path:
        return self.folder / name

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with explain_folder_errors(self.folder):
            make_folder(self.folder)
            lock = FileLock(self._file("add.lock"))
            try:
                lock.acquire(timeout=LOCK_TIMEOUT_S)
            except Timeout:
                raise StorageError(f"another process holds {lock.lock_file}") from None
            try:
                yield
            finally:
                lock.release()

    def _save_count(self, count: int) -> None:
        space = {"model": self.model, "dimensions": self.dimensions, "count": count}
        write_atomically(self._file("space.json"), json.dumps(space).encode())
        flush_folder(self.folder)

    def _load_positions(self) -> dict[str, int]:
        count, known = len(self), len(self._positions)
        if count > known:
            with open(self._file("ids.bin"), "rb") as file:
                file.seek(known * _ID_BYTES)
                new = _ids_of(file.read((count - known) * _ID_BYTES))
            self._positions |= {id: known + place for place, id in enumerate(new)}
        return self._positions

    def _load_sent(self) -> set[str]:
        path = self._file("sent.bin")
        return {*_ids_of(path.read_bytes())} if path.exists() else set()

    def _rows(self) -> NDArray[np.int8]:
        import numpy as np

        count = len(self._positions)
        if not count:
            return np.empty((0, self.dimensions), np.int8)
        path, shape = self._file("vectors.i8"), (count, self.dimensions)
        return np.memmap(path, np.int8, "r", shape=shape)


def stores_in(folder: Path) -> list[VectorStore]:
    """Return the stores of an output folder that have vectors."""
    found = []
    for path in sorted((folder / ".imagen" / "vectors").glob("*/space.json")):
        space = json.loads(path.read_text("utf-8"))
        found.append(VectorStore(folder, space["model"], space["dimensions"]))
    return found


def _count_of(folder: Path) -> int:
    try:
        return int(json.loads((folder / "space.json").read_text("utf-8"))["count"])
    except FileNotFoundError:
        return 0


def _write_rows(path: Path, position: int, data: bytes) -> None:
    """Write bytes from `position` on, in place of what a crash left there."""
    with open(path, "r+b" if path.exists() else "w+b") as file:
        file.truncate(position)
        file.seek(position)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _as_int8(rows: NDArray[np.float32]) -> NDArray[np.int8]:
    import numpy as np

    largest = np.abs(rows).max(axis=1, keepdims=True, initial=0)
    scaled = rows * (_LARGEST / np.where(largest > 0, largest, 1))
    return np.rint(scaled).astype(np.int8)


def _as_units(rows: NDArray[np.int8], nan: bool = False) -> NDArray[np.float32]:
    import numpy as np

    floats = rows.astype(np.float32)
    lengths = np.linalg.norm(floats, axis=1, keepdims=True)
    divisors = np.where(lengths > 0, lengths, np.nan if nan else 1).astype(np.float32)
    return np.divide(floats, divisors)


def _ids_of(data: bytes) -> list[str]:
    starts = range(0, len(data) - len(data) % _ID_BYTES, _ID_BYTES)
    return [str(UUID(bytes=data[start : start + _ID_BYTES])) for start in starts]


def _bytes_of(ids: Sequence[str]) -> bytes:
    return b"".join(UUID(id).bytes for id in ids)
