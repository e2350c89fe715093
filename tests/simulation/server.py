"""A model of Supabase within the test's process: sign-in, Storage, and the two tables by PostgREST.

It knows what imagen_nb's client asks for and no more, and refuses loudly what it does not know.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote
from uuid import UUID

import httpx

from imagen_nb.storage.media_types import media_type_of

BUCKET = "imagen-generated"
URL = "http://supabase.test"
SESSION_S = 3600
_KEYS = {"images": "id", "claims": "storage_path"}
_REQUIRED = {
    "images": ("id", "owner_user_id", "prompt", "backend", "storage_path"),
    "claims": ("storage_path", "image_id", "owner_user_id"),
}

Row = dict[str, Any]
# What a request does, in steps: others may come at each `yield`; a write follows the last one.
Work = Generator[None, None, httpx.Response]


@dataclass(frozen=True, slots=True)
class User:
    id: UUID
    email: str
    password: str


@dataclass(slots=True)
class LateWork:
    """A request that is done after so many others, or when everything late arrives."""

    work: Work
    requests_left: int


@dataclass
class SimulatedSupabase:
    """Everything that the server keeps.

    `overwritten`: paths of which an upload without upsert replaced another file, which Storage
    lets happen. `changed_late`: ids of rows whose tags a request changed after its sender had
    given it up.
    """

    users: dict[str, User] = field(default_factory=dict)
    sessions: dict[str, UUID] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    tables: dict[str, dict[str, Row]] = field(default_factory=lambda: {"images": {}, "claims": {}})
    overwritten: list[str] = field(default_factory=list)
    changed_late: set[str] = field(default_factory=set)
    late: list[LateWork] = field(default_factory=list)
    _numbers: Callable[[], int] = field(default_factory=lambda: itertools.count(1).__next__)

    def add_user(self, name: str) -> User:
        user = User(UUID(int=0xACC0 << 64 | self._numbers()), f"{name}@example.org", "secret")
        self.users[user.email] = user
        return user

    @property
    def images(self) -> dict[str, Row]:
        return self.tables["images"]

    @property
    def claims(self) -> dict[str, Row]:
        return self.tables["claims"]

    def add_row(self, id: str, user: User) -> Row:
        """Add a row of imagen.images as a user may by hand, under any id that is free."""
        row = {
            "id": id,
            "owner_user_id": str(user.id),
            "prompt": "mine",
            "backend": "b",
            "storage_path": f"{user.id}/x/{id}.png",
            "tags": [],
            "sidecar": None,
        }
        self.images[id] = row
        return row

    def end_sessions(self) -> None:
        """As when the project's secret is changed: everybody has to sign in again."""
        self.sessions.clear()

    def deliver_late(self, *, everything: bool = False) -> None:
        """Count a request, and do those of which the time has come."""
        for one in self.late:
            one.requests_left -= 1
        due = [one for one in self.late if everything or one.requests_left <= 0]
        self.late = [one for one in self.late if one not in due]
        for one in due:
            before = {id: row["tags"] for id, row in self.images.items()}
            run(one.work)
            self.changed_late |= {
                id for id, row in self.images.items() if row["tags"] != before.get(id, row["tags"])
            }

    def handle(self, request: httpx.Request) -> Work:
        """Return what a request does. Whoever it is from is known when it arrives."""
        path = unquote(request.url.path)
        if path == "/auth/v1/token":
            return self._sign_in(request)
        if path.startswith("/storage/v1/object/sign/") and request.method == "GET":
            return self._read_signed(path.removeprefix(f"/storage/v1/object/sign/{BUCKET}/"))
        token = request.headers["authorization"].removeprefix("Bearer ")
        caller = self.sessions.get(token)
        if caller is None:
            return _refused_session(path)
        if path.startswith("/rest/v1/"):
            return self._table_request(request, path.removeprefix("/rest/v1/"), caller)
        return self._storage_request(request, path.removeprefix("/storage/v1/object/"), caller)

    # Sign-in

    def _sign_in(self, request: httpx.Request) -> Work:
        asked = json.loads(request.content)
        yield
        user = self.users.get(asked["email"])
        if user is None or user.password != asked["password"]:
            return _json(400, {"code": 400, "error_code": "invalid_credentials", "msg": "no"})
        token = f"token-{self._numbers()}"
        self.sessions[token] = user.id
        about = {
            "id": str(user.id),
            "aud": "authenticated",
            "role": "authenticated",
            "email": user.email,
            "app_metadata": {},
            "user_metadata": {},
            "created_at": "2026-01-01T00:00:00Z",
        }
        times = {"expires_in": SESSION_S, "expires_at": 2_000_000_000}
        tokens = {"access_token": token, "refresh_token": "r", "token_type": "bearer"}
        return _json(200, {**tokens, **times, "user": about})

    # Storage

    def _storage_request(self, request: httpx.Request, rest: str, caller: UUID) -> Work:
        if request.method == "POST" and rest == f"sign/{BUCKET}":
            return self._sign(json.loads(request.content)["paths"], caller)
        if request.method == "GET" and rest.startswith(f"info/{BUCKET}/"):
            return self._info(rest.removeprefix(f"info/{BUCKET}/"), caller)
        if request.method == "POST" and rest.startswith(f"{BUCKET}/"):
            return self._upload(request, rest.removeprefix(f"{BUCKET}/"), caller)
        if request.method == "DELETE" and rest == BUCKET:
            return self._remove(json.loads(request.content)["prefixes"], caller)
        raise NotImplementedError(f"{request.method} {rest}")

    def _upload(self, request: httpx.Request, path: str, caller: UUID) -> Work:
        """Storage looks for an object before it has the body, and does not look again."""
        replace = request.headers.get("x-upsert") == "true"
        if not _is_in_folder_of(path, caller):
            yield
            return _storage_error(403, "Unauthorized", "new row violates row-level security policy")
        if path in self.objects and not replace:
            yield
            return _storage_error(409, "Duplicate", "The resource already exists")
        yield
        png = _file_in(request)
        if not replace and self.objects.get(path, png) != png:
            self.overwritten.append(path)
        self.objects[path] = png
        return _json(200, {"Key": f"{BUCKET}/{path}", "Id": str(UUID(int=self._numbers()))})

    def _remove(self, paths: list[str], caller: UUID) -> Work:
        """Silent about what the caller may not remove."""
        yield
        mine = [path for path in paths if path in self.objects and _is_in_folder_of(path, caller)]
        for path in mine:
            del self.objects[path]
        return _json(200, [{"name": path} for path in mine])

    def _info(self, path: str, caller: UUID) -> Work:
        yield
        data = self.objects.get(path)
        if data is None or not self._may_read(path, caller):
            return _storage_error(404, "not_found", "Object not found")
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
        return _json(200, {"name": path, "size": len(data), "etag": f'"{md5}"'})

    def _sign(self, paths: list[str], caller: UUID) -> Work:
        yield
        items = []
        for path in paths:
            there = path in self.objects and self._may_read(path, caller)
            url = f"/object/sign/{BUCKET}/{path}?token=signed" if there else None
            error = None if there else "Either the object does not exist or you do not have access"
            items.append({"path": path, "error": error, "signedURL": url})
        return _json(200, items)

    def _read_signed(self, path: str) -> Work:
        yield
        if path not in self.objects:
            return _storage_error(404, "not_found", "Object not found")
        return httpx.Response(200, stream=httpx.ByteStream(self.objects[path]))  # not yet read

    def _may_read(self, path: str, caller: UUID) -> bool:
        rows = self.images.values()
        own = (row["storage_path"] for row in rows if row["owner_user_id"] == str(caller))
        return _is_in_folder_of(path, caller) or path in own

    # The tables

    def _table_request(self, request: httpx.Request, table: str, caller: UUID) -> Work:
        profile = "accept-profile" if request.method == "GET" else "content-profile"
        assert request.headers[profile] == "imagen", request.headers
        if request.method == "POST":
            return self._insert(request, table, caller)
        if request.method == "GET":
            return self._select(request, table, caller)
        if request.method == "PATCH" and table == "images":
            return self._update(request, caller)
        if request.method == "DELETE" and table == "images":
            return self._delete(request, caller)
        raise NotImplementedError(f"{request.method} {table}")

    def _insert(self, request: httpx.Request, table: str, caller: UUID) -> Work:
        """ON CONFLICT DO NOTHING: silent about rows that the caller may not see, too."""
        prefer = request.headers["prefer"].split(",")
        assert {"return=representation", "resolution=ignore-duplicates"} <= set(prefer), prefer
        key, rows = _KEYS[table], json.loads(request.content)
        assert request.url.params["on_conflict"] == key
        yield
        for row in rows:
            if any(row.get(name) is None for name in _REQUIRED[table]):
                return _table_error(400, "23502", "null value violates not-null constraint")
            in_folder = _is_in_folder_of(row["storage_path"], caller)
            if row["owner_user_id"] != str(caller) or not in_folder:
                return _table_error(403, "42501", f"row-level security policy for {table}")
        new = [row for row in rows if row[key] not in self.tables[table]]
        self.tables[table] |= {row[key]: dict(row) for row in new}
        return _json(201, new)

    def _select(self, request: httpx.Request, table: str, caller: UUID) -> Work:
        yield
        rows = self._visible(table, caller, request.url.params)
        return _json(200, [_columns_of(row, request.url.params["select"]) for row in rows])

    def _update(self, request: httpx.Request, caller: UUID) -> Work:
        values = json.loads(request.content)
        yield
        if set(values) != {"tags"}:
            return _table_error(403, "42501", "permission denied for table images")
        rows = self._visible("images", caller, request.url.params)
        for row in rows:
            row["tags"] = list(values["tags"])
        return _json(200, [_columns_of(row, request.url.params["select"]) for row in rows])

    def _delete(self, request: httpx.Request, caller: UUID) -> Work:
        yield
        rows = self._visible("images", caller, request.url.params)
        mine = [row for row in rows if _is_in_folder_of(row["storage_path"], caller)]
        for row in mine:
            del self.images[row["id"]]
        return _json(200, [_columns_of(row, request.url.params["select"]) for row in mine])

    def _visible(self, table: str, caller: UUID, params: httpx.QueryParams) -> list[Row]:
        rows = [row for row in self.tables[table].values() if row["owner_user_id"] == str(caller)]
        for name, condition in params.multi_items():
            if name not in ("select", "limit"):
                rows = [row for row in rows if _meets(row[name], condition)]
        return rows[: int(params.get("limit", 1000))]


def run(work: Work) -> httpx.Response:
    """Do what a request does without a pause."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


def _meets(value: Any, condition: str) -> bool:
    operator, _, operand = condition.partition(".")
    if operator == "not":
        return not _meets(value, operand)
    if operator == "in":
        return value in _quoted(operand)
    if operator == "is" and operand == "null":
        return value is None
    if operator in ("eq", "neq"):
        wanted = _quoted(operand) if operand.startswith("{") else operand
        return (value == wanted) is (operator == "eq")
    raise NotImplementedError(condition)


def _quoted(text: str) -> list[str]:
    """The values of `("a","b")` and of `{"a","b"}`."""
    found = re.findall(r'"((?:[^"\\]|\\.)*)"', text[1:-1])
    return [re.sub(r"\\(.)", r"\1", value) for value in found]


def _columns_of(row: Row, select: str) -> Row:
    found = {}
    for column in select.split(","):
        name, _, expression = column.rpartition(":")
        first, _, inner = expression.partition("->>")
        value = row.get(first)
        found[name or expression] = value.get(inner) if inner and value else value
    return found


def _is_in_folder_of(path: str, owner: UUID) -> bool:
    return path.startswith(f"{owner}/") and not {".", ".."} & set(path.split("/"))


def _file_in(request: httpx.Request) -> bytes:
    """The one file of a multipart form, whose type must be told rightly."""
    boundary = re.search(r'boundary="?([^";]+)', request.headers["content-type"])
    assert boundary
    for part in request.content.split(f"--{boundary[1]}".encode()):
        head, _, body = part.partition(b"\r\n\r\n")
        if b"filename=" in head:
            data = body.removesuffix(b"\r\n")
            assert str(media_type_of(data)).encode() in head, head
            return data
    raise AssertionError("no file in the form")


def _refused_session(path: str) -> Work:
    yield
    if path.startswith("/storage/"):
        return _storage_error(403, "Unauthorized", '"exp" claim timestamp check failed')
    return _table_error(401, "PGRST303", "JWT expired")


def _json(status: int, value: Any) -> httpx.Response:
    return httpx.Response(status, json=value)


def _storage_error(status: int, error: str, message: str) -> httpx.Response:
    return _json(400, {"statusCode": str(status), "error": error, "message": message})


def _table_error(status: int, code: str, message: str) -> httpx.Response:
    return _json(status, {"code": code, "message": message, "details": None, "hint": None})
