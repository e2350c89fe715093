"""The connection to one Supabase: signed in, tried again, its errors in words."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import httpx
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    wait_random_exponential,
)

from imagen_nb.cloud.account import Account, Session, sign_in
from imagen_nb.cloud.errors import (
    RefusedError,
    RejectedError,
    TooSlowError,
    UnreachableError,
    cloud_error_of,
    decoding,
    is_library_error,
)
from imagen_nb.system.clock import SYSTEM_CLOCK, SystemClock
from imagen_nb.system.throttling import raise_if_busy

if TYPE_CHECKING:
    from httpcore import NetworkStream
    from pydantic import SecretStr

MAX_CONNECTIONS = 16  # of the one HTTP client, for all threads
MAX_ATTEMPTS = 5  # at one request
READER_CONNECT_S = 3  # seconds: somebody waits, and there may be another way to ask
_MAX_RETRY_AFTER_S = 30.0  # if a server asks for more, the next sync tries again
_RENEW_BEFORE_S = 60.0  # sign in again this long before the session runs out

_backoff = wait_random_exponential(multiplier=0.5, max=5)  # seconds; full jitter

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TimeoutPolicy:
    """How long a request waits for a silent server, and how often it does.

    `timeout`: of each attempt, in seconds. `max_timeouts`: after so many attempts that
    ran into it there is no further one.
    """

    timeout: httpx.Timeout
    max_timeouts: int


SENDER_TIMEOUTS = TimeoutPolicy(  # `write` is for each 64 KiB
    httpx.Timeout(60, connect=10, write=20), MAX_ATTEMPTS
)
# Somebody waits: silence ends within 10 s. A server that lives answers sooner, as
# Supabase ends a user's statement after 8 s. `read` is up to the first byte, and then
# from each one to the next.
READER_TIMEOUTS = TimeoutPolicy(httpx.Timeout(60, connect=READER_CONNECT_S, read=9), 1)


class Connection:
    """One HTTP/1.1 client and one session, for any number of threads.

    Errors that pass are tried again, with growing and jittered waits. The session is
    renewed before it runs out, and once when it is refused. Every error is a
    `CloudError` that quotes no secret.
    """

    def __init__(
        self,
        account: Account,
        attempts: int = MAX_ATTEMPTS,
        timeouts: TimeoutPolicy | None = None,
        transport: httpx.BaseTransport | None = None,
        clock: SystemClock = SYSTEM_CLOCK,
    ) -> None:
        """Neither connect nor import supabase: the first request does."""
        self._account, self._clock = account, clock
        self._attempts, self._timeouts = attempts, timeouts or SENDER_TIMEOUTS
        self._session: Session | None = None
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self.http = httpx.Client(
            http2=False,
            transport=transport,
            timeout=self._timeouts.timeout,
            limits=httpx.Limits(max_connections=MAX_CONNECTIONS),
            event_hooks={
                "response": [raise_if_busy, _close_after_refusal, _raise_if_empty]
            },
        )

    @property
    def account(self) -> Account:
        """How it signs in."""
        return self._account

    def close(self) -> None:
        """End the connections; a wait between two attempts ends too."""
        self._closing.set()
        self.http.close()

    def call(self, request: Callable[[Session], T]) -> T:
        """Return what `request` returns, called with a session, again if need be."""
        attempts = Retrying(
            retry=retry_if_exception(_is_transient),
            stop=self._is_over,
            wait=_wait_seconds,
            sleep=self._sleep,
            reraise=True,
        )
        answer: T = attempts(self._attempt, request)
        return answer

    def _is_over(self, state: RetryCallState) -> bool:
        """Return whether there is no further attempt: of a silent server sooner."""
        error = state.outcome.exception() if state.outcome else None
        is_silent = isinstance(error, UnreachableError) and error.timed_out
        most = self._timeouts.max_timeouts if is_silent else self._attempts
        return state.attempt_number >= min(self._attempts, most)

    def _sleep(self, seconds: float) -> None:
        if self._clock.wait(self._closing, seconds):
            raise UnreachableError(
                "the session is over; what is left goes up at the next sync"
            )

    def _attempt(self, request: Callable[[Session], T]) -> T:
        session = self._current_session()
        try:
            return self._translated(lambda: request(session), session.token)
        except RefusedError:
            if session.expires_at is None:  # a key is not renewed by asking again
                raise
        renewed = self._current_session(refused=session)
        return self._translated(lambda: request(renewed), renewed.token)

    def _current_session(self, refused: Session | None = None) -> Session:
        """Return the session; a new one if it ends soon or is the `refused` one."""
        with self._lock:
            session = self._session
            if (
                session is None
                or session is refused
                or session.expires_within(_RENEW_BEFORE_S)
            ):
                session = self._translated(
                    lambda: sign_in(self._account, self.http, self._clock)
                )
                self._session = session
            return session

    def _translated(
        self, request: Callable[[], T], token: SecretStr | None = None
    ) -> T:
        """Return what `request` returns. Raise CloudError for the libraries' errors.

        An error of our own code comes out as it is.
        """
        secrets = (self._account.key, self._account.password, token)
        try:
            return request()
        except Exception as error:
            if not is_library_error(error):
                raise
            if isinstance(error, RuntimeError) and self._closing.is_set():
                raise UnreachableError("the session is over") from None
            # from None: the text of the original may hold what was sent
            raise cloud_error_of(error, secrets) from None


class _LastBody(httpx.SyncByteStream):
    """The body of an answer, with whose end its connection ends too.

    It is read up to its length and no further: once the end was seen, the pool takes
    the connection for free, and another thread may get it before it is closed. Where
    the length is not told, that thread's request fails before it is sent.
    """

    def __init__(
        self, body: httpx.SyncByteStream, length: int | None, connection: NetworkStream
    ) -> None:
        self._body, self._length, self._connection = body, length, connection

    def __iter__(self) -> Iterator[bytes]:
        parts, left = iter(self._body), self._length
        while left is None or left > 0:
            part = next(parts, None)
            if part is None:
                return
            yield part
            left = None if left is None else left - len(part)

    def close(self) -> None:
        self._connection.close()
        self._body.close()


def _close_after_refusal(response: httpx.Response) -> None:
    """Send nothing more over a connection after what was sent is refused; an httpx hook.

    A server may answer before it has read everything, and never read the rest. Raise
    RejectedError for HTTP 413, whatever its body.
    """
    sent_body = response.request.method in ("POST", "PUT", "PATCH")
    if not (response.is_error and sent_body):
        return
    connection = response.extensions.get("network_stream")
    if connection and isinstance(response.stream, httpx.SyncByteStream):
        length = response.headers.get("content-length")
        response.stream = _LastBody(
            response.stream, None if length is None else int(length), connection
        )
    response.read()
    if response.status_code == 413:
        raise RejectedError("the server takes nothing so large at once (HTTP 413)")


_ANSWERED = (httpx.codes.OK, httpx.codes.CREATED)


def _raise_if_empty(response: httpx.Response) -> None:
    """Raise UnreachableError for an answer without rows that has not even a [].

    postgrest takes it for no rows: of a write, that they were there before, and then
    that they are somebody else's.
    """
    request = response.request
    returns = "return=representation" in request.headers.get("prefer", "")
    asks = "/rest/v1/" in request.url.path and (request.method == "GET" or returns)
    with decoding():
        if asks and response.status_code in _ANSWERED and not response.read():
            raise ValueError("nothing")


def _is_transient(error: BaseException) -> bool:
    if isinstance(error, TooSlowError) or not isinstance(error, UnreachableError):
        return False
    return (error.retry_after or 0) <= _MAX_RETRY_AFTER_S


def _wait_seconds(state: RetryCallState) -> float:
    """Return how long to wait: as the server asked, or longer if the backoff is."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, UnreachableError) else None
    return max(asked or 0.0, _backoff(state))
