"""The queue of jobs as SQL: who gets which job, and what becomes of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.fixtures.callers import ANON, INSERT_ROW, OTHER, SECRET, USER, Caller, acting, picture
from tests.fixtures.postgres import MIGRATED, OWNER, STRANGER, each_version, fresh_database

BOX, SECOND_BOX = uuid4(), uuid4()
BACKENDS = ["flux-tiny-local"]


@pytest.fixture(scope="module", params=each_version())
def shared(request: pytest.FixtureRequest) -> Iterator[psycopg.Connection]:
    """As the API signs in."""
    with (
        fresh_database(MIGRATED, request.param) as database,
        database.connect("authenticator") as connection,
    ):
        yield connection


@pytest.fixture
def connection(shared: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """The shared one, in a transaction that is undone."""
    with shared.transaction(force_rollback=True):
        yield shared


def ask(connection: psycopg.Connection, query: str, *values: Any, caller: Caller = USER) -> Any:
    """Return the first column of what a statement returns."""
    with acting(connection, caller):
        return [row[0] for row in connection.execute(query.encode(), values)]


def add(connection: psycopg.Connection, caller: Caller = USER, **columns: Any) -> UUID:
    """Add a job, and return its id."""
    values = {"request": Jsonb({"prompt": "a boat"}), **columns}
    names, marks = ", ".join(values), ", ".join(["%s"] * len(values))
    (id,) = ask(
        connection,
        f"INSERT INTO imagen.jobs ({names}) VALUES ({marks}) RETURNING id",
        *values.values(),
        caller=caller,
    )
    return UUID(str(id))


def claim(
    connection: psycopg.Connection,
    worker: UUID = BOX,
    count: int = 10,
    memory: int | None = None,
    held: list[UUID] | None = None,
) -> list[UUID]:
    query = "SELECT id FROM imagen.claim_jobs(%s, %s, %s, %s, 60, %s)"
    return ask(connection, query, worker, BACKENDS, memory, count, held or [])


def begin(connection: psycopg.Connection, worker: UUID, *ids: UUID) -> None:
    """Tell the first progress of jobs."""
    progress = Jsonb({str(id): {"step": 0} for id in ids})
    query = "SELECT imagen.renew_jobs(%s, %s, 60, %s)"
    ask(connection, query, worker, [*ids], progress)


def state(connection: psycopg.Connection, id: UUID) -> tuple[Any, ...]:
    with acting(connection, USER):
        query = "SELECT state, attempts, error FROM imagen.jobs WHERE id = %s"
        found = connection.execute(query, [id]).fetchone()
    assert found
    return found


def expire(connection: psycopg.Connection) -> None:
    """End every lease."""
    ask(
        connection,
        "UPDATE imagen.jobs SET lease_until = now() - INTERVAL '1 s'"
        " WHERE state = 'drawing' RETURNING 1",
    )


def keep_picture(connection: psycopg.Connection, id: UUID) -> None:
    """Write the row of a job's picture."""
    with acting(connection, USER):
        path = f"{OWNER}/2026-05-11/{id}.png"
        connection.execute(INSERT_ROW.encode(), picture(OWNER, path, str(id)))


def test_jobs_are_claimed_once_the_most_urgent_and_the_oldest_first(
    connection: psycopg.Connection,
) -> None:
    first, second = add(connection), add(connection)
    urgent = add(connection, priority=1)
    held = claim(connection, count=2)
    assert held == [urgent, min(first, second)]
    assert claim(connection, SECOND_BOX) == [max(first, second)]
    assert claim(connection, held=held) == []
    assert state(connection, urgent) == ("drawing", 0, None)


def test_a_worker_gets_what_it_can_draw(connection: psycopg.Connection) -> None:
    add(connection, backend="flux-dev-local")
    add(connection, memory_mb=9000)
    fits = add(connection, backend="flux-tiny-local", memory_mb=8000)
    assert claim(connection, memory=8000) == [fits]


def test_a_lost_workers_job_is_drawn_by_another_until_its_attempts_are_used_up(
    connection: psycopg.Connection,
) -> None:
    id = add(connection, max_attempts=2)
    assert claim(connection) == [id]
    begin(connection, BOX, id)
    begin(connection, BOX, id)
    expire(connection)
    assert claim(connection, SECOND_BOX) == [id]
    begin(connection, SECOND_BOX, id)
    lost = ask(connection, "SELECT imagen.renew_jobs(%s, %s)", BOX, [id])
    assert lost == [{str(id): "lost"}]
    expire(connection)
    assert claim(connection) == []
    assert state(connection, id)[0] == "failed"
    assert "2 workers" in state(connection, id)[2]


def test_what_a_lost_worker_had_not_begun_is_drawn_however_often_that_was(
    connection: psycopg.Connection,
) -> None:
    killer, ahead = add(connection, priority=1, max_attempts=2), add(connection, max_attempts=2)
    for _ in range(2):
        assert claim(connection) == [killer, ahead]
        begin(connection, BOX, killer)
        expire(connection)
    assert claim(connection) == [ahead]
    assert state(connection, killer)[:2] == ("failed", 2)
    assert state(connection, ahead) == ("drawing", 0, None)


def test_a_lost_workers_job_is_done_if_its_picture_is_there(connection: psycopg.Connection) -> None:
    id = add(connection)
    claim(connection)
    keep_picture(connection, id)
    expire(connection)
    assert claim(connection, SECOND_BOX) == []
    assert state(connection, id) == ("done", 0, None)


def test_what_a_worker_got_without_hearing_of_it_is_given_again(
    connection: psycopg.Connection,
) -> None:
    held = [add(connection)]
    claim(connection)
    unheard = add(connection)
    claim(connection, held=held)
    assert claim(connection, held=held) == [unheard]
    assert state(connection, unheard) == ("drawing", 0, None)
    assert state(connection, held[0]) == ("drawing", 0, None)


def test_renewing_tells_progress_and_prolongs(connection: psycopg.Connection) -> None:
    id = add(connection)
    claim(connection)
    expire(connection)
    progress = Jsonb({str(id): {"step": 2, "steps": 4, "preview": "AAAA"}})
    query = "SELECT imagen.renew_jobs(%s, %s, 60, %s)"
    assert ask(connection, query, BOX, [id], progress) == [{str(id): "drawing"}]
    with acting(connection, USER):
        row = connection.execute(
            "SELECT progress, preview, lease_until > now() FROM imagen.jobs"
        ).fetchone()
    assert row == ({"step": 2, "steps": 4}, "AAAA", True)
    assert claim(connection, SECOND_BOX) == []


def test_a_job_is_done_when_its_picture_is_there_and_not_before(
    connection: psycopg.Connection,
) -> None:
    id = add(connection)
    claim(connection)
    finish = "SELECT imagen.finish_job(%s, %s)"
    assert ask(connection, finish, BOX, id) == [False]
    assert state(connection, id)[0] == "drawing"
    keep_picture(connection, id)
    assert ask(connection, finish, BOX, id) == [True]
    assert state(connection, id) == ("done", 1, None)


def test_several_jobs_are_done_at_once(connection: psycopg.Connection) -> None:
    there, missing, strangers = add(connection), add(connection), uuid4()
    claim(connection)
    keep_picture(connection, there)
    finish = "SELECT unnest(imagen.finish_jobs(%s, %s))"
    assert ask(connection, finish, BOX, [there, missing, strangers]) == [there]
    assert [state(connection, id)[0] for id in (there, missing)] == ["done", "drawing"]
    assert ask(connection, finish, BOX, []) == []


def test_failing_ends_a_job_or_lets_it_wait_again(connection: psycopg.Connection) -> None:
    id = add(connection, max_attempts=2)
    fail = "SELECT imagen.fail_job(%s, %s, %s, %s)"
    claim(connection)
    assert ask(connection, fail, SECOND_BOX, id, "not mine", False) == ["lost"]
    assert ask(connection, fail, BOX, id, "the card fell out", True) == ["waiting"]
    assert claim(connection) == [id]
    assert ask(connection, fail, BOX, id, "again", True) == ["failed"]
    assert state(connection, id) == ("failed", 2, "again")


def test_what_is_given_back_counts_as_no_attempt(connection: psycopg.Connection) -> None:
    begun, ahead = add(connection, priority=1), add(connection)
    claim(connection)
    begin(connection, BOX, begun)
    assert state(connection, begun)[1] == 1
    release = "SELECT imagen.release_jobs(%s, %s)"
    assert ask(connection, release, BOX, [begun, ahead]) == [2]
    assert [state(connection, id) for id in (begun, ahead)] == [("waiting", 0, None)] * 2


def test_what_is_cancelled_is_drawn_by_nobody(connection: psycopg.Connection) -> None:
    waiting, drawing = add(connection), add(connection, priority=1)
    claim(connection, count=1)
    cancel = "SELECT unnest(imagen.cancel_jobs(%s))"
    assert {*ask(connection, cancel, [waiting, drawing])} == {waiting, drawing}
    assert ask(connection, cancel, [waiting, drawing]) == []
    assert claim(connection) == []
    renewed = ask(connection, "SELECT imagen.renew_jobs(%s, %s)", BOX, [drawing])
    assert renewed == [{str(drawing): "cancelled"}]


def test_workers_are_listed_with_the_time_since_they_were_heard_of(
    connection: psycopg.Connection,
) -> None:
    register = "SELECT imagen.register_worker(%s, %s, %s, %s)"
    ask(connection, register, BOX, "attic", BACKENDS, 8000)
    (workers,) = ask(connection, "SELECT imagen.list_workers()")
    assert [(one["name"], one["backends"], one["seconds"]) for one in workers] == [
        ("attic", BACKENDS, 0)
    ]
    assert ask(connection, "SELECT imagen.list_workers()", caller=OTHER) == [[]]


def test_a_worker_says_that_it_stops_and_that_it_is_back(connection: psycopg.Connection) -> None:
    register = "SELECT imagen.register_worker(%s, %s, %s, %s)"
    stopped = []
    ask(connection, register, BOX, "attic", BACKENDS, 8000)
    for query, values in (
        ("SELECT imagen.stop_worker(%s)", [SECOND_BOX]),
        ("SELECT imagen.stop_worker(%s)", [BOX]),
        (register, [BOX, "attic", BACKENDS, 8000]),
    ):
        ask(connection, query, *values)
        ((worker,),) = ask(connection, "SELECT imagen.list_workers()")
        stopped.append(worker["stopped"])
    assert stopped == [False, True, False]


def test_pruning_removes_what_ended_long_ago_and_no_picture(connection: psycopg.Connection) -> None:
    done, waiting = add(connection, priority=1), add(connection)
    claim(connection, count=1)
    keep_picture(connection, done)
    ask(connection, "SELECT imagen.finish_job(%s, %s)", BOX, done)
    assert ask(connection, "SELECT imagen.prune_jobs(3600)") == [0]
    assert ask(connection, "SELECT imagen.prune_jobs(0)") == [1]
    assert ask(connection, "SELECT id FROM imagen.jobs") == [waiting]
    assert ask(connection, "SELECT id FROM imagen.images") == [done]


FUNCTIONS = {
    "claim": "SELECT id FROM imagen.claim_jobs(%(worker)s, %(backends)s, owner => %(owner)s)",
    "renew": "SELECT imagen.renew_jobs(%(worker)s, %(jobs)s, 60, '{}', %(owner)s)",
    "finish": "SELECT imagen.finish_job(%(worker)s, %(job)s, %(owner)s)",
    "finish several": "SELECT imagen.finish_jobs(%(worker)s, %(jobs)s, %(owner)s)",
    "fail": "SELECT imagen.fail_job(%(worker)s, %(job)s, 'no', false, %(owner)s)",
    "release": "SELECT imagen.release_jobs(%(worker)s, %(jobs)s, %(owner)s)",
    "cancel": "SELECT imagen.cancel_jobs(%(jobs)s, %(owner)s)",
    "register": "SELECT imagen.register_worker(%(worker)s, 'mine', '{}', NULL, NULL, %(owner)s)",
    "stop": "SELECT imagen.stop_worker(%(worker)s, %(owner)s)",
    "workers": "SELECT imagen.list_workers(%(owner)s)",
    "prune": "SELECT imagen.prune_jobs(0, %(owner)s)",
}
NOTHING: dict[str, Any] = {
    "claim": [],
    "renew": "lost",
    "finish": [False],
    "finish several": [[]],
    "fail": ["lost"],
    "release": [0],
    "cancel": [[]],
    "register": "policy",
    "stop": [None],
    "workers": [[]],
    "prune": [0],
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("owner", [None, OWNER])
def test_a_stranger_reaches_nothing_by_any_function(
    connection: psycopg.Connection, name: str, owner: str | None
) -> None:
    drawing, waiting = add(connection, priority=1), add(connection)
    claim(connection, count=1)
    ask(connection, "SELECT imagen.register_worker(%s, 'box', '{}')", BOX)
    keep_picture(connection, drawing)
    before = ask(connection, "SELECT to_jsonb(jobs) FROM imagen.jobs ORDER BY id")
    workers = ask(connection, "SELECT to_jsonb(workers) FROM imagen.workers")
    values = {
        "worker": BOX,
        "backends": BACKENDS,
        "jobs": [drawing, waiting],
        "job": drawing,
        "owner": owner,
    }
    told: Any
    try:
        with acting(connection, OTHER):
            rows = connection.execute(FUNCTIONS[name].encode(), values).fetchall()
            told = [row[0] for row in rows]
    except psycopg.errors.InsufficientPrivilege:
        told = "policy"
    expected = NOTHING[name]
    if expected == "lost":
        expected = [{str(drawing): "lost", str(waiting): "lost"}]
    assert told == expected
    assert ask(connection, "SELECT to_jsonb(jobs) FROM imagen.jobs ORDER BY id") == before
    assert ask(connection, "SELECT to_jsonb(workers) FROM imagen.workers") == workers


@pytest.mark.parametrize("name", FUNCTIONS)
def test_nobody_calls_a_function_without_signing_in(
    connection: psycopg.Connection, name: str
) -> None:
    values = {"worker": BOX, "backends": [], "jobs": [BOX], "job": BOX, "owner": OWNER}
    with (
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="function"),
        acting(connection, ANON),
    ):
        connection.execute(FUNCTIONS[name].encode(), values)


def test_a_secret_key_works_for_the_owner_that_it_names(connection: psycopg.Connection) -> None:
    id = add(connection)
    add(connection, OTHER, owner_user_id=STRANGER)
    query = "SELECT id FROM imagen.claim_jobs(%s, %s, owner => %s)"
    assert ask(connection, query, BOX, BACKENDS, OWNER, caller=SECRET) == [id]
