"""The database's side: what of sql/ is applied, and applying the rest, as the Supabase CLI does."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from imagen_nb.cloud.database_url import first_line, parts, unreachable
from imagen_nb.errors import CloudError

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.errors import Diagnostic

State = Literal["applied", "pending", "altered"]

_FILE = re.compile(r"(\d{14})_(\w+)\.sql")
_PIECE = (
    re.compile(  # what may hold a semicolon that ends nothing, and the one that does
        r"--[^\n]*|/\*.*?\*/|'[^']*'|\"[^\"]*\"|(\$\w*\$).*?\1|;", re.DOTALL
    )
)
_LOCK = 0x696D6167656E  # "imagen"
_HISTORY = (  # the Supabase CLI's own words, so that both may come first
    b"CREATE SCHEMA IF NOT EXISTS supabase_migrations",
    b"CREATE TABLE IF NOT EXISTS supabase_migrations.schema_migrations"
    b" (version TEXT NOT NULL PRIMARY KEY)",
    b"ALTER TABLE supabase_migrations.schema_migrations ADD COLUMN IF NOT EXISTS statements TEXT[]",
    b"ALTER TABLE supabase_migrations.schema_migrations ADD COLUMN IF NOT EXISTS name TEXT",
)


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of sql/. `statements`: as the Supabase CLI splits and records them."""

    version: str
    name: str
    path: Path
    statements: tuple[str, ...]


def migrations() -> list[Migration]:
    """The files that belong to this version of imagen_nb, in their order."""
    return read_folder(_folder(Path(__file__).parents[1]))


def _folder(package: Path) -> Path:
    """Inside the package when it was installed from a wheel, beside it in a checkout."""
    inside = package / "sql"
    return inside if inside.is_dir() else package.parent / "sql"


def read_folder(folder: Path) -> list[Migration]:
    """The migrations of a folder, in their order; files with other names are none."""
    named = ((path, _FILE.fullmatch(path.name)) for path in sorted(folder.iterdir()))
    return [
        Migration(match[1], match[2], path, split(path.read_text(encoding="utf-8")))
        for path, match in named
        if match
    ]


def split(text: str) -> tuple[str, ...]:
    """A file's statements: comments stay with what follows them, the semicolons go."""
    statements, start = [], 0
    for piece in _PIECE.finditer(text):
        if piece[0] == ";":
            statements.append(text[start : piece.start()].strip())
            start = piece.end()
    statements.append(text[start:].strip())
    return tuple(statement for statement in statements if statement)


def status(
    url: str, files: Sequence[Migration] | None = None
) -> list[tuple[Migration, State]]:
    """Where each migration stands in the database. Raises `CloudError`; changes nothing.

    `altered`: applied with other statements than the file has now.
    """
    with _connected(url) as connection:
        return _standing(connection, migrations() if files is None else files)


def migrate(
    url: str,
    *,
    dry_run: bool = False,
    files: Sequence[Migration] | None = None,
    tell: Callable[[str], None] = lambda message: None,
    lock_timeout: str = "10s",
) -> list[Migration]:
    """Apply what is pending, each file in one transaction; gives what it applied (or would).

    Raises `CloudError`; the files before the one that failed stay applied, and nothing of that one.
    `tell` hears the database's warnings, and of altered files, which are left as they are.
    `lock_timeout`: how long to wait for a table in use; whoever wants it later waits behind us.
    """
    with _connected(url, tell) as connection:
        standing = _standing(connection, migrations() if files is None else files)
        for file, state in standing:
            if state == "altered":
                tell(
                    f"{file.path.name}: applied with other statements than it has now; left so"
                )
        pending = [file for file, state in standing if state == "pending"]
        if dry_run:
            return pending
        return [file for file in pending if _apply(connection, file, lock_timeout)]


def _apply(connection: Connection, file: Migration, lock_timeout: str) -> bool:
    """Whether it was left to us: another process may have applied it while we waited."""
    with _explained(file.path.name), connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        connection.execute(
            "SELECT set_config('lock_timeout', %s, true)", [lock_timeout]
        )
        for statement in _HISTORY:
            connection.execute(statement)
        if file.version in _recorded(connection):
            return False
        for text in file.statements:
            connection.execute(text.encode())
        connection.execute(
            "INSERT INTO supabase_migrations.schema_migrations (version, name, statements)"
            " VALUES (%s, %s, %s)",
            [file.version, file.name, list(file.statements)],
        )
    return True


def _standing(
    connection: Connection, files: Sequence[Migration]
) -> list[tuple[Migration, State]]:
    with _explained("the record of migrations"):
        recorded = _recorded(connection)
    return [(file, _state(file, recorded)) for file in files]


def _recorded(connection: Connection) -> dict[str, list[str] | None]:
    """The statements of each version applied, by whichever tool; None where it kept none."""
    table = "supabase_migrations.schema_migrations"
    if connection.execute("SELECT to_regclass(%s)", [table]).fetchone() == (None,):
        return {}
    rows = connection.execute(  # through JSON, for an old table may lack the column
        "SELECT version, to_jsonb(m) -> 'statements' FROM supabase_migrations.schema_migrations m"
    )
    return dict(rows.fetchall())


def _state(file: Migration, recorded: dict[str, list[str] | None]) -> State:
    if file.version not in recorded:
        return "pending"
    statements = recorded[file.version]
    same = statements is None or _essence(statements) == _essence(file.statements)
    return "applied" if same else "altered"


def _essence(statements: Sequence[str]) -> str:
    """The text of a migration but for spacing and how a tool split it."""
    return "".join(";".join(statements).split()).replace(";", "")


@contextmanager
def _connected(
    url: str, tell: Callable[[str], None] = lambda message: None
) -> Iterator[Connection]:
    """A connection for single statements: poolers in transaction mode can take it."""
    try:
        import psycopg
    except ImportError:
        raise CloudError(
            "migrations need psycopg: pip install 'imagen_nb[postgres]'"
        ) from None
    address = parts(url)
    try:
        connection = psycopg.connect(
            url, autocommit=True, prepare_threshold=None, connect_timeout=10
        )
    except psycopg.Error as error:
        raise CloudError(unreachable(str(error), address)) from None
    with connection:
        connection.add_notice_handler(lambda notice: _pass_on(notice, tell))
        yield connection


def _pass_on(notice: Diagnostic, tell: Callable[[str], None]) -> None:
    if notice.severity_nonlocalized == "WARNING":  # notices say what is there already
        tell(f"the database warns: {notice.message_primary}")


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """The database's errors as one line that begins with what it was about."""
    import psycopg

    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        said = error.diag.message_primary
        raise CloudError(f"{what}: {said}: connect as the role postgres") from None
    except psycopg.errors.LockNotAvailable:
        raise CloudError(
            f"{what}: the database is busy with its tables: try again"
        ) from None
    except psycopg.Error as error:
        said = error.diag.message_primary or first_line(str(error))
        raise CloudError(f"{what}: {said}") from None
