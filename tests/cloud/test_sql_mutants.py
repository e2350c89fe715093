"""Every policy and every grant is seen by the matrix: change one, and another outcome comes out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing

import psycopg
import pytest

from tests.fixtures.postgres import MIGRATED, OWNER, STRANGER, fresh_database
from tests.fixtures.rights import as_superuser, differences, make_later_table, signed_in_to
from tests.fixtures.rights_mutants import (
    Mutant,
    grants,
    let_through,
    policies,
    revoked,
    row_security_mutants,
    wider_grants,
)

# How many changes of each there are, without those that are EQUIVALENT: all are noticed.
POLICIES = {
    "imagen_claims_insert": 9,
    "imagen_claims_select": 5,
    "imagen_embeddings_delete": 5,
    "imagen_embeddings_insert": 4,
    "imagen_embeddings_select": 5,
    "imagen_embeddings_update": 6,
    "imagen_generated_delete": 8,
    "imagen_generated_insert": 8,
    "imagen_generated_select": 10,
    "imagen_generated_update": 12,
    "imagen_images_delete": 8,
    "imagen_images_insert": 8,
    "imagen_images_select": 5,
    "imagen_images_update": 6,
    "imagen_jobs_delete": 4,
    "imagen_jobs_insert": 4,
    "imagen_jobs_select": 4,
    "imagen_jobs_update": 5,
    "imagen_parents_select": 5,
    "imagen_votes_delete": 5,
    "imagen_votes_insert": 5,
    "imagen_votes_select": 5,
    "imagen_workers_delete": 4,
    "imagen_workers_insert": 4,
    "imagen_workers_select": 4,
    "imagen_workers_update": 5,
}

# Changes that give nobody anything: the other policies let the same rows through.
EQUIVALENT = {
    ("imagen_embeddings_insert", "for all"),
    ("imagen_embeddings_insert", "to PUBLIC"),  # who sees no picture has none to add a vector of
    ("imagen_embeddings_insert", "to anon"),
    ("imagen_generated_insert", "for all"),
    ("imagen_generated_update", "for all"),
    ("imagen_images_insert", "for all"),
    *(
        (f"imagen_{table}_{command}", "for all")  # an owner may do everything with their own
        for table in ("jobs", "workers")
        for command in ("delete", "insert", "select", "update")
    ),
}
# Vectors of everybody's pictures, each said to be the owner's and the stranger's.
PAIR_ALL = f"""
INSERT INTO imagen.embeddings (image_id, owner_user_id, model, embedding)
SELECT id, owner, 'pair-' || owner, '[1, 2]'
FROM imagen.images, unnest('{{{OWNER}, {STRANGER}}}'::uuid[]) AS o (owner)
"""


@pytest.fixture(scope="module")
def connection() -> Iterator[psycopg.Connection]:
    """As the API signs in. Every test undoes what it did."""
    with fresh_database(MIGRATED) as database, signed_in_to(database) as connection:
        yield connection


def difference(connection: psycopg.Connection, mutant: Mutant) -> str | None:
    """What the matrix says first of this mutant, which is undone."""
    with connection.transaction(force_rollback=True):
        with as_superuser(connection):
            connection.execute(mutant.statement.encode())
        make_later_table(connection)
        with closing(differences(connection, mutant.table)) as found:
            return next(found, None)


def mutants_of(connection: psycopg.Connection, name: str) -> dict[str, Mutant]:
    (policy,) = (policy for policy in policies(connection) if policy.name == name)
    return {mutant.change: mutant for mutant in policy.mutants()}


def unnoticed(connection: psycopg.Connection, mutants: Iterable[Mutant]) -> list[str]:
    """Their changes. Prints how many there are, which `make mutants` counts."""
    tried = list(mutants)
    found = [mutant.change for mutant in tried if difference(connection, mutant) is None]
    print(f"{len(tried)} changes of rights, {len(found)} unnoticed")
    return found


def test_without_a_change_the_matrix_sees_no_difference(connection: psycopg.Connection) -> None:
    assert difference(connection, Mutant("", "none", "SELECT 1")) is None


def test_these_are_all_policies(connection: psycopg.Connection) -> None:
    assert [policy.name for policy in policies(connection)] == [*POLICIES]


@pytest.mark.parametrize("name", POLICIES)
def test_no_change_of_a_policy_goes_unnoticed(connection: psycopg.Connection, name: str) -> None:
    mutants = mutants_of(connection, name)
    told = [one for change, one in mutants.items() if (name, change) not in EQUIVALENT]
    assert unnoticed(connection, told) == []
    assert len(told) == POLICIES[name]


@pytest.mark.parametrize(("name", "change"), sorted(EQUIVALENT))
def test_an_equivalent_change_gives_nobody_anything(
    connection: psycopg.Connection, name: str, change: str
) -> None:
    """Neither to add, by the matrix, nor to see, change and delete, whoever's the rows are."""
    mutant = mutants_of(connection, name)[change]
    assert difference(connection, mutant) is None
    with connection.transaction(force_rollback=True):
        with as_superuser(connection):
            connection.execute(PAIR_ALL.encode())
        before = let_through(connection, mutant.table)
        with as_superuser(connection):
            connection.execute(mutant.statement.encode())
        assert let_through(connection, mutant.table) == before


@pytest.mark.parametrize("name", [name for name in POLICIES if not name.endswith("_insert")])
def test_more_rows_let_through_are_seen(connection: psycopg.Connection, name: str) -> None:
    """So that finding no difference means something."""
    mutant = mutants_of(connection, name)["using true"]
    before = let_through(connection, mutant.table)
    with connection.transaction(force_rollback=True):
        with as_superuser(connection):
            connection.execute(mutant.statement.encode())
        assert let_through(connection, mutant.table) != before


def test_row_level_security_does_not_go_off_unnoticed(connection: psycopg.Connection) -> None:
    assert unnoticed(connection, row_security_mutants()) == []


def test_no_grant_is_revoked_unnoticed(connection: psycopg.Connection) -> None:
    held = grants(connection)
    assert len(held) == 81
    assert unnoticed(connection, [revoked(*grant) for grant in held]) == []


def test_a_fifth_of_what_more_can_be_granted_is_noticed(connection: psycopg.Connection) -> None:
    assert unnoticed(connection, [*wider_grants(connection)][::5]) == []


@pytest.mark.soak
def test_nothing_more_is_granted_unnoticed(connection: psycopg.Connection) -> None:
    assert unnoticed(connection, wider_grants(connection)) == []
