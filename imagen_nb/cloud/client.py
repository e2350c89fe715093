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
    Missing,
    Refused,
    Rejected,
    Unreachable,
    understood,
)
from imagen_nb.system.secret_text import scrub_secrets
from imagen_nb.system.throttling import raise_if_busy

if TYPE_CHECKING:
    from pydantic import SecretStr

DAY_S = 86_400  # how long a signed URL lives unless told, in seconds
CONNECTIONS = 16  # of the one HTTP client, for all threads
MAX_IN_URL = 100  # ids or seeds in one request, whose address must stay short
_MAX_SIGNED = 1000  # paths that Storage signs in one request
ATTEMPTS = 5  # at one request
_LONGEST_WAIT_S = 30.0  # who is told to wait longer leaves it to the next sync
_RENEW_S = 60.0  # sign in again this long before the session runs out
_TIMEOUT = httpx.Timeout(60, connect=10)
_AS_IT_IS = {
    "accept-encoding": "identity"
}  # or a small answer might unpack to a large one

T = TypeVar("T")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Stored:
    """What Storage knows of an object. `md5` where its etag is one."""

    size: int
    md5: str | None


class Cloud:
    """A user's bucket and table, for any number of threads over one HTTP/1.1 client.

    What passes is tried again, with growing and jittered waits; a session is renewed before it
    runs out, and once when it is refused. Every error is a `CloudError`.
    """

    def __init__(self, account: Account, attempts: int = ATTEMPTS) -> None:
        """Neither connects nor imports supabase: the first request does."""
        self._account = account
        self._attempts = attempts
        self._session: Session | None = None
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._http = httpx.Client(
            http2=False,
            timeout=_TIMEOUT,
            limits=httpx.Limits(max_connections=CONNECTIONS),
            event_hooks={"response": [raise_if_busy]},
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

    def stored(self, path: str) -> Stored | None:
        """What is at this path, as far as this user may know."""
        try:
            return self._ask(
                lambda session: _told(session.storage.from_(BUCKET).info(path))
            )
        except Missing:
            return None

    def insert(self, rows: Sequence[dict[str, Any]]) -> None:
        """Rows of imagen.images, all or none of them; those there already stay as they are.

        Raises `Rejected` when a row cannot be, or its id belongs to another picture.
        """
        written = self._ask(partial(_upserted, rows=list(rows)))
        new = {row["id"] for row in written}
        old = {row["id"]: row["storage_path"] for row in rows if row["id"] not in new}
        there = self.paths(list(old)) if old else {}
        if strange := [id for id, path in old.items() if there.get(id) != path]:
            raise Rejected(f"another row of imagen.images has the id {strange[0]}")

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
            while left and (rows := self.rows([("id", any_of(left))], columns)):
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
            return _executed(tables.from_(table).select(columns), filters)

        return self._ask(read)

    def update(
        self,
        values: Mapping[str, Any],
        filters: Sequence[tuple[str, str]],
        columns: str = "id",
    ) -> list[Any]:
        """Write `values` to the rows of imagen.images that meet all `filters`; gives those rows."""

        def write(session: Session) -> list[Any]:
            return _executed(
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
        self, paths: Sequence[str], expires_in: int = DAY_S
    ) -> dict[str, str | None]:
        """A URL for each path that anybody can read for `expires_in` seconds; None where not."""
        found: dict[str, str | None] = dict.fromkeys(paths)
        for start in range(0, len(paths), _MAX_SIGNED):
            part = list(paths[start : start + _MAX_SIGNED])
            for item in self._ask(partial(_signed, paths=part, expires_in=expires_in)):
                found[str(item["path"])] = (
                    None if item["error"] else str(item["signedURL"])
                )
        return found

    def read(self, url: str, largest: int | None = None) -> bytes:
        """What a signed URL gives. Raises `Rejected` when that is more than `largest` bytes."""

        def get(session: Session) -> bytes:
            with self._http.stream("GET", url, headers=_AS_IT_IS) as answer:
                if answer.is_error:
                    raise Rejected(f"the signed URL answers HTTP {answer.status_code}")
                data = bytearray()
                for part in answer.iter_raw():
                    data += part
                    if largest is not None and len(data) > largest:
                        raise Rejected(
                            f"the object is larger than it should be ({largest} bytes)"
                        )
                return bytes(data)

        return self._ask(get)

    def _ask(self, request: Callable[[Session], T]) -> T:
        attempts = Retrying(
            retry=retry_if_exception(_may_pass),
            stop=stop_after_attempt(self._attempts),
            wait=_wait,
            sleep=self._sleep,
            reraise=True,
        )
        answer: T = attempts(self._once, request)
        return answer

    def _sleep(self, seconds: float) -> None:
        if self._closing.wait(seconds):
            raise Unreachable(
                "the session is over; what is left goes up at the next sync"
            )

    def _once(self, request: Callable[[Session], T]) -> T:
        session = self._signed_in()
        try:
            return self._said(lambda: request(session), session.token)
        except Refused:
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
            raise understood(
                error, secrets
            ) from None  # whose text may hold what was sent
        except RuntimeError as error:
            if self._closing.is_set():  # httpx says so of a closed client
                raise Unreachable("the session is over") from None
            error.args = (scrub_secrets(error, secrets),)
            raise

    def _signed_in(self, instead_of: Session | None = None) -> Session:
        with self._lock:
            session = self._session
            stale = session is None or session is instead_of
            if stale or (
                session and session.ends and time.monotonic() > session.ends - _RENEW_S
            ):
                self._session = session = self._said(
                    lambda: sign_in(self._account, self._http)
                )
            assert session is not None
            return session


def _executed(builder: Any, filters: Sequence[tuple[str, str]]) -> list[Any]:
    for (
        name,
        condition,
    ) in filters:  # as they are: the builder's own methods quote too little
        builder.request.params = builder.request.params.add(name, condition)
    return [*builder.execute().data]


def _told(info: dict[str, Any]) -> Stored:
    etag = str(info.get("etag") or "").strip('"')
    is_md5 = len(etag) == 32 and set(etag) <= set("0123456789abcdef")
    return Stored(int(info["size"]), etag if is_md5 else None)


def _upserted(session: Session, rows: list[dict[str, Any]]) -> list[Any]:
    """The rows that were not there before."""
    table = session.tables.from_("images")
    return [
        *table.upsert(rows, on_conflict="id", ignore_duplicates=True).execute().data
    ]


def _signed(session: Session, paths: list[str], expires_in: int) -> list[Any]:
    return [*session.storage.from_(BUCKET).create_signed_urls(paths, expires_in)]


def _may_pass(error: BaseException) -> bool:
    return (
        isinstance(error, Unreachable) and (error.retry_after or 0) <= _LONGEST_WAIT_S
    )


_growing = wait_random_exponential(multiplier=0.5, max=5)  # seconds; full jitter


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, Unreachable) else None
    return max(asked or 0.0, _growing(state))


_NUL = str.maketrans({"\0": "\N{REPLACEMENT CHARACTER}"})  # as rows have it


def quoted(value: str) -> str:
    r"""A value between double quotes, as `in.(…)` and PostgreSQL's arrays take it."""
    return '"' + value.translate(_NUL).replace("\\", "\\\\").replace('"', '\\"') + '"'


def url_chunks(values: Sequence[V], most: int = MAX_IN_URL) -> list[Sequence[V]]:
    """The values in parts of at most `most`, each of which fits into one request's address."""
    return [values[start : start + most] for start in range(0, len(values), most)]


def any_of(values: Iterable[str | int]) -> str:
    """The condition that a column is one of these values: `in.("a","b")`."""
    return (
        f"in.({','.join(str(v) if isinstance(v, int) else quoted(v) for v in values)})"
    )


def array(values: Iterable[str]) -> str:
    """The values as an array of PostgreSQL: `{"a","b"}`."""
    return "{" + ",".join(map(quoted, values)) + "}"
