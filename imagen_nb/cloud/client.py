"""One user's Supabase: the few requests that imagen_nb makes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

import httpx

from imagen_nb.cloud.account import Account, Session
from imagen_nb.cloud.answers import (
    add_missing_rows,
    execute_filtered,
    with_columns,
)
from imagen_nb.cloud.connection import MAX_ATTEMPTS, Connection, TimeoutPolicy
from imagen_nb.cloud.errors import BUCKET, ObjectMissingError, decoding
from imagen_nb.cloud.filters import in_filter, url_chunks
from imagen_nb.cloud.objects import (
    StoredObject,
    Upload,
    load_object,
    load_object_info,
    load_signed_urls,
    read_url,
    remove_objects,
)
from imagen_nb.system.clock import SYSTEM_CLOCK, SystemClock

SIGNED_URL_SECONDS = 86_400  # how long a signed URL lives by default
_PATHS_PER_REQUEST = 1000  # that Storage signs


@dataclass(frozen=True, slots=True)
class Claim:
    """Which picture a path in the bucket belongs to. `is_new`: since this request."""

    image_id: UUID
    owner: UUID
    is_new: bool


@dataclass(frozen=True, slots=True)
class RecordedPicture:
    """What a row of imagen.images says of its picture. `sha256`: as in its sidecar."""

    storage_path: str
    owner: UUID
    sha256: str | None

    def is_same_as(self, row: dict[str, Any]) -> bool:
        """Return whether the row is of this path and owner."""
        own = (self.storage_path, str(self.owner))
        return own == (row["storage_path"], row["owner_user_id"])


class Cloud:
    """One user's bucket and table, for any number of threads.

    Requests are tried again and sessions renewed as `Connection` does. Every error is
    a `CloudError`.

    Example:
        >>> from pydantic import SecretStr
        >>> cloud = Cloud(Account("https://x.supabase.co", SecretStr("sb_secret_…")))
        >>> cloud.paths(["3f1c9a52-0d4e-4b7a-9c11-5e8f2a6b7c0d"])  # doctest: +SKIP
        {'3f1c9a52-0d4e-4b7a-9c11-5e8f2a6b7c0d': '2026-05-11/a-red-boat-3.png'}
        >>> cloud.close()
    """

    def __init__(
        self,
        account: Account,
        attempts: int = MAX_ATTEMPTS,
        timeouts: TimeoutPolicy | None = None,
        transport: httpx.BaseTransport | None = None,
        clock: SystemClock = SYSTEM_CLOCK,
    ) -> None:
        """Neither connect nor import supabase: the first request does.

        Args:
            account: How to sign in.
            attempts: How often one request is tried.
            timeouts: How long each waits for a server that is silent; as a sender does
                unless given.
            transport: What carries the requests, instead of the network.
            clock: What sessions run out by, and what waits between attempts.
        """
        self._connection = Connection(account, attempts, timeouts, transport, clock)
        self.missing: set[type[Exception]] = set()  # tables, by what is raised

    def close(self) -> None:
        """End the connections; a wait between two attempts ends too."""
        self._connection.close()

    def owner(self) -> tuple[UUID, str]:
        """Return whose pictures go up, and the folder they must lie in ("" for any)."""
        return self._connection.call(lambda session: (session.owner, session.folder))

    def upload(self, path: str, png: bytes) -> None:
        """Make an object.

        Raise ObjectExistsError if there is one at this path, TooSlowError if it takes
        longer than its size allows.
        """
        self._connection.call(Upload(path, png).send)

    def replace(self, path: str, png: bytes) -> None:
        """Make an object, or give the one at this path other bytes.

        Raise TooSlowError as `upload` does.
        """
        self._connection.call(Upload(path, png, replace=True).send)

    def claim(self, pairs: Sequence[tuple[str, str]]) -> dict[str, Claim]:
        """Claim paths, each for the picture with this id, where nobody has them.

        Return whose each is then, by path; without those that this user may not see.
        """
        owner, _ = self.owner()
        rows = [
            {"storage_path": path, "image_id": id, "owner_user_id": str(owner)}
            for path, id in pairs
        ]
        upsert = partial(
            add_missing_rows, rows=rows, table="claims", key="storage_path"
        )
        written = self._connection.call(upsert)
        with decoding():
            new = {row["storage_path"]: row for row in written}
            claimed = {path: _claim_of(row, True) for path, row in new.items()}
        old = [path for path in dict(pairs) if path not in new]
        return self.claims_of(old) | claimed

    def claims_of(self, paths: Sequence[str]) -> dict[str, Claim]:
        """Return whose these paths are; without those that nobody has, or may see."""
        columns = "storage_path,image_id,owner_user_id"
        found = self.rows_by("storage_path", paths, columns, "claims")
        with decoding():
            return {path: _claim_of(row, False) for path, row in found.items()}

    def object_info(self, path: str) -> StoredObject | None:
        """Return what is at this path; None if nothing is that this user may see."""
        try:
            return self._connection.call(partial(load_object_info, path=path))
        except ObjectMissingError:
            return None

    def insert(
        self, rows: Sequence[dict[str, Any]]
    ) -> dict[str, RecordedPicture | None]:
        """Write rows of imagen.images, all or none; those already there stay as is.

        Return those ids that are taken, with what the row that has it records of
        another picture, or of another path; None where this user may not see it. Raise
        RejectedError if a row breaks a constraint.
        """
        upsert = partial(add_missing_rows, rows=list(rows), table="images", key="id")
        written = self._connection.call(upsert)
        with decoding():
            new = {row["id"] for row in written}
        old = {row["id"]: row for row in rows if row["id"] not in new}
        columns = "id,storage_path,owner_user_id,sha256:sidecar->>sha256"
        found = self.rows_by_id(list(old), columns)
        with decoding():
            recorded = {id: _recorded_picture(row) for id, row in found.items()}
        others = {id: recorded.get(id) for id in old}
        return {
            id: other
            for id, other in others.items()
            if other is None or not other.is_same_as(old[id])
        }

    def paths(self, ids: Sequence[str]) -> dict[str, str]:
        """Return the `storage_path` of each of these rows that exists, by id."""
        rows = self.rows_by_id(ids, "id,storage_path")
        with decoding():
            return {id: row["storage_path"] for id, row in rows.items()}

    def rows_by_id(self, ids: Sequence[str], columns: str) -> dict[str, dict[str, Any]]:
        """Return those of these rows of imagen.images that exist, by id.

        All of them, however few rows the server gives in one answer. `columns` are
        PostgREST's, with commas between them; `id` must be one of them.
        """
        return self.rows_by("id", ids, columns, "images")

    def rows_by(
        self,
        key: str,
        values: Sequence[str],
        columns: str,
        table: str,
        filters: Sequence[tuple[str, str]] = (),
    ) -> dict[str, dict[str, Any]]:
        """Return those rows of a table that have these values of a column, by these.

        One of each value, of those that meet the `filters`.
        """
        found: dict[str, dict[str, Any]] = {}
        for chunk in url_chunks(values):
            left = [*chunk]
            while left:
                conditions = [(key, in_filter(left)), *filters]
                rows = self.rows(conditions, columns, table)
                with decoding():
                    new = {row[key]: row for row in rows if row[key] not in found}
                if not new:
                    break
                found |= new
                left = [value for value in left if value not in found]
        return found

    def rows(
        self,
        filters: Sequence[tuple[str, str]],
        columns: str = "*",
        table: str = "images",
        schema: str = "imagen",
    ) -> list[Any]:
        """Return rows that meet all `filters`, as many as one answer of the server has.

        Filters, order and limit are PostgREST's own:
        `[("backend", "eq.flux-local"), ("order", "created_at.desc"), ("limit", "9")]`.
        """

        def select(session: Session) -> list[Any]:
            tables = session.tables.schema(schema)
            rows = execute_filtered(tables.from_(table).select(columns), filters)
            return with_columns(rows, columns)

        return self._connection.call(select)

    def update(
        self,
        values: Mapping[str, Any],
        filters: Sequence[tuple[str, str]],
        columns: str = "id",
    ) -> list[Any]:
        """Write `values` to the rows of imagen.images that meet all `filters`.

        Return these rows, with the `columns`.
        """

        def write(session: Session) -> list[Any]:
            images = session.tables.from_("images")
            updating = images.update(dict(values)).select(columns)
            return with_columns(execute_filtered(updating, filters), columns)

        return self._connection.call(write)

    def add(
        self, rows: Sequence[dict[str, Any]], table: str, key: str, columns: str
    ) -> list[Any]:
        """Write rows of a table, all or none; those already there stay as is.

        Return the new ones' `columns`. `key`: the columns that tell what is there.
        """
        upsert = partial(
            add_missing_rows, rows=list(rows), table=table, key=key, columns=columns
        )
        return self._connection.call(upsert)

    def call(self, function: str, values: Mapping[str, Any]) -> Any:
        """Return what a function of the schema imagen gives: rows, or one value of JSON.

        Asked again where no answer came: calling it twice must do what once does.
        """

        def ask(session: Session) -> Any:
            return session.tables.rpc(function, dict(values)).execute().data

        return self._connection.call(ask)

    def delete(self, filters: Sequence[tuple[str, str]]) -> None:
        """Delete the rows of imagen.images that meet all `filters` and that one may."""

        def delete(session: Session) -> None:
            deleting = session.tables.from_("images").delete()
            execute_filtered(deleting, [*filters, ("select", "id")])

        self._connection.call(delete)

    def remove(self, paths: Sequence[str]) -> None:
        """Remove those of these objects that are there, and that this user may remove."""
        self._connection.call(partial(remove_objects, paths=[*paths]))

    def insert_error_code(self, table: str, row: dict[str, Any]) -> str | None:
        """Return the database's error code for a row that it must refuse.

        None if it took the row. Nothing is read back: who may read it is not asked.
        """
        from postgrest import APIError
        from postgrest.types import ReturnMethod

        def insert(session: Session) -> str | None:
            try:
                inserting = session.tables.from_(table)
                inserting.insert(row, returning=ReturnMethod.minimal).execute()
            except APIError as error:
                return error.code
            return None

        return self._connection.call(insert)

    def require_upload_right(self, path: str) -> None:
        """Raise the error that `upload` would, without making this object."""
        self._connection.call(
            lambda session: session.storage.from_(BUCKET).create_signed_upload_url(path)
        )

    def signed_urls(
        self, paths: Sequence[str], expires_in: int = SIGNED_URL_SECONDS
    ) -> dict[str, str | None]:
        """Return a URL for each path that anybody can read for `expires_in` seconds.

        None for an object that does not exist, or that this user may not read.
        """
        urls: dict[str, str | None] = dict.fromkeys(paths)
        for start in range(0, len(paths), _PATHS_PER_REQUEST):
            chunk = list(paths[start : start + _PATHS_PER_REQUEST])
            sign = partial(load_signed_urls, paths=chunk, expires_in=expires_in)
            urls |= self._connection.call(sign)
        return urls

    def download(self, path: str) -> bytes:
        """Return an object that this user may read. Raise ObjectMissingError if none."""
        return self._connection.call(partial(load_object, path=path))

    def read(self, url: str, max_bytes: int | None = None) -> bytes:
        """Return what is at a signed URL.

        Raise RejectedError if it is more than `max_bytes`.
        """
        http = self._connection.http
        return self._connection.call(lambda _: read_url(http, url, max_bytes))


def _claim_of(row: dict[str, Any], is_new: bool) -> Claim:
    return Claim(UUID(row["image_id"]), UUID(row["owner_user_id"]), is_new)


def _recorded_picture(row: dict[str, Any]) -> RecordedPicture:
    owner = UUID(row["owner_user_id"])
    return RecordedPicture(row["storage_path"], owner, row["sha256"])
