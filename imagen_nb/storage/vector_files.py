"""The files of a store of vectors: what `space.json` counts is whole, whoever died when.

A store is a folder below `<output>/.imagen/vectors/`, named by the first 16 hexadecimal
digits of the sha256 of the model's name:

    space.json               {"version": 1, "model", "dimensions", "generation", "count"}
    rows-<generation>.i8     `count` rows of `dimensions` int8, turned (`vector_numbers`)
    entries-<generation>.bin beside each row 20 bytes: the id, then the length of the row as
                             float32, little-endian; 0 for a picture that has no vector
    sent-<generation>.bin    a byte a row, 1 if the cloud has it; 0 is what is missing
    add.lock                 held by who writes

Rows are only added, behind those that count, and flushed before `space.json` counts them;
what a crash left there is written over. Nothing is ever cut off: others may have it mapped.
Whatever removes rows writes a new generation beside the old one, names it in `space.json`,
and removes the old files, which others may still have open. A reader takes no lock.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from imagen_nb.errors import StorageError
from imagen_nb.storage.catalog_schema import LOCK_TIMEOUT_S
from imagen_nb.storage.vector_ids import ID_BYTES
from imagen_nb.system.atomic import (
    explain_folder_errors,
    flush_folder,
    make_folder,
    names_in,
    remove_stale_files,
    write_atomically,
)
from imagen_nb.system.locks import describe_holder
from imagen_nb.system.terminal import print_notice

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ENTRY_BYTES = ID_BYTES + 4
_OURS = re.compile(r"(?:rows|entries|sent)-([0-9a-f]{8})\.(?:i8|bin)")
_SPACE = "space.json"
_WRITE = os.O_WRONLY | getattr(
    os, "O_BINARY", 0
)  # Windows translates line ends without it
_CREATE = os.O_CREAT | os.O_EXCL


class Space(BaseModel):
    """What `space.json` says: whose vectors these are, and how many count."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1]
    model: str
    dimensions: int = Field(gt=0)
    generation: str = Field(default="", pattern=r"^(?:[0-9a-f]{8})?$")
    count: int = Field(default=0, ge=0, lt=2**31)

    @property
    def rows(self) -> str:
        """The name of the file of rows."""
        return f"rows-{self.generation}.i8"

    @property
    def entries(self) -> str:
        """The name of the file of ids and lengths."""
        return f"entries-{self.generation}.bin"

    @property
    def sent(self) -> str:
        """The name of the file of what the cloud has."""
        return f"sent-{self.generation}.bin"

    def is_start_of(self, other: Space) -> bool:
        """Tell whether what counted then are the first of the rows that count in `other`."""
        return self.generation == other.generation and self.count <= other.count


class VectorFiles:
    """The files of one store, for any number of processes. Invariant: see the module."""

    def __init__(self, folder: Path, model: str, dimensions: int) -> None:
        """Open nothing yet. `folder` is the store's own."""
        self.folder = folder
        self._nothing = Space(version=1, model=model, dimensions=dimensions)
        self._told = False

    def load_space(self) -> Space:
        """Return what is there and whole: no rows, and no generation, if nothing is."""
        counted = self._counted()
        whole = self._whole(counted)
        while whole < counted.count:
            again = self._counted()
            if again == counted:
                self._tell(f"{counted.count - whole} of {counted.count} are cut off")
                break
            counted, whole = again, self._whole(again)  # replaced meanwhile
        return counted.model_copy(update={"count": whole})

    def read_rows(self, space: Space) -> tuple[NDArray[np.int8], NDArray[np.uint8]]:
        """Map rows, (count, dimensions), and entries, (count, 20 bytes).

        Raise `FileNotFoundError` or `ValueError` if they are no longer as `space` says.
        """
        import numpy as np

        shape, beside = (space.count, space.dimensions), (space.count, ENTRY_BYTES)
        if not space.count:
            return np.empty(shape, np.int8), np.empty(beside, np.uint8)
        return (
            np.memmap(self.folder / space.rows, np.int8, "r", shape=shape),
            np.memmap(self.folder / space.entries, np.uint8, "r", shape=beside),
        )

    def read_sent(self, space: Space) -> NDArray[np.uint8]:
        """Return for each row 1 if the cloud has it, else 0."""
        import numpy as np

        found = np.zeros(space.count, np.uint8)
        with suppress(OSError):  # then all is sent again
            data = (self.folder / space.sent).read_bytes()[: space.count]
            found[: len(data)] = np.frombuffer(data, np.uint8)
        return found

    def append(self, space: Space, rows: bytes, entries: bytes) -> None:
        """Add rows behind those of `space`, which is what `load_space` gave, locked."""
        if space.generation == "":
            self.replace([rows], [entries], bytes(len(entries) // ENTRY_BYTES))
            return
        self._write(space.rows, 0, [rows], space.count * space.dimensions)
        self._write(space.entries, 0, [entries], space.count * ENTRY_BYTES)
        added = len(entries) // ENTRY_BYTES
        self._count(space.model_copy(update={"count": space.count + added}))

    def write_sent(self, space: Space, start: int, sent: bytes) -> None:
        """Note of the rows from `start` on whether the cloud has them; locked."""
        self._write(space.sent, os.O_CREAT, [sent], start)

    def replace(
        self, rows: Iterable[bytes], entries: Iterable[bytes], sent: bytes
    ) -> None:
        """Put these in place of what is there; locked. What dies leaves the old ones."""
        space = self._new_generation()
        self._write(space.rows, _CREATE, rows)
        self._write(space.entries, _CREATE, entries)
        self._write(space.sent, _CREATE, [sent])
        flush_folder(self.folder)
        self._count(space.model_copy(update={"count": len(sent)}))
        self._remove_others(space)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep others from writing. Raise `StorageError` if one does for very long."""
        with explain_folder_errors(self.folder):
            make_folder(self.folder)
            path = self.folder / "add.lock"
            lock = FileLock(path)
            try:
                lock.acquire(timeout=LOCK_TIMEOUT_S)
            except Timeout:
                raise StorageError(
                    f"{describe_holder(path)} has been writing vectors in {self.folder} "
                    f"for {LOCK_TIMEOUT_S} seconds: wait for it or end it"
                ) from None
            try:
                yield
            finally:
                lock.release()

    def is_whole(self, space: Space) -> bool:
        """Tell whether `space`, which `load_space` gave, is all that is counted."""
        return self._counted().count == space.count

    def _counted(self) -> Space:
        try:
            space = load_space_of(self.folder)
        except StorageError as error:
            self._tell(str(error))
            return self._nothing
        if space is None:
            return self._nothing
        asked = (self._nothing.model, self._nothing.dimensions)
        if (space.model, space.dimensions) != asked:
            self._tell(f"they are of {space.model!r} in {space.dimensions} dimensions")
            return self._nothing
        return space

    def _whole(self, space: Space) -> int:
        """Return how many of the rows that are counted are there."""
        if not space.count:
            return 0
        rows = _size_of(self.folder / space.rows) // space.dimensions
        entries = _size_of(self.folder / space.entries) // ENTRY_BYTES
        return min(space.count, rows, entries)

    def _tell(self, what: str) -> None:
        if not self._told:
            self._told = True
            print_notice(
                f"vectors in {self.folder} are damaged: {what}; "
                "they are left out, and computed again by `imagen embed`"
            )

    def _new_generation(self) -> Space:
        remove_stale_files(self.folder)
        return self._nothing.model_copy(update={"generation": secrets.token_hex(4)})

    def _write(
        self, name: str, flags: int, data: Iterable[bytes], position: int = 0
    ) -> None:
        """Write from `position` on, in place of what a crash left there.

        Without `_CREATE`, raise `FileNotFoundError` if the folder was removed meanwhile, and
        perhaps made anew.
        """
        descriptor = os.open(self.folder / name, _WRITE | flags, 0o666)
        with open(descriptor, "wb") as file:
            file.seek(position)
            for part in data:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())

    def _count(self, space: Space) -> None:
        data = space.model_dump_json().encode()
        write_atomically(self.folder / _SPACE, data)
        flush_folder(self.folder)

    def _remove_others(self, space: Space) -> None:
        for name in names_in(self.folder):
            match = _OURS.fullmatch(name)
            if match and match[1] != space.generation:
                with suppress(OSError):  # open elsewhere, on Windows: the next one does
                    (self.folder / name).unlink()


def load_space_of(folder: Path) -> Space | None:
    """Return what a store's folder says of it; `None` if it says nothing.

    Raise `StorageError` if that cannot be read, or is of another version.
    """
    path = folder / _SPACE
    try:
        return Space.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValidationError):
        raise StorageError(f"{path} cannot be read by this version") from None


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size if os.access(path, os.R_OK) else 0
    except OSError:
        return 0
