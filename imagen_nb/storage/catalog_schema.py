"""The catalog's SQLite file: its tables, migrations, and errors in plain words."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

from imagen_nb.errors import StorageError
from imagen_nb.storage.parents import parents_statements
from imagen_nb.system.atomic import explain_os_error, make_folder, temporary_file
from imagen_nb.system.locks import describe_holder
from imagen_nb.system.secret_text import scrub_known_keys

LOCK_TIMEOUT_S = 30  # seconds to wait for other processes that write
MAX_ERROR_CHARS = 500  # what is stored of why a picture could not be drawn or sent
_PRIMARY_CODE = 0xFF  # the rest of SQLite's codes are details
_SYSTEM_TROUBLE = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR)
_FILES_OF_SQLITE = 3  # that it opens for one database: itself, its journal, its index
_BYTES_OF_A_PAGE = 4096
_REMEDY_OF_SQLITE = {
    sqlite3.SQLITE_FULL: "free some space or choose another folder",
    sqlite3.SQLITE_NOMEM: "end programs that use the memory",
    sqlite3.SQLITE_IOERR: "the disk fails, or a limit of it is reached",
}

# In order, each in one transaction. Never edited: files made by older versions exist.
_SCHEMA_MIGRATIONS: tuple[tuple[str, ...], ...] = (
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
    (
        """
        CREATE TABLE marks (            -- facts about the catalog itself, see mending.py
          name TEXT PRIMARY KEY,
          value INTEGER NOT NULL
        ) STRICT
        """,
    ),
    (  # versions before this one may have kept a library's words with the key in them
        "UPDATE images SET cloud_error = without_keys(cloud_error)"
        " WHERE cloud_error IS NOT NULL",
        "UPDATE queue SET error = without_keys(error) WHERE error IS NOT NULL",
    ),
    (
        """
        CREATE TABLE trash (            -- deleted pictures, see trash_moves.py
          id TEXT PRIMARY KEY,
          bundle TEXT NOT NULL,         -- the folder below .imagen/trash
          name TEXT NOT NULL,           -- of the PNG there
          target TEXT NOT NULL,         -- of the PNG in the output folder
          state TEXT NOT NULL CHECK (state IN ('going', 'kept', 'returning')),
          deleted_at TEXT NOT NULL      -- UTC
        ) STRICT
        """,
        """
        CREATE TABLE removals (         -- what the cloud is still to remove
          id TEXT PRIMARY KEY,          -- of the picture, which may be another machine's
          storage_path TEXT,            -- NULL: as its row says
          due_at TEXT NOT NULL,         -- UTC; not before then
          error TEXT,                   -- why it was refused
          sender TEXT,                  -- under whose lease it is, see removals.py
          cancelled INTEGER NOT NULL DEFAULT 0
        ) STRICT
        """,
    ),
    (
        "ALTER TABLE images ADD COLUMN sha256 TEXT",  # of the picture's file
        "UPDATE images SET sha256 = json_extract(sidecar, '$.sha256')"
        " WHERE json_valid(sidecar)",
        "CREATE INDEX images_sha256_idx ON images (sha256)",
        """
        CREATE TABLE adopted (          -- files of other programs, see adoption.py
          source TEXT PRIMARY KEY,      -- the path that the file had, or has
          bytes INTEGER NOT NULL,
          modified_ns INTEGER NOT NULL, -- as it was then: else it is read again
          sha256 TEXT NOT NULL
        ) STRICT
        """,
        """
        CREATE TABLE parents (          -- what pictures were drawn from, see lineage.py
          image_id TEXT NOT NULL,
          how TEXT NOT NULL,            -- init_image, mask, like, reproduce
          parent_id TEXT,               -- where the record names the picture,
          parent_sha256 TEXT            -- or its file
        ) STRICT
        """,
        "CREATE INDEX parents_image_idx ON parents (image_id)",
        "CREATE INDEX parents_id_idx ON parents (parent_id)",
        "CREATE INDEX parents_sha256_idx ON parents (parent_sha256)",
        *parents_statements(),
    ),
)


class CatalogDamagedError(StorageError):
    """The catalog's file is not a whole database. The pictures are not affected."""


class CatalogBusyError(StorageError):
    """Another process keeps others from writing. What is on disk is entered later."""


def is_busy(error: sqlite3.OperationalError) -> bool:
    """Return whether another process had the file for longer than one waits."""
    return _code_of(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _code_of(error: sqlite3.OperationalError) -> int:
    """Return SQLite's code of an error, without its details; 0 if it has none."""
    return getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE


class _SelfClosingConnection(sqlite3.Connection):
    """A connection that is closed when nobody has it any more.

    So are all, but since Python 3.13 with a ResourceWarning: a Catalog need not be closed.
    """

    def __del__(self) -> None:
        with suppress(sqlite3.ProgrammingError):  # it could not even be opened
            self.close()


def open_catalog(path: Path) -> sqlite3.Connection:
    """Open the file, making or migrating it so that it has the tables of this version.

    Raises `StorageError` if a newer version made it, and whatever SQLite and the system
    raise: `translated_sqlite_errors` makes `StorageError` of that.
    """
    make_folder(path.parent)
    connection = sqlite3.connect(
        path,
        timeout=LOCK_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
        factory=_SelfClosingConnection,
    )
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        # A power cut may lose the last rows: those of pictures are mended from their
        # sidecars, and what has no other place is written with `durable`.
        connection.execute("PRAGMA synchronous = NORMAL")
        _migrate_schema(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def is_read_only(path: Path) -> bool:
    """Return whether the file, or what it would be made in, can be read but not written.

    As on a disk that is mounted so, or in a folder of somebody else's.
    """
    existing = next(
        (one for one in (path, path.parent, path.parent.parent) if one.exists()), None
    )
    if existing is None:
        return False
    folder = existing.parent if existing == path else existing
    return not (os.access(existing, os.W_OK) and os.access(folder, os.W_OK))


def open_copy(path: Path) -> sqlite3.Connection:
    """Open a copy in memory of a file that is read-only, with this version's tables.

    Raises what `open_catalog` raises.
    """
    copy = sqlite3.connect(
        ":memory:",
        isolation_level=None,
        check_same_thread=False,
        factory=_SelfClosingConnection,
    )
    try:
        if path.exists():
            _copy_tables(path, copy)
        _migrate_schema(copy, path)
    except BaseException:
        copy.close()
        raise
    return copy


def _copy_tables(path: Path, copy: sqlite3.Connection) -> None:
    """Copy all tables; without the write-ahead log where that cannot be opened."""
    for options in ("mode=ro", "mode=ro&immutable=1"):
        with closing(sqlite3.connect(f"{path.as_uri()}?{options}", uri=True)) as file:
            try:
                file.backup(copy)
            except sqlite3.OperationalError:
                continue
            return
    raise make_damaged_error(path, "it cannot be read")


def _migrate_schema(connection: sqlite3.Connection, path: Path) -> None:
    version = _schema_version(connection)
    if version < len(_SCHEMA_MIGRATIONS):
        connection.execute("PRAGMA secure_delete = ON")  # zeros where a key stood
        connection.create_function("without_keys", 1, scrub_known_keys)
    while version < len(_SCHEMA_MIGRATIONS):
        _migrate_one_version(connection, version)
        version = _schema_version(connection)
    if version > len(_SCHEMA_MIGRATIONS):
        raise StorageError(
            f"the catalog {path} was made by a newer imagen_nb (schema {version}): "
            "update imagen_nb"
        )


def _migrate_one_version(connection: sqlite3.Connection, version: int) -> None:
    """Bring the tables from this version to the next, in one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        if _schema_version(connection) == version:  # no other process was faster
            for statement in _SCHEMA_MIGRATIONS[version]:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {version + 1}")
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise


def _schema_version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def inode_of(path: Path) -> int | None:
    """Return the inode, which tells the file from a later one here, or None."""
    try:
        return path.stat().st_ino
    except OSError:
        return None


def make_damaged_error(path: Path, reason: str) -> CatalogDamagedError:
    """Return the error for a catalog that has to be rebuilt."""
    return CatalogDamagedError(
        f"the catalog {path} is damaged ({reason}): rebuild it with `imagen reindex`"
    )


@contextmanager
def translated_sqlite_errors(path: Path) -> Iterator[None]:
    """Raise errors of SQLite and the system as a `StorageError` of one line."""
    try:
        yield
    except sqlite3.OperationalError as error:  # locked, full, read-only
        if is_busy(error):
            holder = describe_holder(path.with_name(f"{path.name}-shm"))
            raise CatalogBusyError(
                f"{holder} has been writing to the catalog {path} for very long: "
                "wait for it or end it"
            ) from error
        raise StorageError(
            f"cannot use the catalog {path}: {_explain_sqlite_error(error, path)}"
        ) from error
    except sqlite3.IntegrityError:
        raise  # a mistake in this program
    except sqlite3.DatabaseError as error:
        raise make_damaged_error(path, str(error)) from error
    except OSError as error:
        raise StorageError(
            f"cannot use the catalog {path}: "
            f"{explain_os_error(error, 'choose another folder')}"
        ) from error


def _explain_sqlite_error(error: sqlite3.OperationalError, path: Path) -> str:
    """Return why the catalog cannot be used, and what to do.

    SQLite does not tell what the system said: files are opened once more to hear that.
    """
    code = _code_of(error)
    trouble = _system_trouble(path) if code in _SYSTEM_TROUBLE else None
    if trouble:
        return f"{error}: {explain_os_error(trouble)}"
    usual = "see that its folder can be written to"
    return f"{error}: {_REMEDY_OF_SQLITE.get(code, usual)}"


def _system_trouble(path: Path) -> OSError | None:
    """Return what keeps this process from the catalog's files, as the system says it."""
    try:
        with ExitStack() as stack:
            for _ in range(_FILES_OF_SQLITE):
                stack.enter_context(open(os.devnull, "rb"))
            stack.enter_context(temporary_file(path.parent, bytes(_BYTES_OF_A_PAGE)))
            if path.exists():
                stack.enter_context(open(path, "r+b"))
    except OSError as error:
        return error
    return None
