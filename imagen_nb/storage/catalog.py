"""The catalog: a SQLite index of every picture in an output folder, and what the cloud has of it.

The sidecars are the truth; whatever is lost here, `imagen reindex` brings back from them.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from filelock import FileLock

from imagen_nb.storage import catalog_schema as catalog_file
from imagen_nb.storage.output import SavedPicture, rewrite_sidecar
from imagen_nb.storage.record import IMAGES_COLUMNS, Record
from imagen_nb.system.atomic import explained
from imagen_nb.system.paths import absolute

CLOUD_STATES = ("pending", "synced", "off", "failed")
_TABLE_COLUMNS = (
    *IMAGES_COLUMNS,
    "path",
    "sidecar_path",
    "cloud_state",
    "cloud_error",
    "updated_at",
)
_COLUMNS_NOT_UPDATED = {
    "id",
    "cloud_state",
    "cloud_error",
}  # what the cloud has, no file can tell
_UPSERT_STATEMENT = (
    f"INSERT INTO images ({', '.join(_TABLE_COLUMNS)}) VALUES ({', '.join('?' * len(_TABLE_COLUMNS))})"
    " ON CONFLICT (id) DO UPDATE SET "
    + ", ".join(
        f"{name} = excluded.{name}"
        for name in _TABLE_COLUMNS
        if name not in _COLUMNS_NOT_UPDATED
    )
)
_INHERITED_CONNECTIONS: list[
    sqlite3.Connection
] = []  # of a parent process: neither to be used nor closed


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """A picture in the catalog. Paths are absolute."""

    record: Record
    path: Path
    sidecar_path: Path
    cloud_state: str
    cloud_error: str | None = None

    @property
    def cloud(self) -> str:
        """What the cloud has of it: pending, synced, off, or "failed: <the reason>"."""
        failed = self.cloud_state == "failed"
        return f"failed: {self.cloud_error}" if failed else self.cloud_state


class Catalog:
    """The catalog of one folder, for any number of threads and processes.

    One connection behind a lock, as SQLite lets one write at a time anyway; a forked process
    opens its own. What `add` returned from is there for every other reader.
    """

    def __init__(self, folder: Path | str) -> None:
        """Opens nothing yet: the file is made by the first picture, or the first question."""
        self.folder = absolute(folder)
        self.path = self.folder / ".imagen" / "catalog.sqlite3"
        self._forget()

    def _forget(self) -> None:
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._file: int | None = None  # inode
        self._process = os.getpid()

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """The open connection, for one statement or one `BEGIN IMMEDIATE … COMMIT`.

        A transaction that an exception leaves open is rolled back. Raises `StorageError` for what
        SQLite cannot do.
        """
        if self._process != os.getpid():
            _INHERITED_CONNECTIONS.extend(
                [self._connection] if self._connection else []
            )
            self._forget()
        with self._lock, catalog_file.translated_sqlite_errors(self.path):
            connection = self._opened()
            try:
                yield connection
            finally:
                if connection.in_transaction:
                    connection.rollback()

    @contextmanager
    def amending(self) -> Iterator[None]:
        """While this holds, nobody else changes a sidecar of the folder, in any process.

        Read, change and write within it. Not to be entered twice by one thread.
        """
        with explained(self.path.parent):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path.parent / "amend.lock")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def amend(self, entry: CatalogEntry, **values: Any) -> CatalogEntry:
        """Write these fields to a picture's sidecar, then here; other changes meanwhile stay."""
        with self.amending():
            now = self.get(entry.record.id) or entry
            record = now.record.model_copy(update=values)
            kept = rewrite_sidecar(
                SavedPicture(now.path, now.sidecar_path, now.record), record
            )
            self.add(kept, now.cloud_state)
        return replace(now, record=record)

    @contextmanager
    def reader(self) -> Iterator[sqlite3.Connection]:
        """A connection of its own for a long reading, which makes nobody wait.

        Raises `StorageError` for what SQLite cannot do.
        """
        with self.connection():
            pass  # the file is there, and as new as this program
        address = f"{self.path.as_uri()}?mode=ro"
        with (
            catalog_file.translated_sqlite_errors(self.path),
            closing(
                sqlite3.connect(address, uri=True, timeout=catalog_file.LOCK_TIMEOUT_S)
            ) as connection,
        ):
            yield connection

    def _opened(self) -> sqlite3.Connection:
        if self._connection and self._file != catalog_file.inode_of(self.path):
            self.close()  # the folder was removed, or a damaged catalog put aside
        if not self._connection:
            self._connection = catalog_file.open_catalog(self.path)
            self._file = catalog_file.inode_of(self.path)
        return self._connection

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._lock:
            if self._connection and self._process == os.getpid():
                self._connection.close()
                self._connection = None

    def add(self, kept: SavedPicture, cloud_state: str) -> None:
        """Enter a picture. Entering it again updates it, but for what the cloud has of it."""
        self.add_many([(kept, cloud_state)])

    def add_many(self, pictures: Iterable[tuple[SavedPicture, str]]) -> None:
        """Enter many pictures in one transaction: all of them or none."""
        rows = [self._row(kept, state) for kept, state in pictures]
        with self.connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            upsert_rows(connection, rows)
            connection.execute("COMMIT")

    def get(self, id: UUID | str) -> CatalogEntry | None:
        """The picture with this id."""
        return next(iter(self.select("WHERE id = ?", str(id))), None)

    def some(self, ids: Iterable[UUID | str]) -> list[CatalogEntry]:
        """Those of these pictures that are here, oldest first."""
        wanted = json.dumps([*map(str, ids)])
        return self.select(
            "WHERE id IN (SELECT value FROM json_each(?)) ORDER BY created_at, id",
            wanted,
        )

    def by_path(self, path: Path | str) -> CatalogEntry | None:
        """The picture in this file, PNG or sidecar. A relative path may start at the folder."""
        name = str(path).removesuffix(".json")
        for full in (os.path.abspath(name), os.path.abspath(self.folder / name)):
            if Path(full).is_relative_to(self.folder):
                below = Path(full).relative_to(self.folder).as_posix()
                return next(iter(self.select("WHERE path = ?", below)), None)
        return None

    def latest(self, n: int) -> list[CatalogEntry]:
        """The newest `n` pictures, newest first."""
        return self.select("ORDER BY created_at DESC, id DESC LIMIT ?", n)

    def pending(self) -> list[CatalogEntry]:
        """The pictures that still wait for the cloud, oldest first."""
        return self.select("WHERE cloud_state = 'pending' ORDER BY created_at, id")

    def counts(self) -> dict[str, int]:
        """How many pictures there are: "total", and by cloud state."""
        with self.connection() as connection:
            rows = connection.execute(
                "SELECT cloud_state, count(*) FROM images GROUP BY 1"
            )
            found: dict[str, int] = dict(rows.fetchall())
        states = {state: found.get(state, 0) for state in CLOUD_STATES}
        return {"total": sum(states.values()), **states}

    def select(self, rest: str, *values: str | int) -> list[CatalogEntry]:
        """The entries of `SELECT … FROM images <rest>`; what users gave is in `values` only."""
        columns = "sidecar, path, sidecar_path, cloud_state, cloud_error"
        with self.connection() as connection:
            rows = connection.execute(
                f"SELECT {columns} FROM images {rest}", values
            ).fetchall()
        return [
            CatalogEntry(
                Record.from_sidecar(sidecar),
                self.folder / path,
                self.folder / beside,
                *cloud,
            )
            for sidecar, path, beside, *cloud in rows
        ]

    def _row(self, kept: SavedPicture, state: str) -> tuple[Any, ...]:
        names = [
            path.relative_to(self.folder).as_posix()
            for path in (kept.path, kept.sidecar_path)
        ]
        return catalog_row(
            kept.record, kept.record.to_sidecar(), names[0], names[1], state
        )


def catalog_row(
    record: Record, sidecar: str, path: str, sidecar_path: str, state: str
) -> tuple[Any, ...]:
    """The values of a row, given the record and the text of its sidecar."""
    special = {
        "id": str(record.id),
        "owner_user_id": record.owner_user_id and str(record.owner_user_id),
        "sidecar": sidecar,
        "tags": json.dumps(record.tags, ensure_ascii=False),
        "created_at": utc_text(record.created_at),
    }
    columns = (
        special[name] if name in special else getattr(record, name)
        for name in IMAGES_COLUMNS
    )
    return (*columns, path, sidecar_path, state, None, utc_text(datetime.now(UTC)))


def upsert_rows(
    connection: sqlite3.Connection, rows: Sequence[tuple[Any, ...]]
) -> None:
    """Insert or update rows (of `to_row`) inside the caller's transaction."""
    at, id_at = _TABLE_COLUMNS.index("path"), _TABLE_COLUMNS.index("id")
    replaced = [(row[at], row[id_at]) for row in rows]
    connection.executemany("DELETE FROM images WHERE path = ? AND id <> ?", replaced)
    connection.executemany(_UPSERT_STATEMENT, rows)


def utc_text(moment: datetime) -> str:
    """A time as the catalog writes it: UTC, with microseconds, so that it sorts as text."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
