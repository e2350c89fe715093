"""Hosted FLUX: pictures drawn by Replicate, several at once, for money."""

from __future__ import annotations

import io
import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from threading import Event
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from imagen_nb.backends import Availability, Drawn, Progress, Step
from imagen_nb.backends.flux.drawing.watch import Clock, work_of
from imagen_nb.backends.replicate.api import Api, Deadline, Pace
from imagen_nb.backends.replicate.errors import (
    NO_LIBRARY,
    NO_TOKEN,
    STRANGE_TOKEN,
    TOKENS_URL,
    error_of_prediction,
)
from imagen_nb.backends.replicate.models import (
    FLUX_DEV_HOSTED,
    FLUX_SCHNELL_HOSTED,
    HostedModel,
    model_inputs,
    price_of,
)
from imagen_nb.errors import BackendError, Cancelled, UsageError
from imagen_nb.request.request import Request, describe_request
from imagen_nb.system.thumbnails import image_read_errors

if TYPE_CHECKING:
    from PIL.Image import Image
    from replicate.prediction import Prediction

    Inputs = dict[str, Any]

MAX_AT_ONCE = 4  # predictions; Replicate takes 600 orders a minute
_DEFAULT_TIMEOUT_S = 300.0
_CANCEL_POLL_S = 0.1  # a cancel is noticed within this time
_FILE_FORMATS = ("PNG", "WEBP")
_MAX_PIXELS = 2**24  # ten times as many as are ever ordered
_LACKS = {NO_LIBRARY: "package", NO_TOKEN: "token", STRANGE_TOKEN: "token"}


def schnell(
    api_token: SecretStr | str | None = None,
    timeout: float | None = None,
    go_fast: bool = False,
) -> ReplicateBackend:
    """Return the backend of FLUX.1 [schnell] at Replicate."""
    return ReplicateBackend(FLUX_SCHNELL_HOSTED, api_token, timeout, go_fast)


def dev(
    api_token: SecretStr | str | None = None,
    timeout: float | None = None,
    go_fast: bool = False,
) -> ReplicateBackend:
    """Return the backend of FLUX.1 [dev] at Replicate."""
    return ReplicateBackend(FLUX_DEV_HOSTED, api_token, timeout, go_fast)


class ReplicateBackend:
    """Draws with one hosted model; connects to nothing before the first picture."""

    may_differ = (
        "Replicate says of no seed that it draws the same pixels again (it changes "
        "models and machines)"
    )

    def __init__(
        self,
        row: HostedModel,
        api_token: SecretStr | str | None = None,
        timeout: float | None = None,
        go_fast: bool = False,
        *,
        base_url: str | None = None,
        pace: Pace | None = None,
    ) -> None:
        """`api_token`: $REPLICATE_API_TOKEN by default.

        `timeout`: seconds for one picture. `go_fast`: draw with 8 bits a weight, which
        is faster and gives other pixels each time. `base_url`: $REPLICATE_BASE_URL by
        default, or Replicate's own address. Raise `UsageError` for an option of the
        wrong type, or a timeout that is not more than 0.
        """
        if not isinstance(go_fast, bool):
            raise UsageError("go_fast is true or false")
        self.row, self.name, self.model = row, row.name, row.source
        self.defaults, self.limits = row.defaults, row.limits
        self._api_token = _secret_of(api_token)
        self._timeout = _validated_timeout(timeout)
        self._go_fast, self._base_url, self._pace = go_fast, base_url, pace or Pace()

    @property
    def made_with(self) -> dict[str, Any]:
        """See `imagen_nb.backends.made_with`."""
        return {"options": {"go_fast": self._go_fast}}

    def availability(self) -> Availability:
        """Say whether the library and a token are there; the token is not tried."""
        reason = _describe_lacking(_token_in_force(self._api_token))
        return Availability(not reason, reason, _LACKS.get(reason, ""))

    def cost_usd(self, request: Request) -> float:
        """Return the price of one picture: the same for all sizes and steps."""
        return price_of(self.name)

    def draw(
        self, requests: Sequence[Request], progress: Progress | None, cancel: Event
    ) -> Iterator[Drawn]:
        """Draw several pictures at once and yield them in order; see `Backend.draw`.

        Whatever ends the drawing early cancels the unfinished predictions at Replicate.
        """
        # All inputs are made first: a request that is refused must cost nothing.
        orders = [(one, model_inputs(self.row, one, self._go_fast)) for one in requests]
        token = _token_in_force(self._api_token)
        lacking = _describe_lacking(token)
        if lacking or token is None:
            raise BackendError(f"{self.name}: {lacking}")
        api = Api(token, self._base_url, self._timeout)
        abandoned, clock = Event(), Clock(requests)
        pool = ThreadPoolExecutor(MAX_AT_ONCE, thread_name_prefix="imagen-replicate")
        draw_one = partial(self._draw_one, api, abandoned)
        pictures = _draw_in_order(pool, draw_one, orders, cancel)
        try:
            for index, drawn in enumerate(pictures):
                clock.done += work_of(requests[index])
                if progress:
                    _report_steps(progress, index, requests, clock.seconds_left())
                yield drawn
        finally:
            abandoned.set()
            pool.shutdown(wait=True, cancel_futures=True)
            api.close()

    def _draw_one(
        self, api: Api, abandoned: Event, request: Request, inputs: Inputs
    ) -> Drawn:
        deadline = Deadline.after(self._timeout, abandoned, self._pace)
        started = time.perf_counter()
        prediction = api.order(self.row.source, inputs, deadline)
        prediction = api.wait(prediction, deadline)
        if prediction.status != "succeeded":
            raise error_of_prediction(prediction, request, api.token)
        data = api.fetch(_output_url(prediction, request), deadline)
        image = _decode_image(data, request)
        latency_ms = round((time.perf_counter() - started) * 1000)
        details = {**self.made_with, "versions": _versions_of(prediction)}
        return Drawn(_with_size_of(image, request), image, latency_ms, details)


def _draw_in_order(
    pool: ThreadPoolExecutor,
    draw_one: Callable[[Request, Inputs], Drawn],
    orders: Iterable[tuple[Request, Inputs]],
    cancel: Event,
) -> Iterator[Drawn]:
    """Yield the pictures in order, `MAX_AT_ONCE` of them in the making."""
    waiting, running = deque(orders), deque[Future[Drawn]]()
    while waiting or running:
        while waiting and len(running) < MAX_AT_ONCE and not cancel.is_set():
            running.append(pool.submit(draw_one, *waiting.popleft()))
        yield _result_of_job(running.popleft() if running else None, cancel)


def _result_of_job(job: Future[Drawn] | None, cancel: Event) -> Drawn:
    """Return the job's picture; a finished one is paid, so a cancel does not lose it.

    Raise `Cancelled` if it is not finished when `cancel` is set, or there is no job.
    """
    while job and not cancel.is_set():
        if wait([job], timeout=_CANCEL_POLL_S).done:
            break
    if job is None or not job.done():
        raise Cancelled("drawing cancelled; pictures finished before are kept")
    return job.result()


def _report_steps(
    progress: Progress, index: int, requests: Sequence[Request], seconds_left: float
) -> None:
    """Report all steps of a finished picture: Replicate reports none on the way."""
    steps, indices = requests[index].steps, range(index, index + 1)
    for step in range(1, steps + 1):
        progress(Step(indices, len(requests), step, steps, seconds_left))


def _output_url(prediction: Prediction, request: Request) -> str:
    output = prediction.output
    first = output[0] if isinstance(output, list) and output else output
    if not isinstance(first, str):
        raise BackendError(
            f"Replicate has drawn {describe_request(request)}, it says, and gives no picture"
        )
    return first


def _decode_image(data: bytes, request: Request) -> Image:
    """Return a file's RGB picture. Raise `BackendError` if it is broken or black."""
    from PIL import Image

    image = None
    try:
        with Image.open(io.BytesIO(data), formats=_FILE_FORMATS) as file:
            if file.width * file.height <= _MAX_PIXELS:
                image = file.convert("RGB")
    except image_read_errors():
        pass
    if image is None:
        raise BackendError(
            f"what Replicate gives for {describe_request(request)} is no whole picture "
            f"({len(data)} bytes): draw it again"
        )
    if image.convert("L").getextrema() in ((0, 0), (0, 1), (1, 1)):
        raise BackendError(
            f"{describe_request(request)} came back all black, as safety checkers do: "
            "try another prompt or seed"
        )
    return image


def _with_size_of(image: Image, request: Request) -> Request:
    """Return the request with the size of the picture: so it is recorded."""
    return replace(request, width=image.width, height=image.height)


def _versions_of(prediction: Prediction) -> dict[str, str]:
    """Return what drew the picture, and the id under which Replicate knows it."""
    return {
        "replicate": version("replicate"),
        "hosted model": str(prediction.version),
        "prediction": prediction.id,
    }


def _validated_timeout(timeout: float | None) -> float:
    seconds = _DEFAULT_TIMEOUT_S if timeout is None else timeout
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not is_number or not math.isfinite(seconds) or seconds <= 0:
        raise UsageError("timeout must be seconds, more than 0, for one picture")
    return float(seconds)


def _secret_of(text: SecretStr | str | None) -> SecretStr | None:
    """Return the text in a form that does not print; None if it is blank.

    Raise `UsageError` for what is no text.
    """
    if text is None:
        return None
    plain = text.get_secret_value() if isinstance(text, SecretStr) else text
    if not isinstance(plain, str):  # a list or number of a configuration file
        raise UsageError(f"api_token is text: copy it from {TOKENS_URL}")
    return SecretStr(plain.strip()) if plain.strip() else None


def _token_in_force(api_token: SecretStr | None) -> SecretStr | None:
    return api_token or _secret_of(os.environ.get("REPLICATE_API_TOKEN"))


def _describe_lacking(token: SecretStr | None) -> str:
    """Return what keeps this machine from drawing, and the remedy; "" if nothing."""
    if find_spec("replicate") is None:
        return NO_LIBRARY
    if token is None:
        return NO_TOKEN
    return "" if _is_header_value(token) else STRANGE_TOKEN


def _is_header_value(token: SecretStr) -> bool:
    """Whether a header can hold the token: of another, httpx would quote it all."""
    text = token.get_secret_value()
    return text.isascii() and text.isprintable() and " " not in text
