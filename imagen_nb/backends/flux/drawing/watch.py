"""Between two denoising steps: stop if cancelled, count, report to the listener."""

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
    """Return pixels × steps: roughly proportional to the time that drawing takes."""
    return request.width * request.height * request.steps_run


class Clock:
    """Work done and to do over one call of `draw`, from the first batch on.

    `done`, in the unit of `work_of`, is counted up by whoever draws.
    """

    def __init__(self, requests: Sequence[Request]) -> None:
        """Start it."""
        self.to_do, self.done = sum(map(work_of, requests)), 0
        self.started = time.perf_counter()

    def seconds_left(self) -> float:
        """Estimate the time for the rest of the call; only after some work is done."""
        seconds_per_work = (time.perf_counter() - self.started) / self.done
        return seconds_per_work * (self.to_do - self.done)


@dataclass(slots=True)
class StepCallback:
    """What FluxPipeline calls after each step of one batch.

    `indices`: the batch's positions in the list of `total` requests. `before`: gives
    the latents that the step began with. `listeners_error`: what the progress listener
    raised, so that it is not taken for an error of torch.
    """

    batch: Sequence[Request]
    indices: range
    total: int
    clock: Clock
    preview: LatentPreview | None
    progress: Progress | None
    cancel: threading.Event
    before: Callable[[], Tensor] | None = None
    listeners_error: BaseException | None = None

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
        """Count and report a step: a `callback_on_step_end`, which changes nothing.

        `kwargs["latents"]`: (B, tokens, C · 4) after the step.
        """
        self.stop_if_cancelled()
        self.clock.done += sum(map(work_of, self.batch)) // self.batch[0].steps_run
        if self.progress:
            self._report(self.progress, self._step(pipeline, step, kwargs["latents"]))
        return {}

    def _step(self, pipeline: DiffusionPipeline, step: int, latents: Tensor) -> Step:
        """Return the step that has ended; its preview predicts the finished picture."""
        # A scheduler's step makes new latents and leaves these alone: no copy needed.
        latents, sigmas = latents.detach(), pipeline.scheduler.sigmas
        before = self.before or self._latents_at_start(pipeline, latents)
        self.before = lambda: latents
        steps_run = self.batch[0].steps_run
        skipped = len(sigmas) - 1 - steps_run  # with an init image, the first steps
        predict = partial(
            predict_final_latents, latents, before, sigmas, skipped + step
        )

        def preview_of(index: int) -> Image:
            return self._preview(predict(), index)

        return Step(
            indices=self.indices,
            total=self.total,
            step=step + 1,
            steps=steps_run,
            seconds_left=self.clock.seconds_left(),
            preview=preview_of if self.preview else None,
        )

    def _report(self, progress: Progress, step: Step) -> None:
        try:
            progress(step)
        except BaseException as error:
            self.listeners_error = error
            raise

    def _latents_at_start(
        self, pipeline: DiffusionPipeline, latents: Tensor
    ) -> Callable[[], Tensor]:
        """What gives the latents that the first step began with.

        With an init image that would take another encoding by the VAE: those after the
        step have to do.
        """
        if self.batch[0].init_image:
            return lambda: latents
        return partial(first_latents, pipeline, self.batch, latents)

    def _preview(self, latents: Tensor, index: int) -> Image:
        """Raise `ValueError` for the index of a picture that is not of this batch."""
        position = self.indices.index(index)
        request = self.batch[position]
        assert self.preview
        return self.preview.image(latents[position], request.width, request.height)


def predict_final_latents(
    latents: Tensor, before: Callable[[], Tensor], sigmas: Tensor, step: int
) -> Tensor:
    """Return where the straight line through the last two steps' latents ends.

    FLUX's path from noise to picture is nearly straight, so this shows the picture
    early, where the latents themselves still show mostly noise. `latents`: after the
    step. `before`: gives those before it. `sigmas`: (steps + 1,), the share of noise
    before each step and after the last one. `step`: its index in `sigmas`.
    """
    last, now = float(sigmas[step]), float(sigmas[step + 1])
    if now in (0, last):
        return latents
    return latents - now * (latents - before()) / (now - last)
