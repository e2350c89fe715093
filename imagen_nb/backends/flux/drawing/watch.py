"""What happens between two denoising steps: cancel, count, tell the listener."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from imagen_nb.backends import Progress, Step
from imagen_nb.backends.flux.drawing.noise import first_latents
from imagen_nb.backends.flux.drawing.preview import LatentPreview
from imagen_nb.errors import Cancelled
from imagen_nb.request.request import Request

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from PIL.Image import Image
    from torch import Tensor


def work_of(request: Request) -> int:
    """What drawing a request takes, near enough to foresee the time: pixels × steps."""
    return request.width * request.height * request.steps_run


class Clock:
    """Work done and to do over one call of `draw`, from the first batch on."""

    def __init__(self, requests: Sequence[Request]) -> None:
        self.to_do, self.done = sum(map(work_of, requests)), 0
        self.started = time.perf_counter()

    def seconds_left(self) -> float:
        """At the pace so far, for all pictures of the call; after some work is done."""
        return (
            (time.perf_counter() - self.started) / self.done * (self.to_do - self.done)
        )


@dataclass(slots=True)
class StepCallback:
    """One batch's callback. `indices`: where the batch is in the list of `total` requests."""

    batch: Sequence[Request]
    indices: range
    total: int
    clock: Clock
    preview: LatentPreview | None
    progress: Progress | None
    cancel: threading.Event
    before: Callable[[], Tensor] | None = None
    listeners_error: BaseException | None = (
        None  # so that it is not taken for one of torch
    )

    def stop_if_cancelled(self) -> None:
        """Raise `Cancelled` once the caller has set the event."""
        if self.cancel.is_set():
            raise Cancelled("drawing cancelled; pictures finished before are kept")

    def __call__(
        self,
        pipeline: DiffusionPipeline,
        step: int,
        timestep: Any,
        kwargs: dict[str, Any],
    ) -> dict[str, Any]:
        """FluxPipeline's `callback_on_step_end`; changes nothing of what is drawn."""
        self.stop_if_cancelled()
        self.clock.done += sum(map(work_of, self.batch)) // self.batch[0].steps_run
        if self.progress:
            # A scheduler's step makes new latents and leaves these alone: no copy is needed.
            latents, sigmas = kwargs["latents"].detach(), pipeline.scheduler.sigmas
            before = self.before or self._first(pipeline, latents)
            run = (
                len(sigmas) - 1 - self.batch[0].steps_run
            )  # left out, from an init image on
            foreseen = partial(
                predict_final_latents, latents, before, sigmas, run + step
            )
            self.before = lambda: latents
            ended = Step(
                indices=self.indices,
                total=self.total,
                step=step + 1,
                steps=self.batch[0].steps_run,
                seconds_left=self.clock.seconds_left(),
                preview=(lambda index: self._image(foreseen(), index))
                if self.preview
                else None,
            )
            self._tell(self.progress, ended)
        return {}

    def _tell(self, progress: Progress, step: Step) -> None:
        try:
            progress(step)
        except BaseException as error:
            self.listeners_error = error
            raise

    def _first(
        self, pipeline: DiffusionPipeline, latents: Tensor
    ) -> Callable[[], Tensor]:
        """What the first step began with; with an init image it is not made once more."""
        if self.batch[0].init_image:
            return lambda: latents
        return partial(first_latents, pipeline, self.batch, latents)

    def _image(self, latents: Tensor, index: int) -> Image:
        place = self.indices.index(
            index
        )  # ValueError for a picture that is not of this batch
        request = self.batch[place]
        assert self.preview
        return self.preview.image(latents[place], request.width, request.height)


def predict_final_latents(
    latents: Tensor, before: Callable[[], Tensor], sigmas: Tensor, step: int
) -> Tensor:
    """Where the straight line through the last two steps' latents ends when the noise is gone.

    FLUX's path from noise to picture is nearly straight, so this shows the picture early, where
    the latents themselves still show mostly noise. `sigmas`: share of noise before each step.
    """
    last, now = float(sigmas[step]), float(sigmas[step + 1])
    if now in (0, last):
        return latents
    return latents - now * (latents - before()) / (now - last)
