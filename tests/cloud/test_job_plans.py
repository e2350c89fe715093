"""A claim looks at what waits, however many jobs are finished: every question has its index."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.fixtures.callers import USER, acting
from tests.fixtures.postgres import MIGRATED, OWNER, STRANGER, fresh_database

WAITING = 10_000
FILL = f"""
INSERT INTO imagen.jobs
  (owner_user_id, request, backend, state, worker_id, lease_until, created_at, finished_at)
SELECT
  CASE WHEN mod(n, 3) = 0 THEN '{STRANGER}' ELSE '{OWNER}' END::uuid,
  '{{"prompt": "a red boat"}}', 'flux-tiny-local',
  CASE WHEN n <= %(waiting)s THEN 'waiting' WHEN n <= %(waiting)s + 100 THEN 'drawing'
    ELSE 'done' END,
  '{OWNER}'::uuid, '2026-05-11'::timestamptz + n * INTERVAL '1 minute',
  '2026-05-11'::timestamptz + n * INTERVAL '1 minute',
  CASE WHEN n > %(waiting)s + 100 THEN '2026-05-11'::timestamptz + n * INTERVAL '1 minute' END
FROM generate_series(1, %(all)s) AS n
"""
FILL_WORKERS = f"""
INSERT INTO imagen.workers (id, owner_user_id, name, backends, seen_at)
SELECT gen_random_uuid(), CASE WHEN mod(n, 3) = 0 THEN '{STRANGER}' ELSE '{OWNER}' END::uuid,
  'box', '{{b}}', now() - n * INTERVAL '1 minute'
FROM generate_series(1, 10000) AS n
"""
SOAK = pytest.param(1_000_000, marks=pytest.mark.soak)
MINE = f"owner_user_id = '{OWNER}'"
# As the functions ask, and as lists and pruning do: what is asked, and the index that answers.
QUESTIONS = {
    "what waits": (
        f"SELECT id FROM imagen.jobs WHERE {MINE} AND state = 'waiting'"
        " ORDER BY priority DESC, created_at, id LIMIT 8 FOR UPDATE SKIP LOCKED",
        "imagen_jobs_waiting_idx",
    ),
    "what is late": (
        f"SELECT id FROM imagen.jobs WHERE {MINE} AND state = 'drawing' AND lease_until < now()",
        "imagen_jobs_drawing_idx",
    ),
    "the newest": (
        f"SELECT * FROM imagen.jobs WHERE {MINE} ORDER BY created_at DESC, id DESC LIMIT 50",
        "imagen_jobs_owner_created_idx",
    ),
    "what ended long ago": (
        f"SELECT id FROM imagen.jobs WHERE {MINE} AND finished_at <= '2026-05-18'",
        "imagen_jobs_finished_idx",
    ),
    "some jobs": (
        "SELECT * FROM imagen.jobs WHERE id = ANY (ARRAY(SELECT gen_random_uuid()))",
        "jobs_pkey",
    ),
    "who was heard of": (
        f"SELECT * FROM imagen.workers WHERE {MINE} AND seen_at > now() - INTERVAL '1 day'"
        " ORDER BY seen_at DESC LIMIT 100",
        "imagen_workers_owner_seen_idx",
    ),
}


@pytest.fixture(scope="module", params=[100_000, SOAK])
def connection(request: pytest.FixtureRequest) -> Iterator[psycopg.Connection]:
    with fresh_database(MIGRATED) as database:
        with database.connect() as admin:
            admin.execute("SET session_replication_role = replica")  # no look at auth.users
            admin.execute(FILL.encode(), {"all": request.param, "waiting": WAITING})
            admin.execute(FILL_WORKERS.encode())
            admin.execute("ANALYZE imagen.jobs, imagen.workers")
        with database.connect("authenticator") as connection:
            yield connection


@pytest.mark.parametrize("question", QUESTIONS)
def test_each_question_has_its_index(connection: psycopg.Connection, question: str) -> None:
    query, index = QUESTIONS[question]
    with acting(connection, USER):
        (plan,) = connection.execute(f"EXPLAIN (FORMAT JSON) {query}".encode()).fetchone() or ()
    text = json.dumps(plan)
    assert index in re.findall(r'"Index Name": "(\w+)"', text)
    assert "Seq Scan" not in text


def test_a_claim_reads_little_of_what_is_there(connection: psycopg.Connection) -> None:
    with acting(connection, USER, undo=True):
        pages = blocks_of(connection, "SELECT id FROM imagen.claim_jobs(gen_random_uuid(), '{}')")
        claimed = blocks_of(
            connection,
            "SELECT id FROM imagen.claim_jobs(gen_random_uuid(), '{flux-tiny-local}', NULL, 8)",
        )
    assert claimed < 2000  # of 8 KiB: the table has ten times as many, and more
    assert pages < 20_000  # nothing fits: all that waits is looked at, and no more


def blocks_of(connection: psycopg.Connection, query: str) -> int:
    """Return how many pages of the database a statement looked at."""
    explained: Any = connection.execute(
        f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query}".encode()
    ).fetchone()
    plan = explained[0][0]["Plan"]
    return int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])
