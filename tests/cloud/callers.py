"""Who asks the API, and the SQL by which PostgREST and the Storage server ask for them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from postgres import OWNER, STRANGER
from psycopg.types.json import Json

BUCKET = "imagen-generated"


@dataclass(frozen=True, slots=True)
class Caller:
    """The claims of a token. Without `sub` nobody in particular asks."""

    role: str
    sub: str | None = None


ANON = Caller("anon")
USER = Caller("authenticated", OWNER)
OTHER = Caller("authenticated", STRANGER)
SECRET = Caller("service_role")


@contextmanager
def acting(connection: psycopg.Connection, caller: Caller, *, undo: bool = False) -> Iterator[None]:
    """One request: a transaction under the caller's role and claims."""
    claims = {"role": caller.role} | ({"sub": caller.sub} if caller.sub else {})
    with connection.transaction(force_rollback=undo):
        connection.execute(
            "SELECT set_config('role', %s, true), set_config('request.jwt.claims', %s, true)",
            [caller.role, json.dumps(claims)],
        )
        yield


def outcome(connection: psycopg.Connection, query: str, values: dict[str, Any]) -> int | str:
    """How many rows it found or changed, or who refused it: the grants or a policy."""
    try:
        with connection.transaction():
            return connection.execute(query, values).rowcount
    except psycopg.errors.InsufficientPrivilege as error:
        by_policy = "row-level security" in (error.diag.message_primary or "")
        return "policy" if by_policy else "grant"
    except psycopg.errors.UniqueViolation:
        return "taken"


UPLOAD = """
INSERT INTO storage.objects (bucket_id, name, owner, owner_id, version, metadata)
VALUES (%(bucket)s, %(path)s, %(sub)s::uuid, %(sub)s::text, %(version)s, %(metadata)s)
"""  # without RETURNING: the INSERT policy alone decides
UPSERT = (
    UPLOAD
    + """
ON CONFLICT (bucket_id, name) DO UPDATE SET
  owner = EXCLUDED.owner, owner_id = EXCLUDED.owner_id, version = EXCLUDED.version,
  metadata = EXCLUDED.metadata, updated_at = now()
RETURNING *
"""
)
READ = "SELECT * FROM storage.objects WHERE bucket_id = %(bucket)s AND name = %(path)s"  # and sign
LIST = "SELECT * FROM storage.objects WHERE bucket_id = %(bucket)s AND name LIKE %(path)s || '%%'"
OVERWRITE = """
UPDATE storage.objects SET version = %(version)s, owner_id = %(sub)s::text
WHERE bucket_id = %(bucket)s AND name = %(path)s RETURNING *
"""
MOVE = """
UPDATE storage.objects SET name = %(to)s
WHERE bucket_id = %(bucket)s AND name = %(path)s RETURNING *
"""
REMOVE = "DELETE FROM storage.objects WHERE bucket_id = %(bucket)s AND name = %(path)s RETURNING *"


def asked(caller: Caller, path: str, **more: str) -> dict[str, Any]:
    """The values of a request to the Storage server."""
    return {
        "bucket": BUCKET,
        "path": path,
        "sub": caller.sub,
        "version": str(uuid.uuid4()),
        "metadata": Json({"size": 3, "mimetype": "image/png"}),
    } | more


def allowed(connection: psycopg.Connection, caller: Caller, path: str) -> int | str:
    """The first half of an upload: the server tries the row under the caller's role, and undoes it."""
    with acting(connection, caller, undo=True):
        return outcome(connection, UPLOAD, asked(caller, path))


def complete(connection: psycopg.Connection, caller: Caller, path: str) -> None:
    """The second half, when the file is there: as a superuser, whatever has happened meanwhile."""
    with acting(connection, SECRET):
        connection.execute(UPSERT, asked(caller, path))


def upload(connection: psycopg.Connection, caller: Caller, path: str) -> int | str:
    """A whole upload."""
    said = allowed(connection, caller, path)
    if said == 1:
        complete(connection, caller, path)
    return said


def reads(connection: psycopg.Connection, caller: Caller, path: str) -> bool:
    """Whether the caller can read the object, which is also whether they can sign a URL for it."""
    with acting(connection, caller):
        return outcome(connection, READ, asked(caller, path)) == 1


def owner_of(connection: psycopg.Connection, path: str) -> str | None:
    """Whose the object at this path is; None: a secret key's."""
    with acting(connection, SECRET):
        row = connection.execute(
            "SELECT owner_id FROM storage.objects WHERE bucket_id = %s AND name = %s",
            [BUCKET, path],
        ).fetchone()
    assert row, f"no object at {path}"
    owner: str | None = row[0]
    return owner


INSERT_ROW = """
INSERT INTO imagen.images (id, owner_user_id, prompt, backend, storage_path, tags)
VALUES (%(id)s, %(owner)s, 'a red boat', 'flux-tiny-local', %(path)s, '{}')
"""


def picture(owner: str | None, path: str, id: str | None = None) -> dict[str, Any]:
    """The values of a row."""
    return {"id": id or str(uuid.uuid4()), "owner": owner, "path": path}
