"""Four ways by which obvious policies let a stranger read, block or overwrite: all closed here.

The same attacks run against obvious policies too, so that it is seen that they are attacks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest

from tests.fixtures.callers import (
    CLAIM_PATH,
    INSERT_ROW,
    OTHER,
    SECRET,
    UPLOAD,
    USER,
    Caller,
    acting,
    allowed,
    asked,
    complete,
    outcome,
    owner_of,
    picture,
    reads,
    upload,
)
from tests.fixtures.postgres import MIGRATED, OWNER, STRANGER, Database, fresh_database

OBVIOUS = """
DROP POLICY imagen_images_insert ON imagen.images;
CREATE POLICY obvious_insert ON imagen.images FOR INSERT TO authenticated
  WITH CHECK (owner_user_id = (SELECT auth.uid()));
DROP POLICY imagen_claims_insert ON imagen.claims;
CREATE POLICY obvious_claim ON imagen.claims FOR INSERT TO authenticated
  WITH CHECK (owner_user_id = (SELECT auth.uid()));
DROP POLICY imagen_generated_insert ON storage.objects;
DROP POLICY imagen_generated_update ON storage.objects;
DROP POLICY imagen_generated_select ON storage.objects;
CREATE POLICY obvious_upload ON storage.objects FOR INSERT TO authenticated
  WITH CHECK (bucket_id = 'imagen-generated');
CREATE POLICY obvious_read ON storage.objects FOR SELECT TO authenticated
  USING (EXISTS (
    SELECT FROM imagen.images
    WHERE storage_path = objects.name AND owner_user_id = (SELECT auth.uid())
  ));
"""

# who uploads the owner's picture, and where to: the names that imagen_nb gives
UPLOADERS = {
    "session": (USER, f"{OWNER}/2026-05-11/boat-11.png"),
    "secret key": (SECRET, "2026-05-11/boat-11.png"),
}


@pytest.fixture(params=["obvious", "ours"])
def policies(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def connection(policies: str) -> Iterator[psycopg.Connection]:
    with fresh_database(MIGRATED) as database:
        if policies == "obvious":
            _make_obvious(database)
        with database.connect("authenticator") as connection:
            yield connection


def _make_obvious(database: Database) -> None:
    with database.connect() as admin:
        admin.execute(OBVIOUS)


def reads_by_naming_the_path(connection: psycopg.Connection, owner: Caller, path: str) -> bool:
    """The stranger adds a row of their own that names the owner's path, and reads the object."""
    assert upload(connection, owner, path) == 1
    with acting(connection, OTHER):
        outcome(connection, INSERT_ROW, picture(STRANGER, path))
    return reads(connection, OTHER, path)


def blocks_by_being_first(connection: psycopg.Connection, owner: Caller, path: str) -> bool:
    """The stranger uploads to the path that the owner's next picture will have."""
    upload(connection, OTHER, path)
    return upload(connection, owner, path) != 1


def overwrites_by_racing(connection: psycopg.Connection, owner: Caller, path: str) -> bool:
    """Both are asked before either's file is there; the stranger's arrives last."""
    assert allowed(connection, owner, path) == 1
    may = allowed(connection, OTHER, path)
    complete(connection, owner, path)
    if may == 1:
        complete(connection, OTHER, path)
    return owner_of(connection, path) == STRANGER


def takes_the_path_by_claiming_it(connection: psycopg.Connection, owner: Caller, path: str) -> bool:
    """The stranger claims the path that the owner's next picture would have."""
    with acting(connection, OTHER):
        outcome(connection, CLAIM_PATH, picture(STRANGER, path))
    with acting(connection, owner):
        return outcome(connection, CLAIM_PATH, picture(OWNER, path)) != 1


@pytest.mark.parametrize("uploader", UPLOADERS)
@pytest.mark.parametrize(
    "attack",
    [
        reads_by_naming_the_path,
        blocks_by_being_first,
        overwrites_by_racing,
        takes_the_path_by_claiming_it,
    ],
)
def test_a_stranger_gets_through_obvious_policies_and_not_through_ours(
    connection: psycopg.Connection,
    policies: str,
    attack: Callable[[psycopg.Connection, Caller, str], bool],
    uploader: str,
) -> None:
    owner, path = UPLOADERS[uploader]
    assert attack(connection, owner, path) == (policies == "obvious")


@pytest.mark.parametrize("policies", ["ours"])
@pytest.mark.parametrize("uploader", UPLOADERS)
def test_the_owner_reads_what_was_uploaded_for_them(
    connection: psycopg.Connection, uploader: str
) -> None:
    owner, path = UPLOADERS[uploader]
    assert upload(connection, owner, path) == 1
    with acting(connection, owner):
        assert outcome(connection, INSERT_ROW, picture(OWNER, path)) == 1
    assert reads(connection, USER, path)
    assert not reads(connection, OTHER, path)


@pytest.mark.parametrize("policies", ["ours"])
def test_a_stranger_is_refused_while_the_owners_upload_is_under_way(
    connection: psycopg.Connection,
) -> None:
    """Over two connections, the owner's row not yet committed: the stranger does not wait."""
    path = UPLOADERS["session"][1]
    with (
        psycopg.connect(connection.info.dsn, autocommit=True) as second,
        acting(connection, USER),
    ):
        second.execute("SET lock_timeout = '5s'")
        assert outcome(connection, UPLOAD, asked(USER, path)) == 1
        assert allowed(second, OTHER, path) == "policy"
    assert owner_of(connection, path) == OWNER


@pytest.mark.parametrize("policies", ["ours"])
@pytest.mark.parametrize("uploader", UPLOADERS)
def test_of_two_claims_at_once_the_second_waits_and_is_not_made(
    connection: psycopg.Connection, uploader: str
) -> None:
    """Two machines of the owner, the first one's claim not yet committed."""
    owner, path = UPLOADERS[uploader]
    keep = CLAIM_PATH + "ON CONFLICT (storage_path) DO NOTHING"
    with psycopg.connect(connection.info.dsn, autocommit=True) as second:
        second.execute("SET lock_timeout = '50ms'")
        with acting(connection, owner):
            assert outcome(connection, keep, picture(OWNER, path)) == 1
            with pytest.raises(psycopg.errors.LockNotAvailable), acting(second, owner):
                outcome(second, keep, picture(OWNER, path))
        with acting(second, owner):
            assert outcome(second, keep, picture(OWNER, path)) == 0
