"""Every policy and every grant is seen by the matrix: change one, and another outcome comes out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing

import psycopg
import pytest

from tests.fixtures.postgres import MIGRATED, fresh_database
from tests.fixtures.rights import as_superuser, differences, make_later_table, signed_in_to
from tests.fixtures.rights_mutants import (
    Mutant,
    grants,
    policies,
    revoked,
    row_security_mutants,
    wider_grants,
)

POLICIES = [
    "imagen_claims_insert",
    "imagen_claims_select",
    "imagen_embeddings_delete",
    "imagen_embeddings_insert",
    "imagen_embeddings_select",
    "imagen_embeddings_update",
    "imagen_generated_delete",
    "imagen_generated_insert",
    "imagen_generated_select",
    "imagen_generated_update",
    "imagen_images_delete",
    "imagen_images_insert",
    "imagen_images_select",
    "imagen_images_update",
    "imagen_parents_select",
]

# Changes that give nobody anything: the other policies let the same rows through.
EQUIVALENT = {
    ("imagen_embeddings_insert", "for all"),
    ("imagen_embeddings_insert", "to PUBLIC"),  # who sees no picture has none to add a vector of
    ("imagen_embeddings_insert", "to anon"),
    ("imagen_generated_insert", "for all"),
    ("imagen_generated_update", "for all"),
    ("imagen_images_insert", "for all"),
}


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


def unnoticed(connection: psycopg.Connection, mutants: Iterable[Mutant]) -> list[str]:
    """Their changes. Prints how many there are, which `make mutants` counts."""
    tried = list(mutants)
    found = [mutant.change for mutant in tried if difference(connection, mutant) is None]
    print(f"{len(tried)} changes of rights, {len(found)} unnoticed")
    return found


def test_without_a_change_the_matrix_sees_no_difference(connection: psycopg.Connection) -> None:
    assert difference(connection, Mutant("", "none", "SELECT 1")) is None


def test_these_are_all_policies(connection: psycopg.Connection) -> None:
    assert [policy.name for policy in policies(connection)] == POLICIES


@pytest.mark.parametrize("name", POLICIES)
def test_no_change_of_a_policy_goes_unnoticed(connection: psycopg.Connection, name: str) -> None:
    (policy,) = (policy for policy in policies(connection) if policy.name == name)
    mutants = [one for one in policy.mutants() if (name, one.change) not in EQUIVALENT]
    assert len(mutants) >= 4
    assert unnoticed(connection, mutants) == []


def test_row_level_security_does_not_go_off_unnoticed(connection: psycopg.Connection) -> None:
    assert unnoticed(connection, row_security_mutants()) == []


def test_no_grant_is_revoked_unnoticed(connection: psycopg.Connection) -> None:
    held = grants(connection)
    assert len(held) == 33
    assert unnoticed(connection, [revoked(*grant) for grant in held]) == []


def test_nothing_more_is_granted_unnoticed(connection: psycopg.Connection) -> None:
    assert unnoticed(connection, wider_grants(connection)) == []
