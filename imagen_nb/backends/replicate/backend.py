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
from imagen_nb.backends.replicate.api import Api, Pace, Deadline
from imagen_nb.backends.replicate.errors import (
    NO_LIBRARY,
    NO_TOKEN,
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
from imagen_nb.request.request import Request, quoted

if TYPE_CHECKING:
    from PIL.Image import Image
    from replicate.prediction import Prediction

    Inputs = dict[str, Any]

MAX_AT_ONCE = 4  # pictures; Replicate takes 600 orders a minute
_DEFAULT_TIMEOUT_S = 300.0
_CANCEL_POLL_S = 0.1  # how soon a cancel is noticed
_FILE_FORMATS = ("PNG", "WEBP")
_MAX_PIXELS = (
    2**24
)  # of a picture that can be one: ten times the largest that is asked for


def schnell(
    api_token: SecretStr | str | None = None,
    timeout: float | None = None,
    go_fast: bool = False,
) -> ReplicateBackend:
    """FLUX.1 [schnell] at Replicate."""
    return ReplicateBackend(FLUX_SCHNELL_HOSTED, api_token, timeout, go_fast)


def dev(
    api_token: SecretStr | str | None = None,
    timeout: float | None = None,
    go_fast: bool = False,
) -> ReplicateBackend:
    """FLUX.1 [dev] at Replicate."""
    return ReplicateBackend(FLUX_DEV_HOSTED, api_token, timeout, go_fast)


class ReplicateBackend:
    """Draws with one hosted model; asks nobody before the first picture."""

    may_differ = (
        "Replicate says of no seed that it draws the same pixels again (it changes models and "
        "machines)"
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
        """`api_token`: $REPLICATE_API_TOKEN unless given. `timeout`: seconds for one picture.

        `go_fast`: drawn with 8 bits a weight, faster, and differently each time. `base_url`:
        $REPLICATE_BASE_URL, or Replicate's own. Raises `UsageError` for options that are none.
        """
        if not isinstance(go_fast, bool):
            raise UsageError("go_fast is true or false")
        self.row, self.name, self.model = row, row.name, row.source
        self.defaults, self.limits = row.defaults, row.limits
        self._given, self._timeout = _secret_of(api_token), _validated_timeout(timeout)
        self._go_fast, self._base_url, self._pace = go_fast, base_url, pace or Pace()

    @property
    def made_with(self) -> dict[str, Any]:
        """See `imagen_nb.backends.made_with`."""
        return {"options": {"go_fast": self._go_fast}}

    def availability(self) -> Availability:
        """Whether there are the library and a token; asks nobody whether it is good."""
        lacking = NO_LIBRARY if find_spec("replicate") is None else ""
        lacking = lacking or ("" if _token_in_force(self._given) else NO_TOKEN)
        return Availability(not lacking, lacking)

    def cost_usd(self, request: Request) -> float:
        """The price of `prices.PRICES`: the same for all sizes and steps."""
        return price_of(self.name)

    def draw(
        self, requests: Sequence[Request], progress: Progress | None, cancel: Event
    ) -> Iterator[Drawn]:
        """Draw several at once, each in its turn; see `Backend.draw`.

        Whatever ends the drawing early cancels at Replicate what was not finished.
        """
        asked = [
            (one, model_inputs(self.row, one, self._go_fast)) for one in requests
        ]  # before paying
        state = self.availability()
        if not state.available:
            raise BackendError(f"{self.name}: {state.reason}")
        unwanted, clock = Event(), Clock(requests)
        api = Api(
            _validated_token(_token_in_force(self._given)),
            self._base_url,
            self._timeout,
        )
        pool = ThreadPoolExecutor(MAX_AT_ONCE, thread_name_prefix="imagen-replicate")
        draw_one = partial(self._drawn, api, unwanted)
        try:
            for index, drawn in enumerate(
                _draw_in_order(pool, draw_one, asked, cancel)
            ):
                clock.done += work_of(requests[index])
                if progress:
                    _report_steps(progress, index, requests, clock.seconds_left())
                yield drawn
        finally:
            unwanted.set()
            pool.shutdown(wait=True, cancel_futures=True)
            api.close()

    def _drawn(
        self, api: Api, unwanted: Event, request: Request, asked: Inputs
    ) -> Drawn:
        patience = Deadline.of(self._timeout, unwanted, self._pace)
        started = time.perf_counter()
        prediction = api.ended(api.order(self.row.source, asked, patience), patience)
        if prediction.status != "succeeded":
            raise error_of_prediction(prediction, request, api.token)
        image = _decode_image(
            api.fetch(_output_url(prediction, request), patience), request
        )
        latency_ms = round((time.perf_counter() - started) * 1000)
        details = {**self.made_with, "versions": _versions_of(prediction)}
        return Drawn(_with_size_of(request, image), image, latency_ms, details)


def _draw_in_order(
    pool: ThreadPoolExecutor,
    draw_one: Callable[[Request, Inputs], Drawn],
    asked: Iterable[tuple[Request, Inputs]],
    cancel: Event,
) -> Iterator[Drawn]:
    """The pictures in their order; a few of them are begun before they are wanted."""
    left, begun = deque(asked), deque[Future[Drawn]]()
    while left or begun:
        while left and len(begun) < MAX_AT_ONCE and not cancel.is_set():
            begun.append(pool.submit(draw_one, *left.popleft()))
        yield _result_of_job(begun.popleft() if begun else None, cancel)


def _result_of_job(job: Future[Drawn] | None, cancel: Event) -> Drawn:
    """What the job gives. Raises `Cancelled` unless it has given it already, as it was paid for."""
    while job and not wait([job], timeout=_CANCEL_POLL_S).done and not cancel.is_set():
        pass
    if job is None or not job.done():
        raise Cancelled("drawing cancelled; pictures finished before are kept")
    return job.result()


def _report_steps(
    progress: Progress, index: int, requests: Sequence[Request], seconds_left: float
) -> None:
    """All steps of a picture, when it is there: Replicate tells of none before."""
    steps = requests[index].steps
    for step in range(1, steps + 1):
        progress(
            Step(range(index, index + 1), len(requests), step, steps, seconds_left)
        )


def _output_url(prediction: Prediction, request: Request) -> str:
    """Where the one picture is."""
    output = prediction.output
    first = output[0] if isinstance(output, list) and output else output
    if not isinstance(first, str):
        raise BackendError(
            f"Replicate has drawn {quoted(request)}, it says, and gives no picture"
        )
    return first


def _decode_image(data: bytes, request: Request) -> Image:
    """The bytes as an RGB picture. Raises `BackendError` when they are none, or it is all black."""
    from PIL import Image

    bombs = (Image.DecompressionBombError, Image.DecompressionBombWarning)
    try:
        with Image.open(io.BytesIO(data), formats=_FILE_FORMATS) as file:
            image = (
                file.convert("RGB") if file.width * file.height <= _MAX_PIXELS else None
            )
    except (OSError, SyntaxError, ValueError, *bombs):
        image = None
    if image is None:
        raise BackendError(
            f"what Replicate gives for {quoted(request)} is no whole picture ({len(data)} bytes): "
            "draw it again"
        )
    if image.convert("L").getextrema() in ((0, 0), (0, 1), (1, 1)):
        raise BackendError(
            f"{quoted(request)} came back all black, as safety checkers do: try another prompt or "
            "seed"
        )
    return image


def _with_size_of(request: Request, image: Image) -> Request:
    """The request with the size that the picture has, so that no record says another one."""
    return replace(request, width=image.width, height=image.height)


def _versions_of(prediction: Prediction) -> dict[str, str]:
    """What drew it, and under which id Replicate knows it."""
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
    """In a form that does not print; None for what is blank."""
    said = text.get_secret_value() if isinstance(text, SecretStr) else str(text or "")
    return SecretStr(said.strip()) if said.strip() else None


def _token_in_force(given: SecretStr | None) -> SecretStr | None:
    return given or _secret_of(os.environ.get("REPLICATE_API_TOKEN"))


def _validated_token(token: SecretStr | None) -> SecretStr:
    """The token. Raises `BackendError` for what no header can hold: httpx would quote all of it."""
    if token is None or not _is_header_value(token):
        raise BackendError(
            f"the Replicate token has letters that none has: copy it from {TOKENS_URL}"
        )
    return token


def _is_header_value(token: SecretStr) -> bool:
    text = token.get_secret_value()
    return text.isascii() and text.isprintable() and " " not in text
