"""Who may do what with rows and objects: every caller by every action, each with its outcome."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.fixtures.callers import (
    BUCKET,
    MOVE,
    SECRET,
    USER,
    acting,
    allowed,
    asked,
    complete,
    outcome,
    owner_of,
)
from tests.fixtures.postgres import MIGRATED, OWNER, STRANGER, each_version, fresh_database
from tests.fixtures.rights import (
    ATTEMPTS,
    ATTEMPTS_ON_VECTORS,
    ATTEMPTS_ON_VECTORS_PAST_GRANTS,
    ATTEMPTS_PAST_GRANTS,
    CALLERS,
    IN_OWNERS,
    IN_STRANGERS,
    NEW,
    OWNERS,
    Attempt,
    has_vectors,
    make_later_table,
    past_grants,
    signed_in_to,
)

# two uploads to one path, both asked before either completes: the path, who comes second, whether
# the second is allowed, and whose the object is in the end
RACES = [
    ("owner", IN_OWNERS, "anon", "policy", OWNER),
    ("owner", IN_OWNERS, "owner", 1, OWNER),
    ("owner", IN_OWNERS, "stranger", "policy", OWNER),
    ("owner", IN_OWNERS, "secret", 1, None),
    ("secret", NEW, "anon", "policy", None),
    ("secret", NEW, "owner", "policy", None),
    ("secret", NEW, "stranger", "policy", None),
    ("secret", NEW, "secret", 1, None),
]


@pytest.fixture(scope="module", params=each_version())
def connection(request: pytest.FixtureRequest) -> Iterator[psycopg.Connection]:
    """As the API signs in. Every test undoes what it did."""
    with (
        fresh_database(MIGRATED, request.param) as database,
        signed_in_to(database) as connection,
    ):
        make_later_table(connection)
        yield connection


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=str)
def test_grants_and_policies(connection: psycopg.Connection, attempt: Attempt) -> None:
    assert attempt.outcome(connection) == attempt.expected


@pytest.mark.parametrize("attempt", ATTEMPTS_PAST_GRANTS, ids=str)
def test_policies_where_all_is_granted(connection: psycopg.Connection, attempt: Attempt) -> None:
    with past_grants(connection):
        assert attempt.outcome(connection) == attempt.expected


@pytest.mark.parametrize("attempt", ATTEMPTS_ON_VECTORS, ids=str)
def test_grants_and_policies_of_vectors(connection: psycopg.Connection, attempt: Attempt) -> None:
    if not has_vectors(connection):
        pytest.skip("this PostgreSQL has no pgvector")
    assert attempt.outcome(connection) == attempt.expected


@pytest.mark.parametrize("attempt", ATTEMPTS_ON_VECTORS_PAST_GRANTS, ids=str)
def test_policies_of_vectors_where_all_is_granted(
    connection: psycopg.Connection, attempt: Attempt
) -> None:
    if not has_vectors(connection):
        pytest.skip("this PostgreSQL has no pgvector")
    with past_grants(connection):
        assert attempt.outcome(connection) == attempt.expected


@pytest.mark.parametrize("to", [IN_STRANGERS, NEW, f"{OWNER}/../{STRANGER}/x.png"])
def test_nobody_moves_an_object_out_of_their_folder(
    connection: psycopg.Connection, to: str
) -> None:
    with acting(connection, USER, undo=True):
        assert outcome(connection, MOVE, asked(USER, OWNERS, to=to)) == "policy"


@pytest.mark.parametrize(("first", "path", "second", "expected", "owner"), RACES)
def test_races(
    connection: psycopg.Connection,
    first: str,
    path: str,
    second: str,
    expected: int | str,
    owner: str | None,
) -> None:
    with connection.transaction(force_rollback=True):
        assert allowed(connection, CALLERS[first], path) == 1
        assert allowed(connection, CALLERS[second], path) == expected
        complete(connection, CALLERS[first], path)
        if expected == 1:
            complete(connection, CALLERS[second], path)
        assert owner_of(connection, path) == owner


def test_the_bucket_is_private_and_takes_pictures_of_up_to_50_mib(
    connection: psycopg.Connection,
) -> None:
    with acting(connection, SECRET):
        found = connection.execute(
            "SELECT public, file_size_limit, allowed_mime_types FROM storage.buckets WHERE id = %s",
            [BUCKET],
        ).fetchall()
    assert found == [(False, 52_428_800, ["image/png", "image/jpeg", "image/webp"])]
