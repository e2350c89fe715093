"""What the history asks for finds its rows by index, among 100,000 and under row-level security."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from imagen_nb.frames.query import make_query
from imagen_nb.frames.sources.remote import ApiSource
from tests.fixtures.callers import BUCKET, OTHER, READ, SECRET, USER, Caller, acting
from tests.fixtures.postgres import MIGRATED, OWNER, STRANGER, fresh_database

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
BY_PARENT = "imagen_parents_owner_idx"


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
            admin.execute(
                b"INSERT INTO imagen.parents (image_id, owner_user_id, parent, how)"
                b" SELECT id, owner_user_id, 'picture-' || row_number() OVER (), 'like'"
                b" FROM imagen.images"
            )
            admin.execute(
                b"INSERT INTO imagen.claims (storage_path, image_id, owner_user_id)"
                b" SELECT storage_path, id, owner_user_id FROM imagen.images"
            )  # all at one time, as a migration claims an old history
            admin.execute(
                b"INSERT INTO imagen.votes (owner_user_id, id, question, voter, left_id, right_id,"
                b" outcome, created_at) SELECT owner_user_id, id, '?', '', id, gen_random_uuid(),"
                b" 'left', created_at FROM imagen.images LIMIT 20000"
            )
            admin.execute(
                "ANALYZE imagen.parents, imagen.images, imagen.claims, imagen.votes,"
                " storage.objects"
            )
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
def test_what_was_claimed_last_is_read_from_the_index(
    connection: psycopg.Connection, caller: Caller
) -> None:
    nodes = plan(
        connection,
        caller,
        "SELECT image_id, claimed_at FROM imagen.claims WHERE owner_user_id = %(owner)s"
        " AND claimed_at IS NOT NULL ORDER BY claimed_at DESC, image_id DESC LIMIT 100",
    )
    assert indexes(nodes) == ["imagen_claims_owner_time_idx"]
    assert not [node for node in nodes if "Sort" in node["Node Type"]]


@pytest.mark.parametrize("caller", [USER, SECRET], ids=["owner", "secret key"])
@pytest.mark.parametrize(
    "below",
    ["", "AND created_at <= %(before)s AND (created_at < %(before)s OR id < %(id)s)"],
    ids=["the newest", "next page"],
)
def test_pages_of_votes_are_read_from_the_index(
    connection: psycopg.Connection, caller: Caller, below: str
) -> None:
    query = f"SELECT * FROM imagen.votes WHERE owner_user_id = %(owner)s {below} {NEWEST}"
    nodes = plan(connection, caller, query)
    assert indexes(nodes) == ["imagen_votes_owner_created_idx"]
    assert not [node for node in nodes if "Sort" in node["Node Type"]]


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


_COMPARED = {"eq": "=", "lt": "<", "lte": "<=", "gte": ">="}
_BELOW = re.compile(r"\(or\(created_at\.lt\.([^,]+),id\.lt\.([0-9a-f-]+)\)\)")


class ByPostgREST:
    """Answers `frames.remote` from PostgreSQL, under row-level security, 1,000 rows at most.

    Its questions become the SQL that PostgREST makes of them; `plans` has how each is answered.
    """

    def __init__(self, connection: psycopg.Connection, caller: Caller, settings: str = "") -> None:
        self.connection, self.caller, self.settings = connection, caller, settings
        self.plans: list[list[dict[str, Any]]] = []
        self._one_at_a_time = threading.Lock()

    def owner(self) -> tuple[str, str]:
        return OWNER, ""

    def rows(self, filters: list[tuple[str, str]], columns: str) -> list[dict[str, Any]]:
        sql = self._sql(filters, columns)
        with self._one_at_a_time, acting(self.connection, self.caller):
            self.connection.execute(self.settings.encode())
            (explained,) = self.connection.execute(f"EXPLAIN (FORMAT JSON) {sql}".encode())
            self.plans.append([*_nodes(explained[0][0]["Plan"])])
            found = self.connection.execute(f"SELECT to_jsonb(t) FROM ({sql}) AS t".encode())
            return [row for (row,) in found]

    def _sql(self, filters: list[tuple[str, str]], columns: str) -> str:
        given = dict(filters)
        order = given.pop("order").replace(".", " ")
        limit = min(int(given.pop("limit")), 1000)
        conditions = [self._condition(*one) for one in filters if one[0] not in ("order", "limit")]
        where = " AND ".join(conditions)
        return f"SELECT {columns} FROM imagen.images WHERE {where} ORDER BY {order} LIMIT {limit}"

    def _condition(self, name: str, value: str) -> str:
        if name == "and":
            below = _BELOW.fullmatch(value)
            assert below, value
            return f"(created_at < '{below[1]}' OR id < '{below[2]}')"
        if value in ("is.null", "not.is.null"):
            return f"{name} IS {value.removesuffix('is.null').replace('.', ' ')}NULL"
        operator, _, operand = value.partition(".")
        return f"{name} {_COMPARED[operator]} '{operand}'"


PAGED = [
    pytest.param({"limit": 2500}, 3, 2500, id="the newest, page after page"),
    pytest.param({}, 52, ROWS // 2, id="all, parts of the time side by side"),
    pytest.param(
        {"since": "2026-06-01T00:00Z", "until": "2026-06-14T00:00Z"},
        10,
        13 * 24 * 30 + 1,
        id="days",
    ),
]


@pytest.mark.parametrize("caller", [USER, SECRET], ids=["owner", "secret key"])
@pytest.mark.parametrize(("asked", "pages", "count"), PAGED)
def test_every_page_of_a_history_is_entered_at_its_key_by_the_owners_index(
    connection: psycopg.Connection,
    caller: Caller,
    asked: dict[str, Any],
    pages: int,
    count: int,
) -> None:
    """Where the key's id is a low one, the primary key may be read beside it: id < 0442… is few."""
    api: Any = ByPostgREST(connection, caller)
    table = ApiSource(api).load(make_query(**asked))
    assert len(set(table["id"].to_pylist())) == table.num_rows == count
    assert len(api.plans) >= pages
    entered = 0
    for nodes in api.plans:
        assert BY_OWNER in indexes(nodes)
        (scan,) = (node for node in nodes if node.get("Index Name") == BY_OWNER)
        assert "owner_user_id = " in scan["Index Cond"]
        entered += "created_at <= " in scan["Index Cond"]
    assert entered >= pages - 2  # all but the newest page and the question for the oldest row


def test_it_is_noticed_when_a_page_is_not_read_by_index(connection: psycopg.Connection) -> None:
    """A planner that has no index is what a lost migration, or a filter of another form, makes."""
    off = "SET LOCAL enable_indexscan = off; SET LOCAL enable_bitmapscan = off"
    api: Any = ByPostgREST(connection, USER, off)
    ApiSource(api).load(make_query(limit=10))
    with pytest.raises(AssertionError, match="Seq Scan"):
        indexes(api.plans[0])


def test_even_without_a_filter_the_policy_goes_by_the_owners_index(
    connection: psycopg.Connection,
) -> None:
    assert indexes(plan(connection, OTHER, f"SELECT * FROM imagen.images {NEWEST}")) == [BY_OWNER]


def test_who_the_caller_is_is_asked_once_a_query(connection: psycopg.Connection) -> None:
    nodes = plan(connection, OTHER, "SELECT * FROM imagen.images")
    assert [node["Subplan Name"] for node in nodes if "Subplan Name" in node] == ["InitPlan 1"]


@pytest.mark.parametrize("caller", [USER, SECRET], ids=["owner", "secret key"])
def test_what_was_drawn_from_a_picture_is_found_by_index(
    connection: psycopg.Connection, caller: Caller
) -> None:
    """As `FamilySearch` asks, through PostgREST."""
    query = (
        "SELECT image_id, parent, how FROM imagen.parents WHERE owner_user_id = %(owner)s"
        " AND parent = ANY ('{picture-7,picture-8}') ORDER BY image_id LIMIT 500"
    )
    assert indexes(plan(connection, caller, query)) == [BY_PARENT]


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
