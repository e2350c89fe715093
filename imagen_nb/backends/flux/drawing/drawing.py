"""One call of a FLUX backend's `draw`: parts of it go through the phases and are pictures."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from imagen_nb.backends import Drawn, Progress
from imagen_nb.backends.flux.drawing.calls import Batch, call_pipeline, decode_latents
from imagen_nb.backends.flux.drawing.loaded import LoadedModel
from imagen_nb.backends.flux.drawing.phases import keep_on_card, run_guarded
from imagen_nb.backends.flux.drawing.watch import Clock, StepCallback
from imagen_nb.backends.flux.libraries import versions
from imagen_nb.backends.flux.loras import Lora
from imagen_nb.backends.flux.schedulers import class_of
from imagen_nb.errors import BackendError
from imagen_nb.request.request import Request, quoted

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from PIL.Image import Image
    from torch import Tensor

    from imagen_nb.backends.flux.drawing.calls import Pixels

_MAX_BLACK = 1 / 255  # a picture with nothing above this is a failed one


@dataclass(frozen=True, slots=True)
class DenoisedBatch:
    """A batch before it is decoded. `latents`: (B, tokens, C · 4); `seconds` so far."""

    batch: Batch
    watch: StepCallback
    latents: Tensor
    seconds: float


@dataclass(slots=True)
class DrawCall:
    """What all pictures of one call have in common. `options`: what records say of the backend."""

    loaded: LoadedModel
    loras: tuple[Lora, ...]
    options: Mapping[str, Any]
    requests: Sequence[Request]
    progress: Progress | None
    cancel: threading.Event
    clock: Clock | None = field(default=None, init=False)  # from the first picture on

    def part(self, batches: list[Batch], first: int) -> Iterator[Drawn]:
        """Batches that go through each phase together. `first`: the place of their first picture.

        Raises `CardMemoryError` besides what `Backend.draw` does.
        """
        if not self._phased():
            self._load()
            for batch, watch in self._watched(batches, first):
                yield from self._at_once(batch, watch)
            return
        encoding = self._encode(batches)
        denoised, error = self._denoise([*self._watched(batches, first)], encoding)
        while denoised:  # what was finished before an error is decoded too
            yield from self._decoded(denoised.pop(0))
        if error:
            raise error

    def _phased(self) -> bool:
        with self.loaded.lock:
            return self.loaded.plan.phased

    def _load(self) -> None:
        """What takes long, before the clock starts."""
        with self.loaded.lock:
            self.loaded.pipeline(self.loras)

    def _watched(
        self, batches: list[Batch], first: int
    ) -> Iterator[tuple[Batch, StepCallback]]:
        self.clock = clock = self.clock or Clock(self.requests)
        total, preview = (
            len(self.requests),
            self.loaded.preview if self._shows else None,
        )
        for batch in batches:
            indices = range(first, first + len(batch))
            first = indices.stop
            yield (
                batch,
                StepCallback(
                    batch, indices, total, clock, preview, self.progress, self.cancel
                ),
            )

    @property
    def _shows(self) -> bool:
        """Whether latents can be shown as they are: those of FLUX.2 are laid out otherwise."""
        return self.loaded.kind.shifted

    def _at_once(self, batch: Batch, watch: StepCallback) -> Iterator[Drawn]:
        with self.loaded.lock:
            pipeline = self._pipeline(batch)
            started = time.perf_counter()
            call = partial(
                call_pipeline, pipeline, batch, watch, self.loaded.prompts, "np"
            )
            pixels = run_guarded(pipeline, batch, watch, call)
            seconds = time.perf_counter() - started
            facts = self._facts(pipeline, batch)
        yield from _drawn_of_batch(batch, pixels, seconds, facts)

    def _pipeline(self, batch: Batch) -> DiffusionPipeline:
        return self.loaded.pipeline(self.loras, self.loaded.kind.drawer(batch[0]))

    def _encode(self, batches: list[Batch]) -> float:
        """All prompts of the batches; the seconds that this took for each picture."""
        with self.loaded.lock:
            if not self.loaded.plan.separate:
                self.loaded.pipeline(self.loras)
            started = time.perf_counter()
            requests = [request for batch in batches for request in batch]
            self.loaded.encode(requests, self.loras)
            seconds = time.perf_counter() - started
            self.loaded.pipeline(self.loras)
        return seconds / len(requests)

    def _denoise(
        self, watched: list[tuple[Batch, StepCallback]], encoding: float
    ) -> tuple[list[DenoisedBatch], BaseException | None]:
        """All batches, up to one that fails, and why it did."""
        done: list[DenoisedBatch] = []
        with self.loaded.lock:
            pipeline, prompts = self._pipeline(watched[0][0]), self.loaded.prompts
            with keep_on_card(pipeline, self.loaded.plan):
                for batch, watch in watched:
                    started = time.perf_counter()
                    call = partial(
                        call_pipeline, pipeline, batch, watch, prompts, "latent"
                    )
                    try:
                        latents = run_guarded(pipeline, batch, watch, call)
                    except BaseException as error:
                        return done, error
                    seconds = time.perf_counter() - started + encoding * len(batch)
                    done.append(DenoisedBatch(batch, watch, latents, seconds))
        return done, None

    def _decoded(self, one: DenoisedBatch) -> Iterator[Drawn]:
        with self.loaded.lock:
            pipeline = self._pipeline(one.batch)
            started = time.perf_counter()
            call = partial(
                decode_latents, pipeline, self.loaded.kind, one.batch, one.latents
            )
            pixels = run_guarded(pipeline, one.batch, one.watch, call, finishing=True)
            seconds = time.perf_counter() - started + one.seconds
            facts = self._facts(pipeline, one.batch)
        yield from _drawn_of_batch(one.batch, pixels, seconds, facts)

    def _facts(self, pipeline: DiffusionPipeline, batch: Batch) -> dict[str, Any]:
        """What a record says of the pipeline, the same for every picture."""
        import torch

        on_cpu = pipeline._execution_device.type == "cpu"
        return {
            "scheduler": class_of(batch[0].scheduler)
            or type(pipeline.scheduler).__name__,
            "dtype": str(pipeline.transformer.dtype).removeprefix("torch."),
            "device": str(pipeline._execution_device),
            "threads": torch.get_num_threads() if on_cpu else None,
            "memory_plan": self.loaded.plan.recorded(),
            "versions": dict(versions()),
            "loras": [lora.recorded() for lora in self.loras],
            "options": dict(self.options),
        }


def _drawn_of_batch(
    batch: Batch, pixels: Pixels, seconds: float, facts: Mapping[str, Any]
) -> Iterator[Drawn]:
    """A batch's pictures. `pixels`: (B, H, W, 3), 0…1; `seconds` are of the whole batch."""
    latency_ms = round(seconds * 1000 / len(batch))
    for index, request in enumerate(batch):
        image = _unchanged_outside_mask(to_image(pixels[index], request), request)
        details = {**facts, "batch_size": len(batch), "batch_index": index}
        yield Drawn(request, image, latency_ms, details)


def _unchanged_outside_mask(image: Image, request: Request) -> Image:
    """What the mask leaves black is the init image's own, to the pixel: the VAE changes all a bit.

    Grey is a mixture, which softens the border.
    """
    import PIL.Image

    if request.mask is None or request.init_image is None:
        return image
    size = (request.width, request.height)
    return PIL.Image.composite(
        image, request.init_image.image(*size), request.mask.mask(*size)
    )


def to_image(pixels: Pixels, request: Request) -> Image:
    """(H, W, 3) floats in 0…1 -> an RGB picture. Raises `BackendError` for NaN or all black."""
    import numpy as np
    from PIL import Image

    if not np.isfinite(pixels).all() or pixels.max() <= _MAX_BLACK:
        raise BackendError(
            f"the picture of {quoted(request)} came out broken (not numbers, or all black): "
            "try another seed or size, and if all are, fetch the weights again"
        )
    return Image.fromarray((pixels * 255).round().astype("uint8"))
