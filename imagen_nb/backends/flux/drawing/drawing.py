"""One call of a FLUX backend's `draw`: parts of its requests go through the phases."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from imagen_nb.backends import Drawn, Progress
from imagen_nb.backends.flux.drawing.calls import (
    Batch,
    decode_latents,
    draw_latents,
    draw_pixels,
)
from imagen_nb.backends.flux.drawing.card import Stopwatch, wait_for
from imagen_nb.backends.flux.drawing.loaded import LoadedModel
from imagen_nb.backends.flux.drawing.phases import keep_on_card, run_guarded
from imagen_nb.backends.flux.drawing.pixels import make_image
from imagen_nb.backends.flux.drawing.placing import encoding_device, placement_of
from imagen_nb.backends.flux.drawing.watch import Clock, StepCallback
from imagen_nb.backends.flux.libraries import library_versions
from imagen_nb.backends.flux.loras import LoraFile
from imagen_nb.backends.flux.schedulers import scheduler_class
from imagen_nb.request.request import Request

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from torch import Tensor

    from imagen_nb.backends.flux.drawing.pixels import Pixels


@dataclass(frozen=True, slots=True)
class DenoisedBatch:
    """A batch before it is decoded.

    `latents`: (B, tokens, C · 4). `stopwatch`: of its denoising, which the card may
    still be at. `encoding_s`: the seconds that encoding took.
    """

    batch: Batch
    callback: StepCallback
    latents: Tensor
    stopwatch: Stopwatch
    encoding_s: float


@dataclass(slots=True)
class DrawCall:
    """What all pictures of one call of `draw` have in common.

    `options`: what records say of the backend. `clock` starts with the first picture.
    """

    loaded: LoadedModel
    loras: tuple[LoraFile, ...]
    options: Mapping[str, Any]
    requests: Sequence[Request]
    progress: Progress | None
    cancel: threading.Event
    clock: Clock | None = field(default=None, init=False)

    def part(self, batches: list[Batch], first: int) -> Iterator[Drawn]:
        """Draw batches that go through each phase together.

        `first`: the index of their first picture in `requests`. Raise `CardMemoryError`
        besides what `Backend.draw` raises.
        """
        if not self._is_phased():
            self._load()
            for batch, callback in self._with_callbacks(batches, first):
                yield from self._draw_at_once(batch, callback)
            return
        with self.loaded.lock:  # another call, falling back, would take the prompts
            encoding_s = self._encode(batches)
            denoised, error = self._denoise(  # callbacks hold latents: no name for them
                [*self._with_callbacks(batches, first)], encoding_s
            )
        while denoised:  # what was finished before an error is decoded too
            yield from self._decode(denoised.pop(0))
        if error:
            raise error

    def _is_phased(self) -> bool:
        with self.loaded.lock:
            return self.loaded.plan.phased

    def _load(self) -> None:
        """Load the model before the clock starts."""
        with self.loaded.lock:
            self.loaded.pipeline(self.loras)

    def _with_callbacks(
        self, batches: list[Batch], first: int
    ) -> Iterator[tuple[Batch, StepCallback]]:
        self.clock = clock = self.clock or Clock(self.requests)
        preview = self.loaded.preview if self._has_previews() else None
        for batch in batches:
            callback = StepCallback(
                batch=batch,
                indices=range(first, first + len(batch)),
                total=len(self.requests),
                clock=clock,
                preview=preview,
                progress=self.progress,
                cancel=self.cancel,
            )
            first += len(batch)
            yield batch, callback

    def _has_previews(self) -> bool:
        """Whether previews can show the latents: FLUX.2 lays its own out otherwise."""
        return self.loaded.kind.shifted

    def _draw_at_once(self, batch: Batch, callback: StepCallback) -> Iterator[Drawn]:
        """Draw a batch, and return its pictures.

        No generator itself: while it waits it would hold a pipeline that may give way.
        """
        with self.loaded.lock:
            if self.loaded.plan.separate:  # by now: another call fell back
                self.loaded.encode(batch, self.loras)
            pipeline = self._pipeline(batch)
            started = time.perf_counter()
            prompts = self.loaded.prompts
            call = partial(draw_pixels, pipeline, batch, callback, prompts)
            pixels = run_guarded(pipeline, batch, callback, call)
            seconds = time.perf_counter() - started
            facts = self._facts(pipeline, batch)
        return _drawn_of_batch(batch, pixels, seconds, facts)

    def _pipeline(self, batch: Batch) -> DiffusionPipeline:
        return self.loaded.pipeline(self.loras, self.loaded.kind.drawer(batch[0]))

    def _encode(self, batches: list[Batch]) -> float:
        """Encode all prompts of the batches; return the seconds for each picture.

        The caller holds the model's lock.
        """
        if not self.loaded.plan.separate:
            self.loaded.pipeline(self.loras)
        started = time.perf_counter()
        requests = [request for batch in batches for request in batch]
        self.loaded.encode(requests, self.loras)
        wait_for(encoding_device(self.loaded.plan))
        seconds = time.perf_counter() - started
        self.loaded.pipeline(self.loras)
        return seconds / len(requests)

    def _denoise(
        self, watched: list[tuple[Batch, StepCallback]], encoding_s: float
    ) -> tuple[list[DenoisedBatch], BaseException | None]:
        """Denoise all batches up to one that fails; return these, and its error.

        The caller holds the model's lock.
        """
        done: list[DenoisedBatch] = []
        pipeline, prompts = self._pipeline(watched[0][0]), self.loaded.prompts
        with keep_on_card(pipeline, self.loaded.plan):
            for batch, callback in watched:
                stopwatch = Stopwatch(placement_of(pipeline).device)
                call = partial(draw_latents, pipeline, batch, callback, prompts)
                try:
                    latents = run_guarded(pipeline, batch, callback, call)
                except BaseException as error:
                    return done, error
                stopwatch.stop()
                share_s = encoding_s * len(batch)
                done.append(DenoisedBatch(batch, callback, latents, stopwatch, share_s))
        return done, None

    def _decode(self, one: DenoisedBatch) -> Iterator[Drawn]:
        """Decode a batch, and return its pictures; no generator, see above."""
        batch, kind = one.batch, self.loaded.kind
        with self.loaded.lock:
            pipeline = self._pipeline(batch)
            stopwatch = Stopwatch(placement_of(pipeline).device)
            call = partial(decode_latents, pipeline, kind, batch, one.latents)
            pixels = run_guarded(pipeline, batch, one.callback, call, finishing=True)
            stopwatch.stop()
            seconds = one.encoding_s + one.stopwatch.seconds() + stopwatch.seconds()
            facts = self._facts(pipeline, batch)
        return _drawn_of_batch(batch, pixels, seconds, facts)

    def _facts(self, pipeline: DiffusionPipeline, batch: Batch) -> dict[str, Any]:
        """Return the record fields that are the same for every picture of a batch."""
        import torch

        scheduler = (
            scheduler_class(batch[0].scheduler) or type(pipeline.scheduler).__name__
        )
        placed = placement_of(pipeline)
        return {
            "scheduler": scheduler,
            "dtype": str(placed.dtype).removeprefix("torch."),
            "device": str(placed.device),
            "threads": torch.get_num_threads() if placed.device.type == "cpu" else None,
            "memory_plan": self.loaded.plan.recorded(),
            "versions": dict(library_versions()),
            "loras": [lora.recorded() for lora in self.loras],
            "options": dict(self.options),
        }


def _drawn_of_batch(
    batch: Batch, pixels: list[Pixels | None], seconds: float, facts: Mapping[str, Any]
) -> Iterator[Drawn]:
    """Yield a batch's pictures, whose images are made by whoever asks for them.

    `pixels`: of each picture. `seconds`: of the whole batch.
    """
    latency_ms = round(seconds * 1000 / len(batch))
    for index, request in enumerate(batch):
        image = partial(make_image, pixels[index], request, facts["dtype"])
        details = {**facts, "batch_size": len(batch), "batch_index": index}
        yield Drawn(request, image, latency_ms, details)
