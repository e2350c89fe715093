"""Who may do what with rows and objects: every caller by every action, each with its outcome.

A number is how many rows were seen or changed; `grant` and `policy` say who refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.fixtures.callers import (
    ANON,
    BUCKET,
    CLAIM_PATH,
    INSERT_ROW,
    LIST,
    MOVE,
    OTHER,
    OVERWRITE,
    READ,
    REMOVE,
    SECRET,
    UPLOAD,
    UPSERT,
    USER,
    acting,
    allowed,
    asked,
    complete,
    outcome,
    owner_of,
    picture,
    upload,
)
from tests.fixtures.postgres import MIGRATED, OWNER, STRANGER, each_version, fresh_database

CALLERS = {"anon": ANON, "owner": USER, "stranger": OTHER, "secret": SECRET}

OWNERS = f"{OWNER}/2026-05-11/boat-11.png"  # uploaded with the owner's session
STRANGERS = f"{STRANGER}/2026-05-11/boat-12.png"
KEYS = "2026-05-11/boat-13.png"  # uploaded with a secret key, for the owner
ROWS = {
    OWNERS: "00000000-0000-4000-8000-000000000011",
    STRANGERS: "00000000-0000-4000-8000-000000000012",
    KEYS: "00000000-0000-4000-8000-000000000013",
}
NEW = "2026-05-11/new-1.png"
IN_OWNERS, IN_STRANGERS = f"{OWNER}/{NEW}", f"{STRANGER}/{NEW}"

ONE = "WHERE id = %(id)s"
KEEP = "ON CONFLICT (id) DO NOTHING RETURNING *"  # as PostgREST does with ignore-duplicates
REPLACE = "ON CONFLICT (id) DO UPDATE SET prompt = EXCLUDED.prompt RETURNING *"
# Without WHERE and RETURNING a statement reads nothing, so that only its own policy stands guard.
TAG_ALL = "UPDATE imagen.images SET tags = '{blue}'"
OVERWRITE_ALL = "UPDATE storage.objects SET version = %(version)s"
CARRY_ALL = "UPDATE storage.objects SET bucket_id = 'other'"
REMOVE_ALL = "DELETE FROM storage.objects"
TAG = f"UPDATE imagen.images SET tags = '{{blue}}' {ONE} RETURNING *"
REWRITE = f"UPDATE imagen.images SET prompt = 'mine' {ONE}"
REDIRECT = f"UPDATE imagen.images SET storage_path = %(path)s {ONE}"
GIVE_AWAY = f"UPDATE imagen.images SET owner_user_id = %(owner)s {ONE}"
DELETE = f"DELETE FROM imagen.images {ONE}"
PATH = "WHERE storage_path = %(path)s"
KEEP_CLAIM = "ON CONFLICT (storage_path) DO NOTHING RETURNING *"
TAKE_CLAIM = "ON CONFLICT (storage_path) DO UPDATE SET image_id = EXCLUDED.image_id"


def row(path: str, owner: str = OWNER, **more: str) -> dict[str, Any]:
    """The row that names this path, or a new one."""
    return picture(owner, path, ROWS.get(path)) | more


def new(path: str, owner: str) -> dict[str, Any]:
    return picture(owner, path)


def outcomes_of(text: str) -> list[tuple[str, int | str]]:
    """Each caller with what they get, from "grant 1 policy 1"."""
    words = [int(word) if word.isdigit() else word for word in text.split()]
    return [*zip(CALLERS, words, strict=True)]


# action: query, values, then the outcome for anon, owner, stranger, secret key
Row = tuple[str, str, dict[str, Any], str]
ON_ROWS: list[Row] = [
    ("select all", "SELECT * FROM imagen.images", {}, "grant 2 1 3"),
    ("count", "SELECT FROM imagen.images", {}, "grant 2 1 3"),
    ("select the owner's", f"SELECT * FROM imagen.images {ONE}", row(OWNERS), "grant 1 0 1"),
    ("insert as the owner", INSERT_ROW, new(IN_OWNERS, OWNER), "grant 1 policy 1"),
    ("insert as the stranger", INSERT_ROW, new(IN_STRANGERS, STRANGER), "grant policy 1 1"),
    ("insert and see it", INSERT_ROW + "RETURNING *", new(IN_OWNERS, OWNER), "grant 1 policy 1"),
    (
        "insert for the owner, in the stranger's folder",
        INSERT_ROW,
        new(IN_STRANGERS, OWNER),
        "grant policy policy 1",
    ),
    (
        "claim the owner's path, as the stranger",
        INSERT_ROW,
        new(OWNERS, STRANGER),
        "grant policy policy 1",
    ),
    (
        "claim the stranger's path, as the owner",
        INSERT_ROW,
        new(STRANGERS, OWNER),
        "grant policy policy 1",
    ),
    (
        "claim a secret key's path, as the stranger",
        INSERT_ROW,
        new(KEYS, STRANGER),
        "grant policy policy 1",
    ),
    (
        "claim a secret key's path, as the owner",
        INSERT_ROW,
        new(KEYS, OWNER),
        "grant policy policy 1",
    ),
    (
        "leave the own folder by ..",
        INSERT_ROW,
        new(f"{OWNER}/../{STRANGERS}", OWNER),
        "grant policy policy 1",
    ),
    (
        "a folder that only begins like the own",
        INSERT_ROW,
        new(f"{OWNER}x/{NEW}", OWNER),
        "grant policy policy 1",
    ),
    ("send again, keeping what is there", INSERT_ROW + KEEP, row(OWNERS), "grant 0 policy 0"),
    (
        "send anew, keeping what is there",
        INSERT_ROW + KEEP,
        new(IN_OWNERS, OWNER),
        "grant 1 policy 1",
    ),
    (
        "send under another's id, keeping what is there",
        INSERT_ROW + KEEP,
        row(OWNERS, STRANGER) | {"path": IN_STRANGERS},
        "grant policy 0 0",
    ),
    ("send again, replacing", INSERT_ROW + REPLACE, row(OWNERS), "grant grant grant 1"),
    ("send again, insisting", INSERT_ROW, row(OWNERS), "grant taken policy taken"),
    ("tag the owner's", TAG, row(OWNERS), "grant 1 0 1"),
    ("tag the stranger's", TAG, row(STRANGERS), "grant 0 1 1"),
    ("tag a secret key's for the owner", TAG, row(KEYS), "grant 1 0 1"),
    ("tag all blindly", TAG_ALL, {}, "grant 2 1 3"),
    ("rewrite the owner's prompt", REWRITE, row(OWNERS), "grant grant grant 1"),
    ("rewrite the stranger's prompt", REWRITE, row(STRANGERS), "grant grant grant 1"),
    (
        "redirect the owner's row to the stranger's path",
        REDIRECT,
        row(OWNERS) | {"path": STRANGERS},
        "grant grant grant 1",
    ),
    (
        "give the owner's row to the stranger",
        GIVE_AWAY,
        row(OWNERS, STRANGER),
        "grant grant grant 1",
    ),
    ("delete the owner's", DELETE, row(OWNERS), "grant grant grant 1"),
    ("delete the stranger's", DELETE, row(STRANGERS), "grant grant grant 1"),
    ("truncate", "TRUNCATE imagen.images", {}, "grant grant grant grant"),
]

ON_CLAIMS: list[Row] = [
    ("see all claims", "SELECT * FROM imagen.claims", {}, "grant 2 1 3"),
    ("see whose the owner's path is", f"SELECT * FROM imagen.claims {PATH}", row(OWNERS),
     "grant 1 0 1"),
    ("see whose a secret key's path is", f"SELECT * FROM imagen.claims {PATH}", row(KEYS),
     "grant 1 0 1"),
    ("claim as the owner", CLAIM_PATH, new(IN_OWNERS, OWNER), "grant 1 policy 1"),
    ("claim as the stranger", CLAIM_PATH, new(IN_STRANGERS, STRANGER), "grant policy 1 1"),
    ("claim a day of a secret key", CLAIM_PATH, new(NEW, OWNER), "grant policy policy 1"),
    ("claim for the owner in the stranger's folder", CLAIM_PATH, new(IN_STRANGERS, OWNER),
     "grant policy policy 1"),
    ("claim in the owner's folder as the stranger", CLAIM_PATH, new(IN_OWNERS, STRANGER),
     "grant policy policy 1"),
    ("claim outside the own folder by ..", CLAIM_PATH,
     new(f"{OWNER}/../{STRANGERS}", OWNER), "grant policy policy 1"),
    ("claim in a folder that only begins like the own", CLAIM_PATH,
     new(f"{OWNER}x/{NEW}", OWNER), "grant policy policy 1"),
    ("claim anew, keeping what is there", CLAIM_PATH + KEEP_CLAIM, new(IN_OWNERS, OWNER),
     "grant 1 policy 1"),
    ("claim again, keeping what is there", CLAIM_PATH + KEEP_CLAIM, row(OWNERS),
     "grant 0 policy 0"),
    ("claim what another has, keeping what is there", CLAIM_PATH + KEEP_CLAIM,
     new(OWNERS, OWNER), "grant 0 policy 0"),
    ("claim again, insisting", CLAIM_PATH, row(OWNERS), "grant taken policy taken"),
    ("claim again, replacing", CLAIM_PATH + TAKE_CLAIM, new(OWNERS, OWNER),
     "grant grant grant 1"),
    ("give a claim to another picture", f"UPDATE imagen.claims SET image_id = %(id)s {PATH}",
     new(OWNERS, OWNER), "grant grant grant 1"),
    ("give a claim to another owner", f"UPDATE imagen.claims SET owner_user_id = %(owner)s {PATH}",
     new(OWNERS, STRANGER), "grant grant grant 1"),
    ("give up a claim", f"DELETE FROM imagen.claims {PATH}", row(OWNERS), "grant grant grant 1"),
    ("truncate claims", "TRUNCATE imagen.claims", {}, "grant grant grant grant"),
]  # fmt: skip

# action: query, path, then the outcome for anon, owner, stranger, secret key
ON_OBJECTS: list[tuple[str, str, str, str]] = [
    ("list all", LIST, "", "0 2 1 3"),
    ("list the owner's folder", LIST, f"{OWNER}/", "0 1 0 1"),
    ("list a day of a secret key", LIST, "2026-05-11/", "0 1 0 1"),
    ("read the owner's", READ, OWNERS, "0 1 0 1"),
    ("read the stranger's", READ, STRANGERS, "0 0 1 1"),
    ("read a secret key's for the owner", READ, KEYS, "0 1 0 1"),
    ("upload to the owner's folder", UPLOAD, IN_OWNERS, "policy 1 policy 1"),
    ("upload to the stranger's folder", UPLOAD, IN_STRANGERS, "policy policy 1 1"),
    ("upload to a day of a secret key", UPLOAD, NEW, "policy policy policy 1"),
    ("upload to the top", UPLOAD, "new-1.png", "policy policy policy 1"),
    (
        "upload out of the own folder by ..",
        UPLOAD,
        f"{OWNER}/../{STRANGER}/x.png",
        "policy policy policy 1",
    ),
    (
        "upload to a folder that only begins like the own",
        UPLOAD,
        f"{OWNER}x/{NEW}",
        "policy policy policy 1",
    ),
    ("upload onto the owner's", UPLOAD, OWNERS, "policy taken policy taken"),
    ("upload onto a secret key's", UPLOAD, KEYS, "policy policy policy taken"),
    ("upsert into the owner's folder", UPSERT, IN_OWNERS, "policy 1 policy 1"),
    ("upsert into the stranger's folder", UPSERT, IN_STRANGERS, "policy policy 1 1"),
    ("upsert onto the owner's", UPSERT, OWNERS, "policy 1 policy 1"),
    ("upsert onto the stranger's", UPSERT, STRANGERS, "policy policy 1 1"),
    ("upsert onto a secret key's", UPSERT, KEYS, "policy policy policy 1"),
    ("overwrite the owner's", OVERWRITE, OWNERS, "0 1 0 1"),
    ("overwrite the stranger's", OVERWRITE, STRANGERS, "0 0 1 1"),
    ("overwrite a secret key's", OVERWRITE, KEYS, "0 0 0 1"),
    ("overwrite all blindly", OVERWRITE_ALL, "", "0 1 1 3"),
    ("remove all blindly", REMOVE_ALL, "", "0 0 0 3"),
    ("move the owner's within the folder", MOVE, OWNERS, "0 1 0 1"),
    ("remove the owner's", REMOVE, OWNERS, "0 0 0 1"),
    ("remove the stranger's", REMOVE, STRANGERS, "0 0 0 1"),
    ("remove a secret key's", REMOVE, KEYS, "0 0 0 1"),
]

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
    fresh = fresh_database(MIGRATED, request.param)
    with fresh as database, database.connect("authenticator") as connection:
        fill(connection)
        yield connection


def fill(connection: psycopg.Connection) -> None:
    for path, caller in ((OWNERS, USER), (STRANGERS, OTHER), (KEYS, SECRET)):
        assert upload(connection, caller, path) == 1
        with acting(connection, caller):
            values = picture(caller.sub or OWNER, path, ROWS[path])
            assert outcome(connection, CLAIM_PATH, values) == 1
            assert outcome(connection, INSERT_ROW, values) == 1


@pytest.mark.parametrize(
    ("query", "values", "who", "expected"),
    [
        pytest.param(query, values, who, expected, id=f"{who}: {action}")
        for action, query, values, outcomes in ON_ROWS + ON_CLAIMS
        for who, expected in outcomes_of(outcomes)
    ],
)
def test_rows(
    connection: psycopg.Connection,
    query: str,
    values: dict[str, Any],
    who: str,
    expected: int | str,
) -> None:
    with acting(connection, CALLERS[who], undo=True):
        assert outcome(connection, query, values) == expected


@pytest.mark.parametrize(
    ("query", "path", "who", "expected"),
    [
        pytest.param(query, path, who, expected, id=f"{who}: {action}")
        for action, query, path, outcomes in ON_OBJECTS
        for who, expected in outcomes_of(outcomes)
    ],
)
def test_objects(
    connection: psycopg.Connection, query: str, path: str, who: str, expected: int | str
) -> None:
    caller = CALLERS[who]
    with acting(connection, caller, undo=True):
        assert outcome(connection, query, asked(caller, path, to=IN_OWNERS)) == expected


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


@pytest.mark.parametrize("who", CALLERS)
def test_other_buckets_are_none_of_these_policies_business(
    connection: psycopg.Connection, who: str
) -> None:
    caller = CALLERS[who]
    with connection.transaction(force_rollback=True):
        with acting(connection, SECRET):
            connection.execute("INSERT INTO storage.buckets (id, name) VALUES ('other', 'other')")
            connection.execute(UPLOAD, asked(SECRET, IN_OWNERS, bucket="other"))
        values = asked(caller, f"{OWNER}/second.png", bucket="other")
        with acting(connection, caller, undo=True):
            assert outcome(connection, LIST, values | {"path": ""}) == (1 if who == "secret" else 0)
        with acting(connection, caller, undo=True):
            assert outcome(connection, UPLOAD, values) == (1 if who == "secret" else "policy")


def test_an_object_does_not_leave_the_bucket(connection: psycopg.Connection) -> None:
    with connection.transaction(force_rollback=True):
        with acting(connection, SECRET):
            connection.execute("INSERT INTO storage.buckets (id, name) VALUES ('other', 'other')")
        with acting(connection, USER, undo=True):
            assert outcome(connection, CARRY_ALL, {}) == "policy"


def test_the_bucket_is_private_and_takes_pictures_of_up_to_50_mib(
    connection: psycopg.Connection,
) -> None:
    with acting(connection, SECRET):
        found = connection.execute(
            "SELECT name, public, file_size_limit, allowed_mime_types FROM storage.buckets"
        ).fetchall()
    assert found == [(BUCKET, False, 52_428_800, ["image/png", "image/jpeg", "image/webp"])]
