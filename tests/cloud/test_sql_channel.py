"""What is told over Realtime, to whom its channel opens, and that no picture is lost by it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from imagen_nb.cloud.migrate import apply_migrations, load_migrations
from tests.fixtures.callers import ANON, INSERT_ROW, OTHER, SECRET, USER, Caller, acting, picture
from tests.fixtures.database_lint import findings
from tests.fixtures.postgres import (
    MIGRATED,
    OWNER,
    STRANGER,
    Database,
    each_version,
    fresh_database,
)

REALTIME = Path(__file__).parents[1].joinpath("fixtures", "realtime.sql").read_bytes()
NEWCOMER = Caller("authenticated", str(uuid4()))
CHANNEL = f"imagen:{OWNER}"
JOIN = """
SELECT set_config('role', %s, true), set_config('realtime.topic', %s, true),
  set_config('request.jwt.claims', %s, true)
"""


def install_realtime(database: Database) -> None:
    with database.connect() as admin:
        admin.execute(REALTIME)


@pytest.fixture(scope="module", params=each_version())
def project(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A project with Realtime, to which the migrations were applied then."""
    with fresh_database(version=request.param) as database:
        install_realtime(database)
        apply_migrations(database.url)
        yield database


@pytest.fixture
def connection(project: Database) -> Iterator[psycopg.Connection]:
    """As the superuser, in a transaction that is undone."""
    with project.connect() as connection, connection.transaction(force_rollback=True):
        yield connection


@pytest.fixture
def bare() -> Iterator[psycopg.Connection]:
    """The same in a project without Realtime."""
    with (
        fresh_database(MIGRATED) as database,
        database.connect() as connection,
        connection.transaction(force_rollback=True),
    ):
        yield connection


def add_picture(connection: psycopg.Connection, caller: Caller = USER) -> str:
    id, owner = str(uuid4()), caller.sub or OWNER
    with acting(connection, caller):
        row = picture(owner, f"{owner}/2026-05-11/{id}.png", id)
        connection.execute(INSERT_ROW.encode(), row)
    return id


def add_jobs(connection: psycopg.Connection, count: int = 1) -> list[str]:
    with acting(connection, USER):
        found = connection.execute(
            "INSERT INTO imagen.jobs (request) SELECT %s FROM generate_series(1, %s) RETURNING id",
            [Jsonb({"prompt": "a boat"}), count],
        ).fetchall()
    return sorted(str(id) for (id,) in found)


def told(connection: psycopg.Connection) -> list[tuple[Any, ...]]:
    """The messages of this transaction: topic, event, ids, how many ids there are."""
    connection.execute("RESET ROLE")
    found = connection.execute(
        "SELECT topic, event, payload, private, extension FROM realtime.messages"
    ).fetchall()
    for _, _, payload, private, extension in found:
        assert payload.keys() == {"ids", "count", "at"}
        assert (private, extension) == (True, "broadcast")
    return [(topic, event, sent["ids"], sent["count"]) for topic, event, sent, *_ in found]


def may_join(
    connection: psycopg.Connection, caller: Caller, topic: str, extension: str = "broadcast"
) -> bool:
    """Ask as Realtime does when somebody joins: whether they see a message of that topic."""
    with connection.transaction(force_rollback=True):
        connection.execute("RESET ROLE")
        found = connection.execute(
            "INSERT INTO realtime.messages (topic, extension) VALUES (%s, %s) RETURNING id",
            [topic, extension],
        ).fetchone()
        assert found
        claims = {"role": caller.role} | ({"sub": caller.sub} if caller.sub else {})
        connection.execute(JOIN, [caller.role, topic, json.dumps(claims)])
        query = "SELECT id FROM realtime.messages WHERE topic = %s AND id = %s"
        return connection.execute(query, [topic, found[0]]).fetchone() is not None


JOINS = [
    (USER, CHANNEL, True),
    (OTHER, f"imagen:{STRANGER}", True),
    (SECRET, CHANNEL, True),  # passes every policy
    (OTHER, CHANNEL, False),
    (NEWCOMER, CHANNEL, False),
    (ANON, CHANNEL, False),
    (Caller("anon", OWNER), CHANNEL, False),
    (Caller("authenticated"), CHANNEL, False),
    (Caller("authenticated"), "imagen:", False),
    (USER, f"imagen:{OWNER}:more", False),
    (USER, "imagen:", False),
    (USER, OWNER, False),
    (USER, "room-1", False),
]


@pytest.mark.parametrize(("caller", "topic", "expected"), JOINS)
def test_a_channel_opens_to_its_owner_only(
    connection: psycopg.Connection, caller: Caller, topic: str, expected: bool
) -> None:
    assert may_join(connection, caller, topic) is expected


def test_nobody_is_told_who_else_is_there(connection: psycopg.Connection) -> None:
    assert not may_join(connection, USER, CHANNEL, "presence")


@pytest.mark.parametrize("caller", [USER, OTHER, ANON])
def test_nobody_sends_to_a_channel(connection: psycopg.Connection, caller: Caller) -> None:
    with acting(connection, caller, undo=True), pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("SELECT realtime.send('{}', 'pictures', %s)", [CHANNEL])


@pytest.mark.parametrize("caller", [USER, OTHER, ANON, SECRET])
@pytest.mark.parametrize(
    "call",
    [
        "imagen.announce('pictures', %(owner)s, '{}')",
        "imagen.announce_pictures()",
        "imagen.announce_new_jobs()",
        "imagen.announce_changed_jobs()",
        "imagen.open_channel()",
    ],
)
def test_nobody_calls_what_runs_with_more_rights(
    connection: psycopg.Connection, caller: Caller, call: str
) -> None:
    with acting(connection, caller, undo=True), pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(f"SELECT {call}".encode(), {"owner": OWNER})


def test_other_topics_messages_are_not_seen_from_ones_own_channel(
    connection: psycopg.Connection,
) -> None:
    add_picture(connection, OTHER)
    with connection.transaction(force_rollback=True):
        claims = json.dumps({"role": "authenticated", "sub": OWNER})
        connection.execute(JOIN, ["authenticated", CHANNEL, claims])
        assert connection.execute("SELECT * FROM realtime.messages").fetchall() == []


def test_a_new_picture_is_told_to_its_owners_channel_by_its_id(
    connection: psycopg.Connection,
) -> None:
    id, theirs = add_picture(connection), add_picture(connection, OTHER)
    assert told(connection) == [
        (CHANNEL, "pictures", [id], 1),
        (f"imagen:{STRANGER}", "pictures", [theirs], 1),
    ]


def test_one_statement_is_one_message_with_at_most_a_hundred_ids(
    connection: psycopg.Connection,
) -> None:
    ids = add_jobs(connection, 250)
    assert told(connection) == [(CHANNEL, "jobs", ids[:100], 250)]


def test_a_row_that_was_there_already_is_not_told(connection: psycopg.Connection) -> None:
    id = add_picture(connection)
    with acting(connection, USER):
        row = picture(OWNER, f"{OWNER}/2026-05-11/{id}.png", id)
        connection.execute(f"{INSERT_ROW} ON CONFLICT DO NOTHING".encode(), row)
    assert len(told(connection)) == 1


def test_a_strangers_row_is_refused_before_it_is_told(connection: psycopg.Connection) -> None:
    id = str(uuid4())
    row = picture(OWNER, f"{OWNER}/2026-05-11/{id}.png", id)
    with pytest.raises(psycopg.errors.InsufficientPrivilege), acting(connection, OTHER):
        connection.execute(INSERT_ROW.encode(), row)
    assert told(connection) == []


def test_a_job_is_told_when_its_state_changes_and_not_with_its_progress(
    connection: psycopg.Connection,
) -> None:
    ids, box = add_jobs(connection, 2), uuid4()
    with acting(connection, USER):
        connection.execute("SELECT imagen.claim_jobs(%s, %s, NULL, 5)", [box, ["any"]])
        progress = Jsonb({id: {"step": 1, "steps": 4} for id in ids})
        connection.execute(
            "SELECT imagen.renew_jobs(%s, %s, 60, %s)", [box, [*map(UUID, ids)], progress]
        )
        connection.execute("SELECT imagen.cancel_jobs(%s)", [[UUID(ids[0])]])
    assert told(connection) == [
        (CHANNEL, "jobs", ids, 2),
        (CHANNEL, "jobs", ids, 2),
        (CHANNEL, "jobs", ids[:1], 1),
    ]


def test_a_send_that_fails_takes_no_picture_with_it(connection: psycopg.Connection) -> None:
    warnings: list[str] = []
    connection.add_notice_handler(lambda said: warnings.append(said.message_primary or ""))
    connection.execute("SET LOCAL realtime.broken = 'yes'")
    id, jobs = add_picture(connection), add_jobs(connection)
    assert connection.execute("SELECT id::text FROM imagen.images").fetchall() == [(id,)]
    assert connection.execute("SELECT id::text FROM imagen.jobs").fetchall() == [(jobs[0],)]
    assert warnings == [
        "imagen: pictures not announced: Realtime is out of order",
        "imagen: jobs not announced: Realtime is out of order",
    ]


def test_a_right_that_is_missing_takes_no_picture_with_it(connection: psycopg.Connection) -> None:
    everybody = "migrator, anon, authenticated, service_role, supabase_realtime_admin"
    connection.execute(f"REVOKE USAGE ON SCHEMA realtime FROM {everybody}".encode())
    id = add_picture(connection)
    assert connection.execute("SELECT id::text FROM imagen.images").fetchall() == [(id,)]
    assert told(connection) == []


def test_without_realtime_a_picture_is_a_picture(bare: psycopg.Connection) -> None:
    id, jobs = add_picture(bare), add_jobs(bare)
    assert bare.execute("SELECT id::text FROM imagen.images").fetchall() == [(id,)]
    assert bare.execute("SELECT id::text FROM imagen.jobs").fetchall() == [(jobs[0],)]
    bare.execute("RESET ROLE")
    assert bare.execute("SELECT imagen.open_channel()").fetchone() == (False,)


def test_realtime_may_come_after_the_migrations(bare: psycopg.Connection) -> None:
    bare.execute(REALTIME)
    id = add_picture(bare)
    assert told(bare) == [(CHANNEL, "pictures", [id], 1)]
    assert not may_join(bare, USER, CHANNEL)
    for _ in range(2):
        with bare.transaction():
            bare.execute("SET LOCAL ROLE migrator")
            assert bare.execute("SELECT imagen.open_channel()").fetchone() == (True,)
            bare.execute("RESET ROLE")
    assert may_join(bare, USER, CHANNEL)
    assert not may_join(bare, OTHER, CHANNEL)


def test_a_table_of_messages_that_takes_no_policy_stops_no_migration(
    bare: psycopg.Connection,
) -> None:
    bare.execute(REALTIME)
    bare.execute("REVOKE supabase_realtime_admin FROM migrator")
    bare.execute("SET LOCAL ROLE migrator")
    assert bare.execute("SELECT imagen.open_channel()").fetchone() == (False,)


def snapshot(connection: psycopg.Connection) -> list[tuple[Any, ...]]:
    """What the migrations make of triggers, functions, policies and indexes, with all grants."""
    queries = (
        "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1",
        "SELECT oid::regprocedure::text, prosecdef, proconfig::text, proacl::text, prosrc"
        " FROM pg_proc WHERE pronamespace = 'imagen'::regnamespace ORDER BY 1",
        "SELECT * FROM pg_policies ORDER BY 1, 2, 3",
        "SELECT indexdef FROM pg_indexes WHERE schemaname = 'imagen' ORDER BY 1",
    )
    return [row for query in queries for row in connection.execute(query.encode()).fetchall()]


def test_running_all_twice_changes_nothing(project: Database) -> None:
    with project.connect() as connection, connection.transaction(force_rollback=True):
        before = snapshot(connection)
        connection.execute("SET LOCAL ROLE migrator")
        for file in load_migrations():
            for statement in file.statements:
                connection.execute(statement.encode())
        connection.execute("RESET ROLE")
        assert snapshot(connection) == before
    assert sum("imagen_channel" in row for row in before) == 1
    assert sum("EXECUTE FUNCTION imagen.announce" in row[0] for row in before) == 3


def test_supabases_linter_has_nothing_to_say(connection: psycopg.Connection) -> None:
    assert findings(connection) == {}
