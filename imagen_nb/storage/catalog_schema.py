"""The catalog's file: its tables, and what SQLite says of it in plain words."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imagen_nb.errors import StorageError

LOCK_TIMEOUT_S = 30  # seconds to wait for other processes that write
_SCHEMA_MIGRATIONS: tuple[
    tuple[str, ...], ...
] = (  # in order, each in one transaction; never edited
    (
        """
        CREATE TABLE images (
          id TEXT PRIMARY KEY,
          owner_user_id TEXT,
          prompt TEXT NOT NULL,
          prompt_hash TEXT,
          backend TEXT NOT NULL,
          model TEXT, seed INTEGER, steps INTEGER, width INTEGER, height INTEGER,
          latency_ms INTEGER,
          cost_usd_estimate REAL,
          storage_path TEXT NOT NULL,
          sidecar TEXT NOT NULL,        -- JSON, as in the file
          tags TEXT NOT NULL,           -- JSON array
          created_at TEXT NOT NULL,     -- UTC, always with microseconds: sorts as text
          path TEXT NOT NULL UNIQUE,    -- below the output folder, with forward slashes
          sidecar_path TEXT NOT NULL,
          cloud_state TEXT NOT NULL CHECK (cloud_state IN ('pending', 'synced', 'off', 'failed')),
          cloud_error TEXT,
          updated_at TEXT NOT NULL
        ) STRICT
        """,
        "CREATE INDEX images_created_idx ON images (created_at DESC, id)",
        "CREATE INDEX images_pending_idx ON images (created_at) WHERE cloud_state = 'pending'",
    ),
    (
        "ALTER TABLE images ADD COLUMN sender TEXT",  # whose lease it is under, see outbox.py
        "CREATE INDEX images_sender_idx ON images (sender) WHERE sender IS NOT NULL",
        "CREATE INDEX images_failed_idx ON images (created_at) WHERE cloud_state = 'failed'",
    ),
    (
        "DROP INDEX images_created_idx",
        "CREATE INDEX images_created_idx ON images (created_at, id)",  # read backwards
        """
        CREATE TABLE tag_changes (      -- what the rows in the cloud are still to learn
          id TEXT NOT NULL,             -- of the picture, which may be another machine's
          tag TEXT NOT NULL,
          present INTEGER NOT NULL,     -- 1: added, 0: removed
          made_at TEXT NOT NULL,        -- UTC
          PRIMARY KEY (id, tag)
        ) STRICT
        """,
    ),
    (
        """
        CREATE TABLE queue (            -- pictures that wait to be drawn, see queue.py
          id INTEGER PRIMARY KEY AUTOINCREMENT,
          place INTEGER NOT NULL,       -- the lowest is next
          wish TEXT NOT NULL,           -- JSON: what is wanted
          error TEXT,                   -- why it could not be drawn; NULL: it waits
          holder TEXT,                  -- under whose lease it is; NULL: nobody draws it
          made_at TEXT NOT NULL         -- UTC
        ) STRICT
        """,
    ),
)


class CatalogDamagedError(StorageError):
    """The catalog's file is no whole SQLite database; the pictures are not touched by that."""


def open_catalog(path: Path) -> sqlite3.Connection:
    """The file, made when it is not there, with its tables as this program knows them.

    Raises `StorageError` when a newer program made it, and what SQLite and the system raise.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(
        path, timeout=LOCK_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(
            "PRAGMA synchronous = NORMAL"
        )  # a power cut may cost rows, no sidecar
        _migrate_schema(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _migrate_schema(connection: sqlite3.Connection, path: Path) -> None:
    def version() -> int:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])

    while (done := version()) < len(_SCHEMA_MIGRATIONS):
        connection.execute("BEGIN IMMEDIATE")
        try:
            if version() == done:  # no other process did it while we waited
                for statement in _SCHEMA_MIGRATIONS[done]:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {done + 1}")
            connection.execute("COMMIT")
        except BaseException:
            connection.rollback()
            raise
    if done > len(_SCHEMA_MIGRATIONS):
        raise StorageError(
            f"the catalog {path} was made by a newer imagen_nb (schema {done}): update imagen_nb"
        )


def inode_of(path: Path) -> int | None:
    """What tells the file from another one at its place; None when there is none."""
    try:
        return path.stat().st_ino
    except OSError:
        return None


def make_damaged_error(path: Path, why: str) -> CatalogDamagedError:
    """The error for a catalog that only a rebuild can help."""
    return CatalogDamagedError(
        f"the catalog {path} is damaged ({why}): rebuild it with `imagen reindex`"
    )


@contextmanager
def translated_sqlite_errors(path: Path) -> Iterator[None]:
    """Turns what SQLite says into one line that says what to do."""
    try:
        yield
    except sqlite3.OperationalError as error:  # locked, full, read-only
        raise StorageError(
            f"cannot use the catalog {path}: {error}: see that its folder can be written to"
        ) from error
    except sqlite3.IntegrityError:
        raise  # a mistake in this program
    except sqlite3.DatabaseError as error:
        raise make_damaged_error(path, str(error)) from error
    except OSError as error:
        raise StorageError(
            f"cannot use the catalog {path}: {error.strerror}: choose another folder"
        ) from error
