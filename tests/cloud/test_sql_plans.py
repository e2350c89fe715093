"""What the history asks for finds its rows by index, among 100,000 and under row-level security."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from callers import BUCKET, OTHER, READ, SECRET, USER, Caller, acting
from postgres import MIGRATED, OWNER, STRANGER, fresh_database

ROWS = 100_000
FILL = f"""
INSERT INTO imagen.images
  (owner_user_id, prompt, backend, storage_path, tags, created_at)
SELECT
  CASE WHEN n % 2 = 0 THEN '{OWNER}' WHEN n % 100 = 1 THEN '{STRANGER}'
    ELSE format('cccccccc-0000-4000-8000-%s', lpad((n % 50)::text, 12, '0')) END::uuid,
  'a red boat', CASE WHEN n % 1000 = 0 THEN 'flux-dev-replicate' ELSE 'flux-schnell-local' END,
  '2026-05-11/boat-' || n || '.png',
  CASE WHEN n % 500 = 0 THEN ARRAY['blue'] ELSE ARRAY[]::text[] END,
  '2026-05-11'::timestamptz + n * INTERVAL '1 minute'
FROM generate_series(1, {ROWS}) AS n
"""
NEWEST = "ORDER BY created_at DESC, id DESC LIMIT 500"
MINE = "SELECT * FROM imagen.images WHERE owner_user_id = %(owner)s"
VALUES = {"owner": OWNER, "before": "2026-06-11T00:00:00Z", "id": OWNER, "tag": ["blue"]}

BY_OWNER = "imagen_images_owner_created_idx"
BY_BACKEND = "imagen_images_backend_idx"
BY_TAG = "imagen_images_tags_idx"


@pytest.fixture(scope="module")
def connection() -> Iterator[psycopg.Connection]:
    with fresh_database(MIGRATED) as database:
        with database.connect() as admin:
            admin.execute("SET session_replication_role = replica")  # no look at auth.users
            admin.execute(FILL.encode())
            admin.execute(
                b"INSERT INTO storage.objects (bucket_id, name) SELECT 'imagen-generated',"
                b" format('%s/%s', owner_user_id, storage_path) FROM imagen.images LIMIT 5000"
            )
            admin.execute("ANALYZE imagen.images, storage.objects")
        with database.connect("authenticator") as connection:
            yield connection


def plan(
    connection: psycopg.Connection, caller: Caller, query: str, values: dict[str, Any] = VALUES
) -> list[dict[str, Any]]:
    """The nodes of the query's plan, outermost first."""
    with acting(connection, caller):
        explained = connection.execute(f"EXPLAIN (FORMAT JSON) {query}".encode(), values)
        row = explained.fetchone()
    assert row
    return list(_nodes(row[0][0]["Plan"]))


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", []):
        yield from _nodes(child)


def indexes(nodes: list[dict[str, Any]]) -> list[str]:
    """The indexes of a plan that reads no table from end to end."""
    assert "Seq Scan" not in [node["Node Type"] for node in nodes]
    return [node["Index Name"] for node in nodes if "Index Name" in node]


@pytest.mark.parametrize("caller", [USER, SECRET], ids=["owner", "secret key"])
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param(f"{MINE} {NEWEST}", BY_OWNER, id="the newest"),
        pytest.param(
            f"{MINE} AND (created_at, id) < (%(before)s, %(id)s) {NEWEST}", BY_OWNER, id="next page"
        ),
        pytest.param(
            f"{MINE} AND created_at <= %(before)s AND (created_at < %(before)s OR id < %(id)s)"
            f" {NEWEST}",
            BY_OWNER,
            id="next page, as PostgREST can say it",
        ),
        pytest.param(
            f"{MINE} AND created_at >= %(before)s AND created_at < '2026-06-20' {NEWEST}",
            BY_OWNER,
            id="a span of days",
        ),
        pytest.param(
            f"{MINE} AND backend = 'flux-dev-replicate' {NEWEST}", BY_BACKEND, id="a rare backend"
        ),
        pytest.param(
            f"{MINE} AND backend = 'flux-schnell-local' {NEWEST}", BY_OWNER, id="the usual backend"
        ),
    ],
)
def test_history_finds_its_rows_by_index(
    connection: psycopg.Connection, caller: Caller, query: str, expected: str
) -> None:
    assert indexes(plan(connection, caller, query)) == [expected]


def test_a_page_begins_where_the_last_one_ended(connection: psycopg.Connection) -> None:
    """The index is entered at the time, not read from its newest entry."""
    query = f"{MINE} AND (created_at, id) < (%(before)s, %(id)s) {NEWEST}"
    (scan,) = (node for node in plan(connection, USER, query) if "Index Name" in node)
    assert "created_at <=" in scan["Index Cond"]


def test_even_without_a_filter_the_policy_goes_by_the_owners_index(
    connection: psycopg.Connection,
) -> None:
    assert indexes(plan(connection, OTHER, f"SELECT * FROM imagen.images {NEWEST}")) == [BY_OWNER]


def test_who_the_caller_is_is_asked_once_a_query(connection: psycopg.Connection) -> None:
    nodes = plan(connection, OTHER, "SELECT * FROM imagen.images")
    assert [node["Subplan Name"] for node in nodes if "Subplan Name" in node] == ["InitPlan 1"]


def test_tags_are_found_by_their_index_where_all_rows_may_be_seen(
    connection: psycopg.Connection,
) -> None:
    assert indexes(plan(connection, SECRET, f"{MINE} AND tags @> %(tag)s {NEWEST}")) == [BY_TAG]


def test_tags_are_found_among_the_callers_own_rows(connection: psycopg.Connection) -> None:
    """Not by their index: @> is not leakproof, so the policy goes first."""
    values = VALUES | {"owner": STRANGER}
    query = f"{MINE} AND tags @> %(tag)s {NEWEST}"
    assert indexes(plan(connection, OTHER, query, values)) == [BY_OWNER]


def test_an_object_in_the_own_folder_is_read_by_index(connection: psycopg.Connection) -> None:
    values = {"bucket": BUCKET, "path": f"{OWNER}/2026-05-11/boat-2.png"}
    nodes = plan(connection, USER, READ, values)
    assert nodes[0]["Index Name"] in ("bucketid_objname", "name_prefix_search")


def test_pages_hold_every_row_of_the_owner_once(connection: psycopg.Connection) -> None:
    seen: list[Any] = []
    where = ""
    values: dict[str, Any] = {"owner": STRANGER}
    query = "SELECT created_at, id FROM imagen.images WHERE owner_user_id = %(owner)s"
    while True:
        with acting(connection, OTHER):
            page = connection.execute(
                f"{query} {where} ORDER BY created_at DESC, id DESC LIMIT 300".encode(), values
            ).fetchall()
        if not page:
            break
        seen += page
        where = "AND (created_at, id) < (%(before)s, %(id)s)"
        values |= {"before": page[-1][0], "id": page[-1][1]}
    assert len(seen) == len(set(seen)) == ROWS // 100
