"""One user's Supabase: the few requests that imagen_nb makes of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from imagen_nb.cloud.account import Account, Session
from imagen_nb.cloud.connection import (
    MAX_ATTEMPTS,
    Connection,
    Patience,
)
from imagen_nb.cloud.errors import (
    BUCKET,
    ObjectMissingError,
    RejectedError,
    decoding,
)

SIGNED_URL_SECONDS = 86_400  # how long a signed URL lives by default
MAX_VALUES_PER_URL = 100  # ids or seeds in one request, whose address must stay short
_PATHS_PER_REQUEST = 1000  # that Storage signs
_UNCOMPRESSED = {"accept-encoding": "identity"}  # a small answer may unpack to a large

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What Storage knows of an object. `md5` (hexadecimal) where its etag is one."""

    size: int  # bytes
    md5: str | None


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
        patience: Patience | None = None,
    ) -> None:
        """Neither connect nor import supabase: the first request does.

        Args:
            account: How to sign in.
            attempts: How often one request is tried.
            patience: How long each waits for a server that is silent; as a sender does
                unless given.
        """
        self._connection = Connection(account, attempts, patience)

    def close(self) -> None:
        """End the connections; a wait between two attempts ends too."""
        self._connection.close()

    def owner(self) -> tuple[UUID, str]:
        """Return whose pictures go up, and the folder they must lie in ("" for any)."""
        return self._connection.call(lambda session: (session.owner, session.folder))

    def upload(self, path: str, png: bytes) -> None:
        """Make an object. Raise ObjectExistsError if there is one at this path."""
        # supabase-py would say text/plain, which the bucket refuses.
        options: Any = {"content-type": "image/png", "upsert": "false"}
        self._connection.call(
            lambda session: session.storage.from_(BUCKET).upload(path, png, options)
        )

    def object_info(self, path: str) -> StoredObject | None:
        """Return what is at this path; None if nothing is that this user may see."""
        try:
            return self._connection.call(partial(_object_info, path=path))
        except ObjectMissingError:
            return None

    def insert(self, rows: Sequence[dict[str, Any]]) -> None:
        """Write rows of imagen.images, all or none; those already there stay as is.

        Raise RejectedError if a row breaks a constraint, or if its id belongs to
        another picture.
        """
        written = self._connection.call(partial(_upsert_rows, rows=list(rows)))
        with decoding():
            new = {row["id"] for row in written}
        old = {row["id"]: row["storage_path"] for row in rows if row["id"] not in new}
        recorded = self.paths(list(old)) if old else {}
        for id, path in old.items():
            if recorded.get(id) != path:
                raise RejectedError(f"another row of imagen.images has the id {id}")

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
        found: dict[str, dict[str, Any]] = {}
        for chunk in url_chunks(ids):
            left = [*chunk]
            while left:
                rows = self.rows([("id", in_filter(left))], columns)
                with decoding():
                    new = {row["id"]: row for row in rows if row["id"] not in found}
                if not new:
                    break
                found |= new
                left = [id for id in left if id not in found]
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
            rows = _execute_filtered(tables.from_(table).select(columns), filters)
            return _with_columns(rows, columns)

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
            return _with_columns(_execute_filtered(updating, filters), columns)

        return self._connection.call(write)

    def insert_error_code(self, row: dict[str, Any]) -> str | None:
        """Return the database's error code for a row that it must refuse.

        None if it took the row.
        """
        from postgrest import APIError

        def insert(session: Session) -> str | None:
            try:
                session.tables.from_("images").insert({**row, "prompt": None}).execute()
            except APIError as error:
                return error.code
            return None

        return self._connection.call(insert)

    def require_upload_right(self, path: str) -> None:
        """Ask for the right to make this object, without making it.

        Raise the error that `upload` would.
        """
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
            sign = partial(_sign_paths, paths=chunk, expires_in=expires_in)
            urls |= self._connection.call(sign)
        return urls

    def read(self, url: str, max_bytes: int | None = None) -> bytes:
        """Return what is at a signed URL.

        Raise RejectedError if it is more than `max_bytes`.
        """
        return self._connection.call(lambda _: self._read(url, max_bytes))

    def _read(self, url: str, max_bytes: int | None) -> bytes:
        http = self._connection.http
        with http.stream("GET", url, headers=_UNCOMPRESSED) as answer:
            if answer.is_error:
                raise RejectedError(f"the signed URL answers HTTP {answer.status_code}")
            data = bytearray()
            for part in answer.iter_raw():
                data += part
                if max_bytes is not None and len(data) > max_bytes:
                    raise RejectedError(
                        f"the object is larger than it should be ({max_bytes} bytes)"
                    )
            return bytes(data)


def _execute_filtered(builder: Any, filters: Sequence[tuple[str, str]]) -> list[Any]:
    """Execute with the filters as they are: the builder's methods quote too little."""
    for name, condition in filters:
        builder.request.params = builder.request.params.add(name, condition)
    return _rows_of(builder.execute())


def _rows_of(answer: Any) -> list[Any]:
    with decoding():
        rows = answer.data
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise TypeError("no list of objects")  # nothing is no empty list
        return rows


def _with_columns(rows: list[Any], columns: str) -> list[Any]:
    """Return the rows. Raise UnreachableError if one lacks a column that was asked for."""
    names = set(columns.split(",")) - {"*"}
    with decoding():
        if not all(names <= row.keys() for row in rows):
            raise KeyError("a column")
    return rows


def _object_info(session: Session, path: str) -> StoredObject:
    info = session.storage.from_(BUCKET).info(path)
    with decoding():
        size, etag = int(info["size"]), str(info.get("etag") or "").strip('"')
    is_md5 = len(etag) == 32 and set(etag) <= set("0123456789abcdef")
    return StoredObject(size, etag if is_md5 else None)


def _upsert_rows(session: Session, rows: list[dict[str, Any]]) -> list[Any]:
    """Return the rows that did not exist before."""
    upsert = session.tables.from_("images").upsert(
        rows, on_conflict="id", ignore_duplicates=True
    )
    return _rows_of(upsert.execute())


def _sign_paths(
    session: Session, paths: list[str], expires_in: int
) -> dict[str, str | None]:
    items = session.storage.from_(BUCKET).create_signed_urls(paths, expires_in)
    with decoding():
        return {
            str(item["path"]): None if item["error"] else str(item["signedURL"])
            for item in items
        }


_NUL_REPLACEMENT = str.maketrans({"\0": "\N{REPLACEMENT CHARACTER}"})  # as in rows


def quote_literal(value: str) -> str:
    r"""Return a value in double quotes, as `in.(…)` and PostgreSQL's arrays take it."""
    escaped = value.translate(_NUL_REPLACEMENT)
    escaped = escaped.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def url_chunks(
    values: Sequence[V], most: int = MAX_VALUES_PER_URL
) -> list[Sequence[V]]:
    """Return the values in parts of at most `most`, each fit for one address."""
    return [values[start : start + most] for start in range(0, len(values), most)]


def in_filter(values: Iterable[str | int]) -> str:
    """Return the condition that a column is one of these values.

    Example:
        >>> in_filter(["a", "b"]), in_filter([1, 2])
        ('in.("a","b")', 'in.(1,2)')
    """
    texts = [str(v) if isinstance(v, int) else quote_literal(v) for v in values]
    return f"in.({','.join(texts)})"


def array_literal(values: Iterable[str]) -> str:
    """Return the values as an array of PostgreSQL: `{"a","b"}`."""
    return "{" + ",".join(map(quote_literal, values)) + "}"
