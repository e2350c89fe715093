"""One user's Supabase: the few requests that imagen_nb makes of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import httpx
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    wait_random_exponential,
)

from imagen_nb.cloud.account import Account, Session, sign_in
from imagen_nb.cloud.errors import (
    BUCKET,
    ObjectMissingError,
    RefusedError,
    RejectedError,
    UnreachableError,
    cloud_error_of,
)
from imagen_nb.system.secret_text import scrubbed
from imagen_nb.system.throttling import refuse_busy

if TYPE_CHECKING:
    from pydantic import SecretStr

SIGNED_URL_SECONDS = 86_400  # how long a signed URL lives unless told, in seconds
MAX_CONNECTIONS = 16  # of the one HTTP client, for all threads
MAX_VALUES_PER_URL = 100  # ids or seeds in one request, whose address must stay short
_PATHS_PER_REQUEST = 1000  # paths that Storage signs in one request
MAX_ATTEMPTS = 5  # at one request
_MAX_RETRY_AFTER_S = 30.0  # who is told to wait longer leaves it to the next sync
_RENEW_BEFORE_S = 60.0  # sign in again this long before the session runs out
_HTTP_TIMEOUT = httpx.Timeout(60, connect=10)
_UNCOMPRESSED = {
    "accept-encoding": "identity"
}  # or a small answer might unpack to a large one

T = TypeVar("T")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What Storage knows of an object. `md5` where its etag is one."""

    size: int
    md5: str | None


class Cloud:
    """A user's bucket and table, for any number of threads over one HTTP/1.1 client.

    What passes is tried again, with growing and jittered waits; a session is renewed before it
    runs out, and once when it is refused. Every error is a `CloudError`.
    """

    def __init__(self, account: Account, attempts: int = MAX_ATTEMPTS) -> None:
        """Neither connects nor imports supabase: the first request does."""
        self._account = account
        self._attempts = attempts
        self._session: Session | None = None
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._http = httpx.Client(
            http2=False,
            timeout=_HTTP_TIMEOUT,
            limits=httpx.Limits(max_connections=MAX_CONNECTIONS),
            event_hooks={"response": [refuse_busy]},
        )

    def close(self) -> None:
        """End the connections; a wait between two attempts ends too."""
        self._closing.set()
        self._http.close()

    def owner(self) -> tuple[UUID, str]:
        """Whose pictures go up, and the folder that they must lie in ("" for any)."""
        return self._ask(lambda session: (session.owner, session.folder))

    def upload(self, path: str, png: bytes) -> None:
        """Make an object. Raises `Taken` when there is one at this path."""
        # supabase-py would say text/plain, which the bucket refuses.
        options: Any = {"content-type": "image/png", "upsert": "false"}
        self._ask(
            lambda session: session.storage.from_(BUCKET).upload(path, png, options)
        )

    def stored(self, path: str) -> StoredObject | None:
        """What is at this path, as far as this user may know."""
        try:
            return self._ask(
                lambda session: _stored_object_of(
                    session.storage.from_(BUCKET).info(path)
                )
            )
        except ObjectMissingError:
            return None

    def insert(self, rows: Sequence[dict[str, Any]]) -> None:
        """Rows of imagen.images, all or none of them; those there already stay as they are.

        Raises `Rejected` when a row cannot be, or its id belongs to another picture.
        """
        written = self._ask(partial(_upsert_rows, rows=list(rows)))
        new = {row["id"] for row in written}
        old = {row["id"]: row["storage_path"] for row in rows if row["id"] not in new}
        there = self.paths(list(old)) if old else {}
        if strange := [id for id, path in old.items() if there.get(id) != path]:
            raise RejectedError(f"another row of imagen.images has the id {strange[0]}")

    def paths(self, ids: Sequence[str]) -> dict[str, str]:
        """The `storage_path` of each of these rows that is there, by id."""
        rows = self.rows_by_id(ids, "id,storage_path")
        return {id: row["storage_path"] for id, row in rows.items()}

    def rows_by_id(self, ids: Sequence[str], columns: str) -> dict[str, dict[str, Any]]:
        """Those rows of imagen.images that are there, by id, which is among the `columns`.

        However many these are, and however few the server gives in one answer.
        """
        found: dict[str, dict[str, Any]] = {}
        for chunk in url_chunks(ids):
            left = [*chunk]
            while left and (rows := self.rows([("id", in_filter(left))], columns)):
                found |= {row["id"]: row for row in rows}
                left = [id for id in left if id not in found]
        return found

    def rows(
        self,
        filters: Sequence[tuple[str, str]],
        columns: str = "*",
        table: str = "images",
        schema: str = "imagen",
    ) -> list[Any]:
        """Rows that meet all `filters`, at most as many as the server gives in one answer.

        Filters, order and limit are PostgREST's own: ("id", "eq.…"), ("order", "created_at.desc").
        """

        def read(session: Session) -> list[Any]:
            tables = session.tables.schema(schema)
            return _execute_filtered(tables.from_(table).select(columns), filters)

        return self._ask(read)

    def update(
        self,
        values: Mapping[str, Any],
        filters: Sequence[tuple[str, str]],
        columns: str = "id",
    ) -> list[Any]:
        """Write `values` to the rows of imagen.images that meet all `filters`; gives those rows."""

        def write(session: Session) -> list[Any]:
            return _execute_filtered(
                session.tables.from_("images").update(dict(values)).select(columns),
                filters,
            )

        return self._ask(write)

    def code_of_insert(self, row: dict[str, Any]) -> str | None:
        """The database's error code for a row that it must refuse; None when it took it."""
        from postgrest import APIError

        def insert(session: Session) -> str | None:
            try:
                session.tables.from_("images").insert({**row, "prompt": None}).execute()
            except APIError as error:
                return error.code
            return None

        return self._ask(insert)

    def may_upload(self, path: str) -> None:
        """Ask for the right to make this object, without making it. Raises what `upload` would."""
        self._ask(
            lambda session: session.storage.from_(BUCKET).create_signed_upload_url(path)
        )

    def signed_urls(
        self, paths: Sequence[str], expires_in: int = SIGNED_URL_SECONDS
    ) -> dict[str, str | None]:
        """A URL for each path that anybody can read for `expires_in` seconds; None where not."""
        found: dict[str, str | None] = dict.fromkeys(paths)
        for start in range(0, len(paths), _PATHS_PER_REQUEST):
            part = list(paths[start : start + _PATHS_PER_REQUEST])
            for item in self._ask(
                partial(_sign_paths, paths=part, expires_in=expires_in)
            ):
                found[str(item["path"])] = (
                    None if item["error"] else str(item["signedURL"])
                )
        return found

    def read(self, url: str, largest: int | None = None) -> bytes:
        """What a signed URL gives. Raises `Rejected` when that is more than `largest` bytes."""

        def get(session: Session) -> bytes:
            with self._http.stream("GET", url, headers=_UNCOMPRESSED) as answer:
                if answer.is_error:
                    raise RejectedError(
                        f"the signed URL answers HTTP {answer.status_code}"
                    )
                data = bytearray()
                for part in answer.iter_raw():
                    data += part
                    if largest is not None and len(data) > largest:
                        raise RejectedError(
                            f"the object is larger than it should be ({largest} bytes)"
                        )
                return bytes(data)

        return self._ask(get)

    def _ask(self, request: Callable[[Session], T]) -> T:
        attempts = Retrying(
            retry=retry_if_exception(_is_transient),
            stop=stop_after_attempt(self._attempts),
            wait=_wait_seconds,
            sleep=self._sleep,
            reraise=True,
        )
        answer: T = attempts(self._once, request)
        return answer

    def _sleep(self, seconds: float) -> None:
        if self._closing.wait(seconds):
            raise UnreachableError(
                "the session is over; what is left goes up at the next sync"
            )

    def _once(self, request: Callable[[Session], T]) -> T:
        session = self._signed_in()
        try:
            return self._said(lambda: request(session), session.token)
        except RefusedError:
            if session.ends is None:  # a key is not renewed by asking again
                raise
        renewed = self._signed_in(instead_of=session)
        return self._said(lambda: request(renewed), renewed.token)

    def _said(self, request: Callable[[], T], token: SecretStr | None = None) -> T:
        from postgrest import APIError
        from storage3.exceptions import StorageApiError
        from supabase_auth.errors import AuthError

        secrets = (self._account.key, self._account.password, token)
        try:
            return request()
        except (
            *(httpx.HTTPError, httpx.InvalidURL, APIError, StorageApiError, AuthError),
            *(ValueError, KeyError, TypeError, AttributeError),  # not Supabase's JSON
        ) as error:
            raise cloud_error_of(
                error, secrets
            ) from None  # whose text may hold what was sent
        except RuntimeError as error:
            if self._closing.is_set():  # httpx says so of a closed client
                raise UnreachableError("the session is over") from None
            error.args = (scrubbed(error, secrets),)
            raise

    def _signed_in(self, instead_of: Session | None = None) -> Session:
        with self._lock:
            session = self._session
            stale = session is None or session is instead_of
            if stale or (
                session
                and session.ends
                and time.monotonic() > session.ends - _RENEW_BEFORE_S
            ):
                self._session = session = self._said(
                    lambda: sign_in(self._account, self._http)
                )
            assert session is not None
            return session


def _execute_filtered(builder: Any, filters: Sequence[tuple[str, str]]) -> list[Any]:
    for (
        name,
        condition,
    ) in filters:  # as they are: the builder's own methods quote too little
        builder.request.params = builder.request.params.add(name, condition)
    return [*builder.execute().data]


def _stored_object_of(info: dict[str, Any]) -> StoredObject:
    etag = str(info.get("etag") or "").strip('"')
    is_md5 = len(etag) == 32 and set(etag) <= set("0123456789abcdef")
    return StoredObject(int(info["size"]), etag if is_md5 else None)


def _upsert_rows(session: Session, rows: list[dict[str, Any]]) -> list[Any]:
    """The rows that were not there before."""
    table = session.tables.from_("images")
    return [
        *table.upsert(rows, on_conflict="id", ignore_duplicates=True).execute().data
    ]


def _sign_paths(session: Session, paths: list[str], expires_in: int) -> list[Any]:
    return [*session.storage.from_(BUCKET).create_signed_urls(paths, expires_in)]


def _is_transient(error: BaseException) -> bool:
    return (
        isinstance(error, UnreachableError)
        and (error.retry_after or 0) <= _MAX_RETRY_AFTER_S
    )


_backoff = wait_random_exponential(multiplier=0.5, max=5)  # seconds; full jitter


def _wait_seconds(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, UnreachableError) else None
    return max(asked or 0.0, _backoff(state))


_NUL_REPLACEMENT = str.maketrans({"\0": "\N{REPLACEMENT CHARACTER}"})  # as rows have it


def quote_literal(value: str) -> str:
    r"""A value between double quotes, as `in.(…)` and PostgreSQL's arrays take it."""
    return (
        '"'
        + value.translate(_NUL_REPLACEMENT).replace("\\", "\\\\").replace('"', '\\"')
        + '"'
    )


def url_chunks(
    values: Sequence[V], most: int = MAX_VALUES_PER_URL
) -> list[Sequence[V]]:
    """The values in parts of at most `most`, each of which fits into one request's address."""
    return [values[start : start + most] for start in range(0, len(values), most)]


def in_filter(values: Iterable[str | int]) -> str:
    """The condition that a column is one of these values: `in.("a","b")`."""
    return f"in.({','.join(str(v) if isinstance(v, int) else quote_literal(v) for v in values)})"


def array_literal(values: Iterable[str]) -> str:
    """The values as an array of PostgreSQL: `{"a","b"}`."""
    return "{" + ",".join(map(quote_literal, values)) + "}"
