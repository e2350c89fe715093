"""Replicate's API: a prediction is ordered, waited for, fetched, and cancelled when not wanted."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    wait_random_exponential,
)

from imagen_nb.backends.replicate.errors import (
    TransientError,
    error_of_status,
    refuse_throttled,
    backend_error_of,
)
from imagen_nb.errors import BackendError, Cancelled

if TYPE_CHECKING:
    from pydantic import SecretStr
    from replicate.prediction import Prediction

_END_STATUSES = ("succeeded", "failed", "canceled")
_RESPONSE_TIMEOUT_S = 20.0  # the longest that one answer may take to begin
_MAX_FILE_BYTES = (
    32 * 2**20
)  # bytes of a picture's file; a PNG of one megapixel has 1 to 2 million

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pace:
    """How long to wait, in seconds: between two looks, and at first after what passes.

    `attempts`: at one request; being asked too often does not count, only the time does.
    """

    poll: float = 0.5
    again: float = 1.0
    longest: float = 20.0
    attempts: int = 5
    sleep: Callable[[Event, float], object] = Event.wait


@dataclass(frozen=True, slots=True)
class Deadline:
    """How long one picture is waited for: `seconds` in all, until `ends`, and while wanted."""

    seconds: float
    ends: float
    unwanted: Event
    pace: Pace

    @classmethod
    def of(cls, seconds: float, unwanted: Event, pace: Pace) -> Deadline:
        """Beginning now."""
        return cls(seconds, time.monotonic() + seconds, unwanted, pace)

    def check(self) -> None:
        """Raises `Cancelled` when nobody wants the picture, `BackendError` when time is up."""
        if self.unwanted.is_set():
            raise Cancelled("drawing cancelled; pictures finished before are kept")
        if time.monotonic() > self.ends:
            raise BackendError(
                f"Replicate did not draw the picture within {self.seconds:g} s: try again, or give "
                "it longer (replicate.timeout)"
            )

    def sleep(self, seconds: float) -> None:
        """Wait, unless `check` raises before or after."""
        self.check()
        self.pace.sleep(self.unwanted, seconds)
        self.check()

    def over(self, state: RetryCallState) -> bool:
        """Whether to give up trying: no time for another attempt, or too many of them."""
        error = state.outcome.exception() if state.outcome else None
        throttled = isinstance(error, TransientError) and error.status == 429
        too_many = state.attempt_number >= self.pace.attempts and not throttled
        return too_many or time.monotonic() + state.upcoming_sleep > self.ends


class Api:
    """Replicate for one account and any number of threads, over one pool of connections.

    Invariant: no error raised here has the token in its message, and none has another error, whose
    text or frames might, as its cause.
    """

    def __init__(self, token: SecretStr, base_url: str | None, timeout: float) -> None:
        """`timeout`: seconds for one picture, after which Replicate may cancel it by itself."""
        from replicate.client import Client

        self.token = token
        hooks: Any = {
            "response": [refuse_throttled]
        }  # of a proxy, which has its own transport
        limit = httpx.Timeout(min(_RESPONSE_TIMEOUT_S, timeout))
        self._transport = _ThrottlingTransport()
        self._files = httpx.Client(
            timeout=limit, follow_redirects=True, event_hooks=hooks
        )
        self._client = Client(
            token.get_secret_value(),
            base_url=base_url,
            timeout=limit,
            transport=self._transport,
            event_hooks=hooks,
            # Should this program die, nothing is drawn for long. Predictions end after 30 minutes.
            headers={"Cancel-After": f"{min(30, math.ceil(timeout / 60))}m"},
        )

    def close(self) -> None:
        """End the connections."""
        self._transport.close()
        self._files.close()

    def order(
        self, model: str, inputs: dict[str, Any], patience: Deadline
    ) -> Prediction:
        """Begin a prediction.

        An order that was torn is given again: at worst it is drawn, and paid, twice.
        """
        return self._ask(
            lambda: self._client.predictions.create(model=model, input=inputs), patience
        )

    def ended(self, prediction: Prediction, patience: Deadline) -> Prediction:
        """Wait for the end of a prediction; it is cancelled when nobody waits any longer."""
        now = partial(self._client.predictions.get, prediction.id)
        try:
            while prediction.status not in _END_STATUSES:
                patience.sleep(patience.pace.poll)
                prediction = self._ask(now, patience)
        except BaseException:
            self.cancel(prediction.id)
            raise
        return prediction

    def cancel(self, prediction: str) -> None:
        """Ask for it once: there is nobody left to tell that it did not work."""
        with suppress(BackendError):
            self._said(lambda: self._client.predictions.cancel(prediction))

    def fetch(self, url: str, patience: Deadline) -> bytes:
        """An output's file, which needs no token and gets none."""
        return self._ask(lambda: self._read(url, patience), patience)

    def _read(self, url: str, patience: Deadline) -> bytes:
        data = bytearray()
        with self._files.stream("GET", url) as answer:
            if answer.is_error:
                raise error_of_status(answer.status_code, "", self.token)
            for part in answer.iter_bytes():
                patience.check()
                data += part
                if len(data) > _MAX_FILE_BYTES:
                    raise BackendError(
                        f"Replicate sends more than {_MAX_FILE_BYTES} bytes of a picture"
                    )
        return bytes(data)

    def _ask(self, request: Callable[[], T], patience: Deadline) -> T:
        pace = patience.pace
        growing = wait_random_exponential(
            multiplier=pace.again, max=pace.longest
        )  # full jitter

        def wait(state: RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            asked = error.retry_after if isinstance(error, TransientError) else None
            return max(asked or 0.0, growing(state))

        attempts = Retrying(
            retry=retry_if_exception_type(TransientError),
            stop=patience.over,
            wait=wait,
            sleep=patience.sleep,
            reraise=True,
        )
        patience.check()
        answer: T = attempts(self._said, request)
        return answer

    def _said(self, request: Callable[[], T]) -> T:
        from replicate.exceptions import ReplicateException

        try:
            return request()
        except (
            *(httpx.HTTPError, httpx.InvalidURL, ReplicateException),
            *(ValueError, KeyError, TypeError, AttributeError),  # not Replicate's JSON
        ) as error:
            raise backend_error_of(error, self.token) from None


class _ThrottlingTransport(httpx.HTTPTransport):
    """Raises for what passes at once: the library would wait by itself, whoever cancels."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        refuse_throttled(response)
        return response
