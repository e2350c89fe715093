"""Replicate's API: order a prediction, wait for its end, fetch its file, cancel it."""

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
    backend_error_of,
    error_of_client,
    error_of_status,
    errors_of_libraries,
    quotes_token,
    refuse_throttled,
    require_prediction,
)
from imagen_nb.errors import BackendError, Cancelled

if TYPE_CHECKING:
    from pydantic import SecretStr
    from replicate.prediction import Prediction

_END_STATUSES = ("succeeded", "failed", "canceled")
_RESPONSE_TIMEOUT_S = 20.0  # until a response begins
_MAX_FILE_BYTES = 32 * 2**20  # a PNG of one megapixel has 1 to 2 million bytes
_MAX_PREDICTION_MINUTES = 30  # Replicate ends predictions after that anyway

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pace:
    """How often Replicate is asked, in seconds.

    `poll`: between two looks at a prediction. `again`, `longest`: the first and the
    longest wait after a transient error. `attempts`: at one request; those that were
    throttled (HTTP 429) do not count, only the deadline ends them.
    `sleep(cancelled, seconds)`: waits, or until the event is set.
    """

    poll: float = 0.5
    again: float = 1.0
    longest: float = 20.0
    attempts: int = 5
    sleep: Callable[[Event, float], object] = Event.wait


@dataclass(frozen=True, slots=True)
class Deadline:
    """How long one picture is waited for.

    `seconds` in all, until `ends` (of `time.monotonic`), or until `cancelled` is set.
    """

    seconds: float
    ends: float
    cancelled: Event
    pace: Pace

    @classmethod
    def after(cls, seconds: float, cancelled: Event, pace: Pace) -> Deadline:
        """Return the deadline that is so many seconds from now."""
        return cls(seconds, time.monotonic() + seconds, cancelled, pace)

    def check(self) -> None:
        """Raise `Cancelled` after a cancel, `BackendError` when the time is up."""
        if self.cancelled.is_set():
            raise Cancelled("drawing cancelled; pictures finished before are kept")
        if time.monotonic() > self.ends:
            raise BackendError(
                f"Replicate did not draw the picture within {self.seconds:g} s: "
                "try again, or give it longer (replicate.timeout)"
            )

    def sleep(self, seconds: float) -> None:
        """Wait; raises what `check` does, before or after."""
        self.check()
        self.pace.sleep(self.cancelled, seconds)
        self.check()

    def is_over(self, state: RetryCallState) -> bool:
        """Whether to stop trying: a `stop` of tenacity.

        True if there is no time for another attempt, or there were too many.
        """
        error = state.outcome.exception() if state.outcome else None
        throttled = isinstance(error, TransientError) and error.status == 429
        too_many = state.attempt_number >= self.pace.attempts and not throttled
        return too_many or time.monotonic() + state.upcoming_sleep > self.ends


class Api:
    """Replicate for one account and any number of threads, over one connection pool.

    Invariant: no error raised here has the token in its message, and none has as its
    cause another error whose text or frames might have it.
    """

    def __init__(self, token: SecretStr, base_url: str | None, timeout: float) -> None:
        """`base_url`: None is $REPLICATE_BASE_URL, or Replicate's own address.

        `timeout`: seconds for one picture; Replicate itself cancels what takes longer.
        """
        from replicate.client import Client

        self.token = token
        limit = httpx.Timeout(min(_RESPONSE_TIMEOUT_S, timeout))
        # Should this program die, nothing is drawn for long.
        minutes = min(_MAX_PREDICTION_MINUTES, math.ceil(timeout / 60))
        self._transport = _ThrottlingTransport()
        # Where a proxy is configured, httpx uses its own transport: hence the hooks.
        self._files = httpx.Client(
            timeout=limit,
            follow_redirects=True,
            event_hooks={"response": [refuse_throttled]},
        )
        self._client = self._ask(
            lambda: Client(
                token.get_secret_value(),
                base_url=base_url,
                timeout=limit,
                transport=self._transport,
                event_hooks={"response": [refuse_throttled, require_prediction]},
                headers={"Cancel-After": f"{minutes}m"},
            )
        )

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()
        self._files.close()

    def order(
        self, model: str, inputs: dict[str, Any], deadline: Deadline
    ) -> Prediction:
        """Start a prediction and return it.

        An order whose connection was torn is sent again: at worst the picture is drawn,
        and paid, twice.
        """
        create = partial(self._client.predictions.create, model=model, input=inputs)
        return self._retry(create, deadline)

    def wait(self, prediction: Prediction, deadline: Deadline) -> Prediction:
        """Wait until a prediction has ended and return it as it is then.

        Whatever ends the waiting earlier cancels the prediction.
        """
        look = partial(self._client.predictions.get, prediction.id)
        try:
            while prediction.status not in _END_STATUSES:
                deadline.sleep(deadline.pace.poll)
                prediction = self._retry(look, deadline)
        except BaseException:
            self.cancel(prediction.id)
            raise
        return prediction

    def cancel(self, prediction: str) -> None:
        """Cancel a prediction by its id; tried once, and an error is ignored."""
        with suppress(BackendError):
            self._ask(lambda: self._client.predictions.cancel(prediction))

    def fetch(self, url: str, deadline: Deadline) -> bytes:
        """Return an output's file. The token is not sent: files need none."""
        return self._retry(lambda: self._download(url, deadline), deadline)

    def _download(self, url: str, deadline: Deadline) -> bytes:
        data = bytearray()
        with self._files.stream("GET", url) as response:
            if response.is_error:
                raise error_of_status(response.status_code, "", self.token)
            for part in response.iter_bytes():
                deadline.check()
                data += part
                if len(data) > _MAX_FILE_BYTES:
                    raise BackendError(
                        f"Replicate sends more than {_MAX_FILE_BYTES} bytes of a "
                        "picture"
                    )
        return bytes(data)

    def _retry(self, request: Callable[[], T], deadline: Deadline) -> T:
        """Send a request until there is no transient error, or the deadline is over."""
        pace = deadline.pace
        jittered = wait_random_exponential(multiplier=pace.again, max=pace.longest)

        def wait(state: RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            asked = error.retry_after if isinstance(error, TransientError) else None
            return max(asked or 0.0, jittered(state))

        attempts = Retrying(
            retry=retry_if_exception_type(TransientError),
            stop=deadline.is_over,
            wait=wait,
            sleep=deadline.sleep,
            reraise=True,
        )
        deadline.check()
        reply: T = attempts(self._ask, request)
        return reply

    def _ask(self, request: Callable[[], T]) -> T:
        """Send a request once. Raise `BackendError` for errors of its libraries.

        Any other error is a fault of a program: it passes as it is, unless it quotes
        the token.
        """
        try:
            return request()
        except errors_of_libraries() as error:
            raise backend_error_of(error, self.token) from None
        except Exception as error:
            if not quotes_token(error, self.token):
                raise
            raise error_of_client(error, self.token) from None


class _ThrottlingTransport(httpx.HTTPTransport):
    """Raises for HTTP 429 and 5xx at once.

    The library would wait and try again by itself, deaf to a cancel.
    """

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        refuse_throttled(response)
        return response
