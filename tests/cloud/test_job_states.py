"""Every history of claims, renewals, deaths, lost answers and strangers is as the model has it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from psycopg.types.json import Jsonb

from tests.cloud.job_model import OPEN, ModelJob, ModelQueue
from tests.fixtures.callers import INSERT_ROW, OTHER, SECRET, USER, acting, picture
from tests.fixtures.postgres import MIGRATED, OWNER, STRANGER, Database, fresh_database

SEED = 22
BASIC = settings(
    deadline=None,
    database=None,
    print_blob=True,
    stateful_step_count=30,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, Phase.shrink],
)
TINY = "flux-tiny-local"
CALLERS = {OWNER: USER, STRANGER: OTHER}

ADD = """
INSERT INTO imagen.jobs (id, owner_user_id, request, backend, priority, max_attempts)
SELECT * FROM unnest(%s::uuid[], %s::uuid[], %s::jsonb[], %s::text[], %s::int[], %s::int[])
ON CONFLICT (id) DO NOTHING
"""
SEEN = """
SELECT id, owner_user_id::text, state, attempts, worker_id, coalesce(lease_until < now(), false),
  lease_until IS NOT NULL, finished_at IS NOT NULL
FROM imagen.jobs
"""


@dataclass
class Box:
    """A worker as it sees itself: the jobs of whose claim it has had the answer."""

    owner: str
    id: UUID
    held: set[UUID] = field(default_factory=set)


class Histories(RuleBasedStateMachine):
    """Three workers of one owner, and one of a stranger's."""

    connection: psycopg.Connection  # as the API signs in; given by the test

    @initialize()
    def begin(self) -> None:
        self.model = ModelQueue()
        self.started = 0
        self.boxes = [self.start(owner) for owner in (OWNER, OWNER, OWNER, STRANGER)]
        self.ids = [UUID(int=number) for number in (5, 3, 1, 2, 4, 6)]  # few: they are met again
        self.was_done: set[UUID] = set()
        with acting(self.connection, SECRET):
            for table in ("jobs", "workers", "images"):
                self.connection.execute(f"DELETE FROM imagen.{table}".encode())

    def start(self, owner: str) -> Box:
        """A worker's process; each has an id of its own."""
        self.started += 1
        return Box(owner, UUID(int=1000 + self.started))

    def ask(self, owner: str, secretly: bool, query: str, *values: Any) -> list[Any]:
        """The first column of the answer, asked as the owner, or with a secret key for them."""
        with acting(self.connection, SECRET if secretly else CALLERS[owner]):
            return [row[0] for row in self.connection.execute(query.encode(), [*values, owner])]

    def some(self, data: st.DataObject, box: Box | None = None) -> list[UUID]:
        """Ids of jobs: of anybody's, or of none; mostly of those that this worker has."""
        held = [id for id in self.ids if box and id in box.held]
        if held and data.draw(st.integers(0, 3)):
            return held
        return data.draw(st.lists(st.sampled_from(self.ids), max_size=4, unique=True))

    @rule(
        data=st.data(),
        owner=st.sampled_from([OWNER, OWNER, OWNER, STRANGER]),
        priority=st.integers(-1, 1),
        attempts=st.integers(1, 3),
        backend=st.sampled_from([None, None, TINY, "another"]),
    )
    def add(
        self, data: st.DataObject, owner: str, priority: int, attempts: int, backend: str | None
    ) -> None:
        """Some of them may be there: then the answer to their addition was lost."""
        added = self.model.additions + 1
        jobs = [ModelJob(id, owner, priority, added, attempts, backend) for id in self.some(data)]
        values = [
            [job.id for job in jobs],
            [owner] * len(jobs),
            [Jsonb({"prompt": "a boat"})] * len(jobs),
            [backend] * len(jobs),
            [priority] * len(jobs),
            [attempts] * len(jobs),
        ]
        with acting(self.connection, CALLERS[owner]):
            self.connection.execute(ADD.encode(), values)
        self.model.add(jobs)

    @rule(
        box=st.integers(0, 3),
        count=st.integers(0, 4),
        secretly=st.booleans(),
        heard=st.sampled_from([True, True, False]),
    )
    def claim(self, box: int, count: int, secretly: bool, heard: bool) -> None:
        one = self.boxes[box]
        query = "SELECT id FROM imagen.claim_jobs(%s, %s, NULL, %s, 600, %s, %s)"
        got = self.ask(one.owner, secretly, query, one.id, [TINY], count, [*one.held])
        assert got == self.model.claim(one.owner, one.id, TINY, count, one.held)
        if heard:
            one.held |= {*got}

    @rule(box=st.integers(0, 3))
    def die(self, box: int) -> None:
        """The next process of that machine knows nothing of what this one had."""
        self.boxes[box] = self.start(self.boxes[box].owner)

    @rule(data=st.data())
    def run_out(self, data: st.DataObject) -> None:
        """Time goes by: leases end."""
        ids = self.ids if data.draw(st.booleans()) else self.some(data)
        with acting(self.connection, SECRET):
            self.connection.execute(
                b"UPDATE imagen.jobs SET lease_until = now() - INTERVAL '1 s'"
                b" WHERE id = ANY (%s) AND state = 'drawing'",
                [ids],
            )
        for id in ids:
            job = self.model.jobs.get(id)
            if job and job.state == "drawing":
                job.late = True

    @rule(data=st.data(), box=st.integers(0, 3), secretly=st.booleans())
    def renew(self, data: st.DataObject, box: int, secretly: bool) -> None:
        one = self.boxes[box]
        ids = self.some(data, one)
        begun = self.some(data, one)
        progress = Jsonb({str(id): {"step": 1} for id in begun})
        query = "SELECT imagen.renew_jobs(%s, %s, 600, %s, %s)"
        (told,) = self.ask(one.owner, secretly, query, one.id, ids, progress)
        expected = self.model.renew(one.owner, one.id, ids, begun)
        assert told == {str(id): state for id, state in expected.items()}
        one.held -= {id for id, state in expected.items() if state != "drawing"}

    @rule(data=st.data())
    def ask_everybody(self, data: st.DataObject) -> None:
        """At most one worker hears that a job is its own."""
        (id,) = data.draw(st.lists(st.sampled_from(self.ids), min_size=1, max_size=1))
        query = "SELECT imagen.renew_jobs(%s, %s, 600, '{}', %s)"
        told = [self.ask(one.owner, False, query, one.id, [id])[0][str(id)] for one in self.boxes]
        for one in self.boxes:
            self.model.renew(one.owner, one.id, [id])
        assert told.count("drawing") <= 1

    @rule(data=st.data(), box=st.integers(0, 3))
    def send(self, data: st.DataObject, box: int) -> None:
        """Write the rows of pictures; of a job that was lost, too. The first one stays."""
        one = self.boxes[box]
        for id in self.some(data, one):
            row = picture(one.owner, f"{one.owner}/2026-05-11/{id}.png", str(id))
            with acting(self.connection, CALLERS[one.owner]):
                query = f"{INSERT_ROW} ON CONFLICT (id) DO NOTHING"
                self.connection.execute(query.encode(), row)
            self.model.pictures.setdefault(id, one.owner)

    @rule(data=st.data(), box=st.integers(0, 3), secretly=st.booleans(), times=st.integers(1, 2))
    def finish(self, data: st.DataObject, box: int, secretly: bool, times: int) -> None:
        one = self.boxes[box]
        ids = self.some(data, one)
        query = "SELECT imagen.finish_jobs(%s, %s, %s)"
        for _ in range(times):
            (told,) = self.ask(one.owner, secretly, query, one.id, ids)
            assert {*told} == self.model.finish(one.owner, one.id, ids)
            one.held -= {*told}

    @rule(
        data=st.data(),
        box=st.integers(0, 3),
        secretly=st.booleans(),
        again=st.booleans(),
        times=st.integers(1, 2),
    )
    def fail(self, data: st.DataObject, box: int, secretly: bool, again: bool, times: int) -> None:
        one = self.boxes[box]
        id = (self.some(data, one) or self.ids)[0]
        query = "SELECT imagen.fail_job(%s, %s, 'no', %s, %s)"
        for _ in range(times):
            told = self.ask(one.owner, secretly, query, one.id, id, again)
            assert told == [self.model.fail(one.owner, one.id, id, again)]
            one.held.discard(id)

    @rule(data=st.data(), box=st.integers(0, 3), secretly=st.booleans(), times=st.integers(1, 2))
    def release(self, data: st.DataObject, box: int, secretly: bool, times: int) -> None:
        one = self.boxes[box]
        ids = self.some(data, one)
        query = "SELECT imagen.release_jobs(%s, %s, %s)"
        for _ in range(times):
            told = self.ask(one.owner, secretly, query, one.id, ids)
            assert told == [self.model.release(one.owner, one.id, ids)]
            one.held -= {*ids}

    @rule(
        data=st.data(),
        owner=st.sampled_from([OWNER, STRANGER]),
        secretly=st.booleans(),
        times=st.integers(1, 2),
    )
    def cancel(self, data: st.DataObject, owner: str, secretly: bool, times: int) -> None:
        ids = self.some(data)
        for _ in range(times):
            (told,) = self.ask(owner, secretly, "SELECT imagen.cancel_jobs(%s, %s)", ids)
            assert {*told} == self.model.cancel(owner, ids)

    @rule(owner=st.sampled_from([OWNER, STRANGER]), secretly=st.booleans())
    def prune(self, owner: str, secretly: bool) -> None:
        told = self.ask(owner, secretly, "SELECT imagen.prune_jobs(0, %s)")
        before = {*self.model.jobs}
        assert told == [self.model.prune(owner)]
        self.was_done -= before - {*self.model.jobs}

    @invariant()
    def is_as_the_model_has_it(self) -> None:
        with acting(self.connection, SECRET):
            rows = {row[0]: row[1:] for row in self.connection.execute(SEEN.encode())}
            (pictures,) = self.connection.execute(
                b"SELECT coalesce(jsonb_object_agg(id, owner_user_id), '{}') FROM imagen.images"
            ).fetchone() or ({},)
        assert {id: row[:5] for id, row in rows.items()} == {
            job.id: (job.owner, job.state, job.attempts, job.worker, job.late)
            for job in self.model.jobs.values()
        }
        assert pictures == {str(id): owner for id, owner in self.model.pictures.items()}
        for id, (_, state, attempts, worker, _, is_leased, is_over) in rows.items():
            assert is_leased == (state == "drawing")
            assert is_over == (state not in OPEN)
            assert worker or state != "drawing"
            assert 0 <= attempts <= self.model.jobs[id].max_attempts
        done = {id for id, row in rows.items() if row[1] == "done"}
        assert self.was_done <= done
        assert done <= self.model.pictures.keys()
        self.was_done = done


# Mistakes in a function that some history must find: what is written instead of what.
MISTAKES = {
    "no lease ends": ("claim_jobs", "jobs.lease_until < now()", "false"),
    "every lease ends": ("claim_jobs", "jobs.lease_until < now()", "true"),
    "a picture that is there is drawn again": (
        "claim_jobs",
        "images.id = late.id",
        "images.id <> images.id",
    ),
    "a stranger's picture counts": ("claim_jobs", "AND images.owner_user_id = mine", ""),
    "no end of attempts": ("claim_jobs", "jobs.attempts >= jobs.max_attempts", "false"),
    "what was not heard of is kept": ("claim_jobs", "jobs.id <> ALL (claim_jobs.held)", "false"),
    "what is held is given away": ("claim_jobs", "AND jobs.id <> ALL (claim_jobs.held)", ""),
    "the least urgent first": ("claim_jobs", "jobs.priority DESC", "jobs.priority"),
    "the newest first": ("claim_jobs", "jobs.created_at, jobs.id", "jobs.created_at DESC, jobs.id"),
    "any backend": ("claim_jobs", "jobs.backend = ANY (claim_jobs.backends)", "true"),
    "what is lost is renewed": ("renew_jobs", "AND held.worker_id = renew_jobs.worker", ""),
    "what is over is drawn again": ("renew_jobs", "AND held.state = 'drawing'", ""),
    "done without a picture": (
        "finish_jobs",
        "images.id = ANY (finish_jobs.jobs)",
        "true",
    ),
    "cancelled for good": (
        "finish_jobs",
        "held.state <> 'done'",
        "held.state NOT IN ('done', 'cancelled')",
    ),
    "what is another's fails": ("fail_job", "AND jobs.worker_id = fail_job.worker", ""),
    "it is tried for ever": (
        "fail_job",
        "AND jobs.attempts + (jobs.progress IS NULL)::int < jobs.max_attempts",
        "",
    ),
    "each progress is an attempt": ("renew_jobs", "held.progress IS NULL AND", "true AND"),
    "no progress is an attempt": ("renew_jobs", "held.progress IS NULL AND", "false AND"),
    "what failed at once is no attempt": (
        "fail_job",
        "attempts = jobs.attempts + (jobs.progress IS NULL)::int",
        "attempts = jobs.attempts",
    ),
    "what was begun once stays begun": ("claim_jobs", "progress = NULL", "progress = '{}'"),
    "what is done is given back": ("release_jobs", "AND held.state = 'drawing'", ""),
    "giving back is an attempt": (
        "release_jobs",
        "held.attempts - (held.progress IS NOT NULL)::int",
        "held.attempts",
    ),
    "what is done is cancelled": ("cancel_jobs", "AND held.state IN ('waiting', 'drawing')", ""),
    "what waits is pruned": ("prune_jobs", "AND jobs.finished_at IS NOT NULL", "OR true"),
}


def make_mistake(database: Database, function: str, old: str, new: str) -> None:
    """Write one thing instead of another, everywhere in a function."""
    with database.connect() as admin:
        query = "SELECT pg_get_functiondef(to_regproc(%s)::oid)"
        found = admin.execute(query, [f"imagen.{function}"]).fetchone()
        assert found
        assert old in found[0]
        admin.execute(found[0].replace(old, new))


@contextmanager
def histories(mistake: tuple[str, str, str] | None = None) -> Iterator[Callable[[int, int], None]]:
    """What runs so many, from a seed; what fails is printed, shrunk."""
    with (
        fresh_database(MIGRATED) as database,
        database.connect("authenticator") as connection,
    ):
        if mistake:
            make_mistake(database, *mistake)

        class OnThisDatabase(Histories):
            pass

        OnThisDatabase.connection = connection

        def run(number: int, count: int) -> None:
            print(f"histories with seed {number}")
            phases = [Phase.generate] if mistake else BASIC.phases
            given = settings(
                BASIC, max_examples=count, phases=phases, report_multiple_bugs=not mistake
            )
            run_state_machine_as_test(seed(number)(OnThisDatabase), settings=given)

        yield run


def test_sixty_histories_of_the_queue() -> None:
    with histories() as run:
        run(SEED, 60)


@pytest.mark.soak
@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_a_function_is_found(name: str) -> None:
    with histories(MISTAKES[name]) as run, pytest.raises((AssertionError, psycopg.Error)):
        run(SEED, 500)


@pytest.mark.soak
def test_three_thousand_histories_of_the_queue() -> None:
    """With a seed that nobody has tried before."""
    with histories() as run:
        run(random.SystemRandom().randrange(2**32), 3000)
