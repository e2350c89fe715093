"""`imagen db`: applies what is missing, as the Supabase CLI does, and leaks no password."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

import imagen_nb
from imagen_nb.cli import run
from imagen_nb.cloud.migrate import (
    Migration,
    _sql_folder,
    apply_migrations,
    load_migrations,
    load_migrations_from,
    migration_states,
    split_statements,
)
from imagen_nb.errors import CloudError
from tests.fixtures.postgres import Database, database_fixture, fresh_database  # noqa: F401

ALL = [file.version for file in load_migrations()]
CLI_TABLE = """
CREATE SCHEMA supabase_migrations;
CREATE TABLE supabase_migrations.schema_migrations (version text NOT NULL PRIMARY KEY);
ALTER TABLE supabase_migrations.schema_migrations ADD COLUMN statements text[];
ALTER TABLE supabase_migrations.schema_migrations ADD COLUMN name text;
"""
CLI_INSERT = (
    "INSERT INTO supabase_migrations.schema_migrations(version, name, statements)"
    " VALUES(%s, %s, %s)"
)


@pytest.fixture(scope="module")
def untouched() -> Iterator[Database]:
    """As a new Supabase project is, for tests that change nothing."""
    with fresh_database() as database:
        yield database


def states(url: str, files: list[Migration] | None = None) -> list[str]:
    return [state for _, state in migration_states(url, files)]


def recorded(database: Database) -> list[tuple[Any, ...]]:
    with database.connect() as connection:
        return connection.execute(
            "SELECT version, name, statements FROM supabase_migrations.schema_migrations ORDER BY 1"
        ).fetchall()


def write(folder: Path, **texts: str) -> list[Migration]:
    """Migrations of these names and texts, in this order."""
    for number, (name, text) in enumerate(texts.items()):
        (folder / f"2026112400000{number}_{name}.sql").write_text(text)
    return load_migrations_from(folder)


# --- what is applied


def test_everything_is_applied_once_and_recorded(database: Database) -> None:
    assert states(database.url) == ["pending"] * len(ALL)
    assert [file.version for file in apply_migrations(database.url)] == ALL
    assert states(database.url) == ["applied"] * len(ALL)
    assert apply_migrations(database.url) == []
    assert recorded(database) == [
        (file.version, file.name, list(file.statements)) for file in load_migrations()
    ]


def test_status_and_a_dry_run_change_nothing(untouched: Database) -> None:
    assert [file.version for file in apply_migrations(untouched.url, dry_run=True)] == ALL
    assert states(untouched.url) == ["pending"] * len(ALL)
    with untouched.connect() as connection:
        made = connection.execute(
            "SELECT nspname FROM pg_namespace WHERE nspname IN ('imagen', 'supabase_migrations')"
        ).fetchall()
    assert made == []


def test_a_failing_file_leaves_nothing_of_itself_and_those_before_stay(
    database: Database, tmp_path: Path
) -> None:
    files = write(
        tmp_path,
        first="CREATE TABLE public.one (id INT);",
        second="CREATE TABLE public.two (id INT); SELECT 1 / 0; CREATE TABLE public.three ();",
        third="CREATE TABLE public.four (id INT);",
    )
    with pytest.raises(CloudError, match=r"^20261124000001_second\.sql: division by zero$"):
        apply_migrations(database.url, files=files)
    assert states(database.url, files) == ["applied", "pending", "pending"]
    with database.connect() as connection:
        made = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        ).fetchall()
    assert made == [("one",)]


def test_two_at_once_apply_each_file_once(database: Database, tmp_path: Path) -> None:
    """Not safe to run twice, these: the second would fail."""
    text = "CREATE TABLE t{} (id INT); SELECT pg_sleep(0.05);"
    files = write(tmp_path, **{f"t{number}": text.format(number) for number in range(4)})
    start = threading.Barrier(3)

    def work() -> list[str]:
        start.wait()
        return [file.version for file in apply_migrations(database.url, files=files)]

    with ThreadPoolExecutor(3) as pool:
        done = [job.result() for job in [pool.submit(work) for _ in range(3)]]
    assert sorted(itertools.chain(*done)) == [file.version for file in files]


def test_a_table_in_use_is_not_waited_for_without_end(database: Database) -> None:
    with database.connect() as other, other.transaction():
        other.execute("LOCK TABLE storage.objects IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(CloudError, match=r"imagen_bucket_policies\.sql: .* busy .* try again"):
            apply_migrations(database.url, lock_timeout="100ms")
    assert states(database.url) == ["applied"] * 4 + ["pending"] * (len(ALL) - 4)
    assert len(apply_migrations(database.url)) == len(ALL) - 4


# --- where pgvector is not to be had


def test_without_pgvector_all_is_applied_and_its_table_made_once_it_is_there(
    database: Database,
) -> None:
    said: list[str] = []
    with database.connect() as superuser:
        superuser.execute("DROP EXTENSION IF EXISTS vector")
        assert len(apply_migrations(database.url, tell=said.append)) == len(ALL)
        (warning,) = (line for line in said if "pgvector" in line)
        assert "search in the cloud needs pgvector 0.8 (" in warning
        assert "then `imagen db migrate` again; all else works without" in warning
        said.clear()
        assert apply_migrations(database.url, tell=said.append) == []
        assert said == [warning]
        with pytest.raises(psycopg.errors.UndefinedTable, match=r"imagen\.embeddings"):
            superuser.execute("SELECT imagen.find('tiny-1', '{1, 2}')")
        superuser.execute("CREATE EXTENSION vector WITH SCHEMA extensions")
        said.clear()
        assert apply_migrations(database.url, tell=said.append) == []
        assert said == ["imagen.embeddings is made, as pgvector can be had now"]
        assert superuser.execute("SELECT FROM imagen.embeddings").rowcount == 0
    said.clear()
    assert apply_migrations(database.url, tell=said.append) == []
    assert said == []


def test_pgvector_that_is_too_old_is_named_with_what_updates_it(database: Database) -> None:
    said: list[str] = []
    with database.connect() as superuser:
        superuser.execute("UPDATE pg_extension SET extversion = '0.7.4' WHERE extname = 'vector'")
    apply_migrations(database.url, tell=said.append)
    (warning,) = (line for line in said if "pgvector" in line)
    assert "it is of version 0.7.4, update it: ALTER EXTENSION vector UPDATE" in warning


def test_pgvector_may_be_in_any_schema(database: Database) -> None:
    with database.connect() as superuser:
        superuser.execute("ALTER EXTENSION vector SET SCHEMA public")
        apply_migrations(database.url)
        found = superuser.execute("SELECT * FROM imagen.find('tiny-1', '{1, 2}')").fetchone()
    assert found == ([], [], None, None, 0)


# --- the Supabase CLI on the same database


def test_what_the_supabase_cli_applied_counts_as_applied(database: Database) -> None:
    with database.connect("migrator") as connection:
        connection.execute(CLI_TABLE)
        for file in load_migrations()[:3]:
            for statement in file.statements:
                connection.execute(statement.encode())
            connection.execute(CLI_INSERT, [file.version, file.name, list(file.statements)])
        connection.execute(CLI_INSERT, ["20200101000000", "the user's own", ["SELECT 1"]])
    assert states(database.url) == ["applied"] * 3 + ["pending"] * (len(ALL) - 3)
    assert [file.version for file in apply_migrations(database.url)] == ALL[3:]
    assert [row[0] for row in recorded(database)] == ["20200101000000", *ALL]


def test_what_we_applied_counts_for_the_supabase_cli(database: Database) -> None:
    """Its own statements: it makes sure of its table, then lists the versions."""
    apply_migrations(database.url)
    again = CLI_TABLE.replace("CREATE SCHEMA", "CREATE SCHEMA IF NOT EXISTS")
    again = again.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS")
    with database.connect("migrator") as connection:
        connection.execute(again.replace("ADD COLUMN", "ADD COLUMN IF NOT EXISTS").encode())
        listed = connection.execute(
            "SELECT version FROM supabase_migrations.schema_migrations ORDER BY version"
        ).fetchall()
    assert [version for (version,) in listed] == ALL


@pytest.mark.parametrize(
    "table",
    [
        pytest.param("version text NOT NULL PRIMARY KEY", id="as of 2022"),
        pytest.param(
            "version text NOT NULL PRIMARY KEY, statements text[], name text, created_by text,"
            " idempotency_key text UNIQUE, rollback text[]",
            id="as of 2026",
        ),
    ],
)
def test_older_and_newer_tables_of_the_supabase_cli_will_do(database: Database, table: str) -> None:
    with database.connect("migrator") as connection:
        connection.execute("CREATE SCHEMA supabase_migrations")
        connection.execute(f"CREATE TABLE supabase_migrations.schema_migrations ({table})".encode())
        connection.execute(
            "INSERT INTO supabase_migrations.schema_migrations (version) VALUES ('20200101000000')"
        )
    assert states(database.url) == ["pending"] * len(ALL)
    assert len(apply_migrations(database.url)) == len(ALL)
    assert states(database.url) == ["applied"] * len(ALL)


def test_a_version_recorded_without_statements_counts_as_applied(database: Database) -> None:
    apply_migrations(database.url)
    with database.connect() as connection:
        connection.execute("UPDATE supabase_migrations.schema_migrations SET statements = NULL")
    assert states(database.url) == ["applied"] * len(ALL)


def test_another_way_of_splitting_is_no_other_text(database: Database) -> None:
    apply_migrations(database.url)
    with database.connect() as connection:
        for file in load_migrations():
            whole = file.path.read_text().replace("\n", "\r\n")
            connection.execute(
                "UPDATE supabase_migrations.schema_migrations SET statements = %s"
                " WHERE version = %s",
                [[whole], file.version],
            )
    assert states(database.url) == ["applied"] * len(ALL)


def test_a_file_changed_after_it_was_applied_is_altered_and_left_alone(
    database: Database, tmp_path: Path
) -> None:
    files = write(tmp_path, first="SELECT 1;", second="SELECT 2;")
    apply_migrations(database.url, files=files[:1])
    files = write(tmp_path, first="SELECT 1 / 0;", second="SELECT 2;")
    assert states(database.url, files) == ["altered", "pending"]
    said: list[str] = []
    assert apply_migrations(database.url, files=files, tell=said.append) == files[1:]
    assert said == [
        "20261124000000_first.sql: applied with other statements than it has now; left so"
    ]


def test_names_are_what_the_supabase_cli_takes_and_in_the_right_order() -> None:
    names = [file.path.name for file in load_migrations()]
    assert names == sorted(path.name for path in load_migrations()[0].path.parent.iterdir())
    assert [name[15:-4] for name in names] == [
        "imagen_images",
        "imagen_row_level_security",
        "imagen_grants",
        "imagen_bucket",
        "imagen_bucket_policies",
        "imagen_expose",
        "imagen_claims",
        "imagen_delete",
        "imagen_embeddings",
        "imagen_find",
        "imagen_parents",
        "imagen_jobs",
        "imagen_workers",
        "imagen_job_functions",
        "imagen_claims_time",
        "imagen_announce",
        "imagen_channel",
        "imagen_votes",
    ]
    assert len({name[:14] for name in names}) == len(names)
    # The Supabase CLI splits these otherwise than PostgreSQL reads them.
    texts = [file.path.read_text() for file in load_migrations()]
    assert not [text for text in texts if "\\" in text or "ATOMIC" in text.upper()]
    assert all(text.isascii() and text.endswith(";\n") for text in texts)


# --- splitting


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("\n;\n ;", ()),
        ("SELECT 1; SELECT 2", ("SELECT 1", "SELECT 2")),
        ("SELECT ';'; SELECT 2;\n", ("SELECT ';'", "SELECT 2")),
        ("SELECT 'it''s; one';", ("SELECT 'it''s; one'",)),
        ('SELECT 1 AS "a;b";', ('SELECT 1 AS "a;b"',)),
        ("-- why; so\nSELECT 1; -- after;\n", ("-- why; so\nSELECT 1", "-- after;")),
        ("-- it's\nSELECT 1; SELECT 2;", ("-- it's\nSELECT 1", "SELECT 2")),
        ("/* a; b */ SELECT 1;", ("/* a; b */ SELECT 1",)),
        ("DO $$ BEGIN; END $$; SELECT 1;", ("DO $$ BEGIN; END $$", "SELECT 1")),
        ("DO $a$ x; $b$; $$ y; $a$; SELECT 1;", ("DO $a$ x; $b$; $$ y; $a$", "SELECT 1")),
        ("SELECT 3 - 1; SELECT 4 / 2;", ("SELECT 3 - 1", "SELECT 4 / 2")),
    ],
)
def test_statements_end_at_semicolons_that_end_statements(
    text: str, expected: tuple[str, ...]
) -> None:
    assert split_statements(text) == expected


@given(st.lists(st.text("ab ';-\n$\"/*", min_size=1).map(lambda text: text.strip()), max_size=4))
def test_quoted_text_never_splits(texts: list[str]) -> None:
    quoted = ["SELECT '" + text.replace("'", "''") + "'" for text in texts]
    assert split_statements(";\n".join(quoted)) == tuple(quoted)


# --- where the files are


def test_the_files_of_an_installed_package_lie_inside_it(tmp_path: Path) -> None:
    package = tmp_path / "imagen_nb"
    (package / "sql").mkdir(parents=True)
    (tmp_path / "sql").mkdir()
    assert _sql_folder(package) == package / "sql"


def test_the_files_of_a_checkout_lie_beside_it() -> None:
    root = Path(imagen_nb.__file__).parents[1]
    assert load_migrations()[0].path.parent in (root / "sql", root / "imagen_nb" / "sql")


def test_other_files_in_the_folder_are_no_migrations(tmp_path: Path) -> None:
    for name in (
        "README.md",
        "1_short.sql",
        "20261124000000_kept.sql",
        "20261124000000_x.sql.orig",
    ):
        (tmp_path / name).write_text("SELECT 1;")
    assert [file.name for file in load_migrations_from(tmp_path)] == ["kept"]


# --- what goes wrong is one line without the password

SECRET = "s3cr#t.W0rd"


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Takes connections and closes them without a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_refuse_all, args=[server], daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def _refuse_all(server: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the fixture's end
        while True:
            server.accept()[0].close()


UNREADABLE = [
    "{secret}",
    "postgresql//u:{secret}@h/db",
    "mysql://u:{secret}@h/db",
    "host=h password={secret}",
    "postgresql://u:{secret}@h:port/db",
    "postgresql://u:{secret}/db",
    "postgresql://u:a/{secret}@127.0.0.1:1/db",
    "postgresql://u:a?{secret}@127.0.0.1:1/db",
    "postgresql://u:a@{secret}@127.0.0.1:1/db",
    "postgresql://u:{secret}%zz@127.0.0.1:1/db",
    "postgresql://u:{secret}%00@127.0.0.1:1/db",
    "postgresql://u@127.0.0.1:1/db?pasword={secret}",
    "postgresql://u:{secret}@[::1/db",
]


@pytest.mark.parametrize("url", UNREADABLE)
def test_a_url_that_cannot_be_read_is_not_repeated(url: str, capfd: Any) -> None:
    assert run(["db", "status", "--database-url", url.format(secret=SECRET)]) == 1
    assert_one_line(capfd, "the database URL cannot be read: it looks like postgresql://user")


def test_the_wrong_password_is_said_and_not_repeated(untouched: Database, capfd: Any) -> None:
    url = f"postgresql://migrator:{SECRET}@127.0.0.1:{untouched.cluster.port}/{untouched.name}"
    assert run(["db", "migrate", "--database-url", url]) == 1
    assert_one_line(capfd, 'password authentication failed for user "migrator"')


def test_nobody_listening_is_said(closed_port: int, capfd: Any) -> None:
    url = f"postgresql://u:{SECRET}@127.0.0.1:{closed_port}/postgres"
    assert run(["db", "migrate", "--database-url", url]) == 1
    assert_one_line(capfd, "the database cannot be reached: ", "refused")


def test_a_server_that_is_no_postgresql_is_said(silent_port: int, capfd: Any) -> None:
    url = f"postgresql://u:{SECRET}@127.0.0.1:{silent_port}/postgres"
    assert run(["db", "status", "--database-url", url]) == 1
    assert_one_line(capfd, "the database cannot be reached: ")


def test_a_host_that_does_not_exist_is_said(capfd: Any) -> None:
    url = f"postgresql://u:{SECRET}@no-such-host.invalid/postgres"
    assert run(["db", "status", "--database-url", url]) == 1
    assert_one_line(capfd, "the database cannot be reached: ")


def test_a_message_that_repeats_the_password_is_masked(untouched: Database, capfd: Any) -> None:
    """A database named like the password: the server's own message says it."""
    url = f"postgresql://bystander:bystander@127.0.0.1:{untouched.cluster.port}/bystander"
    assert run(["db", "status", "--database-url", url]) == 1
    said = capfd.readouterr()
    assert said.out == ""
    assert 'database "…" does not exist' in said.err


def test_too_few_rights_are_said(untouched: Database, capfd: Any) -> None:
    url = untouched.cluster.url(untouched.name, "bystander")
    assert run(["db", "migrate", "--database-url", url]) == 1
    assert capfd.readouterr().err == (
        f"imagen: {load_migrations()[0].path.name}: "
        f"permission denied for database {untouched.name}: "
        "connect as the role postgres\n"
    )


def test_a_record_that_may_not_be_read_is_said(database: Database, capfd: Any) -> None:
    apply_migrations(database.url)
    url = database.cluster.url(database.name, "bystander")
    assert run(["db", "status", "--database-url", url]) == 1
    assert capfd.readouterr().err == (
        "imagen: the record of migrations: permission denied for schema supabase_migrations: "
        "connect as the role postgres\n"
    )


def test_no_url_is_wrong_usage_and_says_where_it_is(capfd: Any) -> None:
    assert run(["db", "status"]) == 2
    said = capfd.readouterr().err
    assert said.startswith("imagen: no database URL: set $SUPABASE_DB_URL to what Supabase's")
    assert said.count("\n") == 1


def test_a_missing_psycopg_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    assert run(["db", "status", "--database-url", "postgresql://u@h/db"]) == 1
    assert_one_line(capfd, "migrations need psycopg: pip install 'imagen_nb[postgres]'")


def assert_one_line(capfd: Any, *expected: str) -> None:
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err.startswith("imagen: ")
    assert said.err.count("\n") == 1
    for text in expected:
        assert text in said.err
    for part in (SECRET, "s3cr", "W0rd"):
        assert part not in said.err


# --- the command


def test_the_command_applies_lists_and_says_when_nothing_is_left(
    database: Database, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("SUPABASE_DB_URL", database.url)
    assert run(["db", "migrate", "--dry-run"]) == 0
    assert capsys.readouterr().out.count("pending") == len(ALL)
    assert run(["db", "migrate"]) == 0
    said = capsys.readouterr()
    assert [line.split() for line in said.out.splitlines()[1:]] == [
        [file.version, file.name, "applied"] for file in load_migrations()
    ]
    assert said.err.startswith("imagen: the database warns: the API now shows the schemas public")
    assert run(["db", "migrate"]) == 0
    assert capsys.readouterr().out == "nothing to do: every migration is applied\n"
    assert run(["db", "status"]) == 0
    assert capsys.readouterr().out.count("applied") == len(ALL)


def test_json_is_for_programs(database: Database, capsys: Any) -> None:
    url = ["--database-url", database.url, "--json"]
    expected = [{"version": file.version, "name": file.name} for file in load_migrations()]
    assert run(["db", "status", *url]) == 0
    assert json.loads(capsys.readouterr().out) == [row | {"state": "pending"} for row in expected]
    assert run(["db", "migrate", "--dry-run", *url]) == 0
    assert json.loads(capsys.readouterr().out) == [row | {"state": "pending"} for row in expected]
    assert run(["db", "migrate", *url]) == 0
    assert json.loads(capsys.readouterr().out) == [row | {"state": "applied"} for row in expected]
    assert run(["db", "migrate", *url]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_the_url_may_stand_in_the_configuration(
    untouched: Database, tmp_path: Path, capsys: Any
) -> None:
    file = tmp_path / "imagen.yaml"
    file.write_text(f"supabase:\n  database_url: {json.dumps(untouched.url)}\n")
    assert run(["db", "status", "--config", str(file)]) == 0
    assert capsys.readouterr().out.count("pending") == len(ALL)


# --- the server of these tests


def test_the_server_ends_with_the_tests_even_when_they_are_killed() -> None:
    code = (
        "import os, signal\nfrom tests.fixtures import postgres\n"
        "server = postgres.cluster()\n"
        "print(server.folder, server.port, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    here = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=here, capture_output=True, text=True, env=dict(os.environ)
    )
    folder, port = done.stdout.split()
    for _ in range(100):
        if not Path(folder).exists():
            break
        threading.Event().wait(0.1)
    assert not Path(folder).exists()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(port))) != 0
