"""Migrations: which of sql/ a database has, and applying the rest."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from imagen_nb.cloud.database_url import (
    explain_connection_error,
    first_line,
    parse_database_url,
)
from imagen_nb.errors import CloudError

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.errors import Diagnostic

MigrationState = Literal["applied", "pending", "altered"]

_MIGRATION_FILE_NAME = re.compile(r"(\d{14})_(\w+)\.sql")
# What may hold a semicolon that ends nothing, and the semicolon that ends a statement.
_SQL_TOKEN = re.compile(
    r"--[^\n]*|/\*.*?\*/|'[^']*'|\"[^\"]*\"|(\$\w*\$).*?\1|;", re.DOTALL
)
VECTORS_MIGRATION = "imagen_embeddings"  # makes its table where pgvector is to be had
_ADVISORY_LOCK = 0x696D6167656E  # "imagen"
_CREATE_HISTORY_TABLE = (  # the Supabase CLI's own words, so that both may come first
    b"CREATE SCHEMA IF NOT EXISTS supabase_migrations",
    b"CREATE TABLE IF NOT EXISTS supabase_migrations.schema_migrations"
    b" (version TEXT NOT NULL PRIMARY KEY)",
    b"ALTER TABLE supabase_migrations.schema_migrations"
    b" ADD COLUMN IF NOT EXISTS statements TEXT[]",
    b"ALTER TABLE supabase_migrations.schema_migrations"
    b" ADD COLUMN IF NOT EXISTS name TEXT",
)


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of sql/. `statements`: as the Supabase CLI splits and records them."""

    version: str
    name: str
    path: Path
    statements: tuple[str, ...]


def load_migrations() -> list[Migration]:
    """Return the migrations of this version of imagen_nb, in their order."""
    return load_migrations_from(_sql_folder(Path(__file__).parents[1]))


def _sql_folder(package: Path) -> Path:
    """Inside a package installed from a wheel, beside it in a checkout."""
    inside = package / "sql"
    return inside if inside.is_dir() else package.parent / "sql"


def load_migrations_from(folder: Path) -> list[Migration]:
    """Return the migrations of a folder, in their order; other files are left out."""
    migrations = []
    for path in sorted(folder.iterdir()):
        if name := _MIGRATION_FILE_NAME.fullmatch(path.name):
            statements = split_statements(path.read_text(encoding="utf-8"))
            migrations.append(Migration(name[1], name[2], path, statements))
    return migrations


def split_statements(text: str) -> tuple[str, ...]:
    """Return a file's statements: comments stay with what follows, semicolons go.

    Example:
        >>> split_statements("SELECT ';'; SELECT 2;")
        ("SELECT ';'", 'SELECT 2')
    """
    statements, start = [], 0
    for token in _SQL_TOKEN.finditer(text):
        if token[0] == ";":
            statements.append(text[start : token.start()].strip())
            start = token.end()
    statements.append(text[start:].strip())
    return tuple(statement for statement in statements if statement)


def migration_states(
    url: str, files: Sequence[Migration] | None = None
) -> list[tuple[Migration, MigrationState]]:
    """Return where each migration stands in the database; changes nothing.

    `altered`: applied with other statements than the file has now. Raise CloudError if
    the database cannot be reached or its record of migrations not be read.

    Args:
        url: The database's, with the password.
        files: The migrations; those of this version by default.
    """
    with _migration_connection(url) as connection:
        return _states_of(connection, load_migrations() if files is None else files)


def apply_migrations(
    url: str,
    *,
    dry_run: bool = False,
    files: Sequence[Migration] | None = None,
    tell: Callable[[str], None] = lambda message: None,
    lock_timeout: str = "10s",
) -> list[Migration]:
    """Apply what is pending, each file in one transaction; return what was applied.

    Args:
        url: The database's, with the password.
        dry_run: Apply nothing; return what would be.
        files: The migrations; those of this version by default.
        tell: Called with the database's warnings, and for each altered file, which is
            left as it is.
        lock_timeout: How long to wait for a table in use, in PostgreSQL's notation;
            whoever wants it later waits behind us.

    Raises:
        CloudError: The files before the one that failed stay applied, and nothing of
            that one.
    """
    with _migration_connection(url, tell) as connection:
        states = _states_of(connection, load_migrations() if files is None else files)
        for file, state in states:
            if state == "altered":
                name = file.path.name
                tell(f"{name}: applied with other statements than it has now; left so")
        pending = [file for file, state in states if state == "pending"]
        if dry_run:
            return pending
        applied = [
            file for file in pending if _apply_migration(connection, file, lock_timeout)
        ]
        if all(file.name != VECTORS_MIGRATION for file in applied):
            _make_embeddings(connection, tell)
        return applied


def _make_embeddings(connection: Connection, tell: Callable[[str], None]) -> None:
    """Make the table of vectors, if that could not be when its migration was applied."""
    query = (
        "SELECT to_regprocedure('imagen.make_embeddings()') IS NOT NULL"
        " AND to_regclass('imagen.embeddings') IS NULL"
    )
    if connection.execute(query).fetchone() != (True,):
        return
    with _translate_errors("imagen.embeddings"), connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_ADVISORY_LOCK])
        made = connection.execute("SELECT imagen.make_embeddings()").fetchone()
    if made == (None,):
        tell("imagen.embeddings is made, as pgvector can be had now")


def _apply_migration(
    connection: Connection, file: Migration, lock_timeout: str
) -> bool:
    """False if another process has applied it while we waited."""
    with _translate_errors(file.path.name), connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_ADVISORY_LOCK])
        connection.execute(
            "SELECT set_config('lock_timeout', %s, true)", [lock_timeout]
        )
        for statement in _CREATE_HISTORY_TABLE:
            connection.execute(statement)
        if file.version in _recorded_statements(connection):
            return False
        for text in file.statements:
            connection.execute(text.encode())
        connection.execute(
            "INSERT INTO supabase_migrations.schema_migrations"
            " (version, name, statements) VALUES (%s, %s, %s)",
            [file.version, file.name, list(file.statements)],
        )
    return True


def _states_of(
    connection: Connection, files: Sequence[Migration]
) -> list[tuple[Migration, MigrationState]]:
    with _translate_errors("the record of migrations"):
        recorded = _recorded_statements(connection)
    return [(file, _state_of(file, recorded)) for file in files]


def _recorded_statements(connection: Connection) -> dict[str, list[str] | None]:
    """The statements of each version applied, by any tool; None where it kept none."""
    table = "supabase_migrations.schema_migrations"
    if connection.execute("SELECT to_regclass(%s)", [table]).fetchone() == (None,):
        return {}
    rows = connection.execute(  # through JSON, for an old table may lack the column
        "SELECT version, to_jsonb(m) -> 'statements'"
        " FROM supabase_migrations.schema_migrations m"
    )
    return dict(rows.fetchall())


def _state_of(file: Migration, recorded: dict[str, list[str] | None]) -> MigrationState:
    if file.version not in recorded:
        return "pending"
    statements = recorded[file.version]
    if statements is None:
        return "applied"
    same = _normalized_sql(statements) == _normalized_sql(file.statements)
    return "applied" if same else "altered"


def _normalized_sql(statements: Sequence[str]) -> str:
    """The text of a migration without spacing and how a tool split it."""
    return "".join(";".join(statements).split()).replace(";", "")


@contextmanager
def _migration_connection(
    url: str, tell: Callable[[str], None] = lambda message: None
) -> Iterator[Connection]:
    """A connection for single statements: poolers in transaction mode can take it."""
    try:
        import psycopg
    except ImportError:
        raise CloudError(
            "migrations need psycopg: pip install 'imagen_nb[postgres]'"
        ) from None
    address = parse_database_url(url)
    try:
        connection = psycopg.connect(
            url, autocommit=True, prepare_threshold=None, connect_timeout=10
        )
    except psycopg.Error as error:
        raise CloudError(explain_connection_error(str(error), address)) from None
    with connection:
        connection.add_notice_handler(lambda notice: _forward_warning(notice, tell))
        yield connection


def _forward_warning(notice: Diagnostic, tell: Callable[[str], None]) -> None:
    if notice.severity_nonlocalized == "WARNING":  # notices say what is there already
        tell(f"the database warns: {notice.message_primary}")


@contextmanager
def _translate_errors(subject: str) -> Iterator[None]:
    """Raise the database's errors as CloudError, a line that begins with subject."""
    import psycopg

    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        reason = error.diag.message_primary
        raise CloudError(f"{subject}: {reason}: connect as the role postgres") from None
    except psycopg.errors.LockNotAvailable:
        raise CloudError(
            f"{subject}: the database is busy with its tables: try again"
        ) from None
    except psycopg.Error as error:
        reason = error.diag.message_primary or first_line(str(error))
        raise CloudError(f"{subject}: {reason}") from None
