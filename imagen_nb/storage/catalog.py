"""The catalog: a SQLite index of the pictures in an output folder and their copies.

The sidecars are the truth: `imagen reindex` rebuilds a lost catalog from them.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

from imagen_nb.storage.catalog_rows import (
    insert_rows,
    move_row,
    move_unsent_tags,
    saved_row,
    upsert_rows,
)
from imagen_nb.storage.catalog_schema import (
    LOCK_TIMEOUT_S,
    inode_of,
    is_busy,
    is_read_only,
    open_catalog,
    open_copy,
    translated_sqlite_errors,
)
from imagen_nb.storage.mending import enter_missing
from imagen_nb.storage.names import is_sidecar
from imagen_nb.storage.output import (
    SavedPicture,
    load_sidecar,
    require_picture,
    rewrite_sidecar,
)
from imagen_nb.storage.record import Record
from imagen_nb.storage.sidecar_lock import locked_sidecars
from imagen_nb.storage.trash_moves import finish_moves, is_in_trash, tend_trash
from imagen_nb.system.atomic import flush_folder, names_in
from imagen_nb.system.clock import SYSTEM_CLOCK, SystemClock
from imagen_nb.system.forks import start_anew_in_forks
from imagen_nb.system.paths import absolute_path

CLOUD_STATES = ("pending", "synced", "off", "failed")
_IMPATIENT_MS = 500  # to wait for others after having waited in vain

# Connections of a parent process, kept as a child may neither use nor close them.
_INHERITED_CONNECTIONS: list[sqlite3.Connection] = []


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """A picture in the catalog. Paths are absolute.

    `cloud_state` is one of `CLOUD_STATES`.
    """

    record: Record
    path: Path
    sidecar_path: Path
    cloud_state: str
    cloud_error: str | None = None

    @property
    def cloud(self) -> str:
        """The state of its copy: pending, synced, off, or "failed: <the reason>"."""
        failed = self.cloud_state == "failed"
        return f"failed: {self.cloud_error}" if failed else self.cloud_state

    def saved(self) -> SavedPicture:
        """Return its files, with the record as the sidecar has it now.

        That of the catalog where the sidecar is missing or torn. Whoever changes it
        holds `Catalog.sidecar_lock`.
        """
        record = load_sidecar(self.sidecar_path) or self.record
        return SavedPicture(self.path, self.sidecar_path, record)


class Catalog:
    """The catalog of one folder, for any number of threads and processes.

    Invariant: there is one connection, behind a lock (SQLite allows one write at a time
    anyway); a forked child opens its own. Readers see what `add` returned from.

    Example:
        >>> catalog = Catalog("pictures")
        >>> [entry.path.name for entry in catalog.latest(10)]
        []
    """

    clock: SystemClock = SYSTEM_CLOCK

    def __init__(self, folder: Path | str, *, mends: bool = True) -> None:
        """Open nothing yet: the first picture or question makes the file.

        `mends`: enter pictures whose rows are missing when it is opened.
        """
        self.folder, self._mends = absolute_path(folder), mends
        self.path = self.folder / ".imagen" / "catalog.sqlite3"
        self._connection: sqlite3.Connection | None = None
        self._is_copy = False  # in memory, as the file is read-only
        self._was_busy = False  # the last time that it was written to
        self.start_anew()
        start_anew_in_forks(self)

    def start_anew(self) -> None:
        """Forget connection and lock, which in a forked child are the parent's."""
        if self._connection:
            _INHERITED_CONNECTIONS.append(self._connection)
        self._lock = threading.RLock()
        self._connection = None
        self._inode: int | None = None  # of the open file

    @contextmanager
    def connection(self, *, durable: bool = False) -> Iterator[sqlite3.Connection]:
        """Give the connection, for one statement or for reading.

        Raises `StorageError` for what SQLite cannot do.

        Args:
            durable: flush what is committed, so that it survives a power cut (with all
                that was committed before, if anything changed). Needless for what the
                files tell as well.
        """
        with self._lock, translated_sqlite_errors(self.path):
            connection = self._ensure_open()
            if self._was_busy:
                self._catch_up(connection)
            if durable:
                connection.execute("PRAGMA synchronous = FULL")
            try:
                yield connection
            except sqlite3.OperationalError as error:
                if is_busy(error):
                    self._was_busy = True
                    connection.execute(f"PRAGMA busy_timeout = {_IMPATIENT_MS}")
                raise
            finally:
                if connection.in_transaction:
                    connection.rollback()
                if durable:
                    connection.execute("PRAGMA synchronous = NORMAL")

    @contextmanager
    def transaction(self, *, durable: bool = False) -> Iterator[sqlite3.Connection]:
        """Give the connection for statements that take effect together, or not at all.

        `durable` and errors: as `connection`.
        """
        with self.connection(durable=durable) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")

    def _catch_up(self, connection: sqlite3.Connection) -> None:
        """Enter pictures without a row, unless another process keeps the catalog."""
        self._was_busy = True
        with suppress(sqlite3.OperationalError):
            connection.execute(f"PRAGMA busy_timeout = {_IMPATIENT_MS}")
            if self._mends and not self._is_copy:
                tend_trash(connection, self.folder)
            if self._mends:
                enter_missing(connection, self.folder)
            connection.execute(f"PRAGMA busy_timeout = {1000 * LOCK_TIMEOUT_S}")
            self._was_busy = False

    def sidecar_lock(self) -> AbstractContextManager[None]:
        """Keep everybody else, in any process, from changing sidecars of the folder.

        To read, change and write a sidecar within it. A thread must not enter it twice.
        Raises `StorageError` if another process holds it for very long.
        """
        with self.connection():  # opened now, as that may need the lock, too
            return locked_sidecars(self.folder)

    def amend(self, entry: CatalogEntry, **values: Any) -> CatalogEntry:
        """Set these fields of a picture's record in its sidecar, then in the catalog.

        Other fields that were changed since `entry` was read keep their new values.
        """
        with self.sidecar_lock():
            current = self._still_here(entry)
            saved = current.saved()
            record = saved.record.model_copy(update=values)
            changed = (rewrite_sidecar(saved, record), current.cloud_state)
            self.add_many([changed])
        return replace(current, record=record)

    def _still_here(self, entry: CatalogEntry) -> CatalogEntry:
        """Return what the catalog has of it now; the entry itself if its row was lost.

        Raises `PictureDeletedError`. The caller holds `sidecar_lock`.
        """
        if current := self.get(entry.record.id):
            return current
        require_picture(entry.saved())
        return entry

    def change_id(self, entry: CatalogEntry, id: UUID) -> CatalogEntry:
        """Give a picture another id; its queued tags go with it.

        First in the queue, then in sidecar and catalog: what is interrupted is found by
        the old id, and done again. The PNG keeps the first id.
        """
        old_id = str(entry.record.id)
        with self.sidecar_lock():
            current = self._still_here(entry)
            saved = current.saved()
            record = saved.record.model_copy(update={"id": id})
            with self.connection(durable=True) as connection:
                move_unsent_tags(connection, old_id, str(id))
            rewrite_sidecar(saved, record)
            flush_folder(self.folder)
            with self.connection(durable=True) as connection:
                move_row(connection, old_id, record)
        return replace(current, record=record)

    @contextmanager
    def reader(self) -> Iterator[sqlite3.Connection]:
        """Give a connection for a long read, during which nobody else has to wait.

        Raises `StorageError` for what SQLite cannot do.
        """
        with self.connection() as connection:  # makes or migrates the file
            if self._is_copy:
                yield connection
                return
        address = f"{self.path.as_uri()}?mode=ro"
        with translated_sqlite_errors(self.path):
            opened = sqlite3.connect(address, uri=True, timeout=LOCK_TIMEOUT_S)
            with closing(opened) as connection:
                yield connection

    def _ensure_open(self) -> sqlite3.Connection:
        if self._connection and self._inode != inode_of(self.path):
            self.close()  # the folder was removed, or a damaged catalog put aside
        if not self._connection:
            self._is_copy = is_read_only(self.path)
            opened = open_copy if self._is_copy else open_catalog
            self._connection = opened(self.path)
            self._inode = inode_of(self.path)
            self._catch_up(self._connection)
        return self._connection

    def has_any(self) -> bool:
        """Return whether its file exists, or sidecars that it would be made from."""
        return self.path.exists() or any(map(is_sidecar, names_in(self.folder)))

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._lock:
            if self._connection:
                self._connection.close()
            self._connection = None

    def add(self, saved: SavedPicture, cloud_state: str) -> None:
        """Enter a picture that was just written; one that is there stays as it is."""
        with self.transaction() as connection:
            if saved.path.exists() or not is_in_trash(connection, saved.record.id):
                insert_rows(connection, [saved_row(self.folder, saved, cloud_state)])

    def add_again(self, saved: SavedPicture, cloud_state: str) -> SavedPicture:
        """Enter a picture that was there; return it as its sidecar has it now.

        All but the state of its copy is updated. Raises `PictureDeletedError`.
        """
        with self.sidecar_lock():
            with self.connection() as connection:
                finish_moves(connection, self.folder)  # or it may be deleted later
            require_picture(saved)
            record = load_sidecar(saved.sidecar_path) or saved.record
            current = replace(saved, record=record)
            self.add_many([(current, cloud_state)])
        return current

    def add_many(self, pictures: Iterable[tuple[SavedPicture, str]]) -> None:
        """Enter pictures as they are now, in one transaction that survives a power cut.

        The cloud state is only taken for those that are new. The caller holds
        `sidecar_lock`, so that nobody has changed them meanwhile.
        """
        rows = [
            saved_row(self.folder, saved, cloud_state)
            for saved, cloud_state in pictures
        ]
        flush_folder(self.folder)  # the sidecars before what tells of them
        with self.transaction(durable=True) as connection:
            upsert_rows(connection, rows)

    def get(self, id: UUID | str) -> CatalogEntry | None:
        """Return the picture with this id, or None."""
        return next(iter(self.select("WHERE id = ?", str(id))), None)

    def find(self, record: Record, path: Path) -> CatalogEntry | None:
        """Return the picture of this record, or that of its file if its id has changed."""
        entry, sha256 = self.get(record.id), record.sha256
        if entry is None and path.is_relative_to(self.folder):
            name = path.relative_to(self.folder).as_posix()
            found = self.select("WHERE path = ?", name)
            return next((one for one in found if one.record.sha256 == sha256), None)
        return entry

    def get_many(self, ids: Iterable[UUID | str]) -> list[CatalogEntry]:
        """Return those of these pictures that the catalog has, oldest first."""
        return self.select(
            "WHERE id IN (SELECT value FROM json_each(?)) ORDER BY created_at, id",
            json.dumps([str(id) for id in ids]),
        )

    def latest(self, n: int) -> list[CatalogEntry]:
        """Return the newest `n` pictures, newest first."""
        return self.select("ORDER BY created_at DESC, id DESC LIMIT ?", n)

    def counts(self) -> dict[str, int]:
        """Return the number of pictures: "total", and for each of `CLOUD_STATES`."""
        query = "SELECT cloud_state, count(*) FROM images GROUP BY 1"
        with self.connection() as connection:
            counted: dict[str, int] = dict(connection.execute(query).fetchall())
        by_state = {state: counted.get(state, 0) for state in CLOUD_STATES}
        return {"total": sum(by_state.values()), **by_state}

    def select(self, clauses: str, *values: str | int) -> list[CatalogEntry]:
        """Return the entries of `SELECT … FROM images <clauses>`.

        What users gave belongs into `values`, never into `clauses`.
        """
        query = (
            "SELECT sidecar, path, sidecar_path, cloud_state, cloud_error "
            f"FROM images {clauses}"
        )
        with self.connection() as connection:
            rows = connection.execute(query, values).fetchall()
        return [
            CatalogEntry(
                Record.from_sidecar(sidecar),
                self.folder / path,
                self.folder / sidecar_path,
                cloud_state,
                cloud_error,
            )
            for sidecar, path, sidecar_path, cloud_state, cloud_error in rows
        ]
