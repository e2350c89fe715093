"""Local FLUX through diffusers: any model of FLUX layout, on a GPU or the CPU."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from imagen_nb.backends import Availability, Drawn, Progress
from imagen_nb.backends.layout import custom_model
from imagen_nb.backends.loaded import loaded
from imagen_nb.backends.loras import Lora, named, need_peft, read
from imagen_nb.backends.models import FLUX_DEV, FLUX_SCHNELL, Model
from imagen_nb.backends.noise import generators
from imagen_nb.backends.prompts import PromptCache
from imagen_nb.backends.quoted import quoted
from imagen_nb.backends.versions import versions
from imagen_nb.backends.watch import Clock, Watch
from imagen_nb.backends.weights import found, lacking, missing_line
from imagen_nb.errors import BackendError, Cancelled, UsageError
from imagen_nb.paths import portable
from imagen_nb.request import Request

if TYPE_CHECKING:
    import numpy as np
    from diffusers import FluxPipeline
    from PIL.Image import Image

    from imagen_nb.backends.loras import Loras

    Pixels = np.ndarray[Any, np.dtype[np.float32]]

BLACK = 1 / 255  # a picture with nothing above this is a failed one


def schnell(loras: Loras | None = None) -> FluxBackend:
    """FLUX.1 [schnell], not yet loaded."""
    return FluxBackend(FLUX_SCHNELL, loras)


def dev(loras: Loras | None = None) -> FluxBackend:
    """FLUX.1 [dev], not yet loaded."""
    return FluxBackend(FLUX_DEV, loras)


def custom(model: str | None = None, loras: Loras | None = None) -> FluxBackend:
    """Any folder or Hugging Face id of FLUX layout, not yet loaded.

    Raises `UsageError` without a model and `BackendError` for a folder that is no FLUX pipeline.
    """
    if not model:
        raise UsageError("the backend flux needs model=…: a folder or a Hugging Face id")
    row = custom_model(str(model))
    return FluxBackend(row, loras, {"model": portable(row.folder) if row.folder else row.source})


class FluxBackend:
    """Draws with one model's FluxPipeline, with or without LoRAs; loads it at the first picture.

    A call of `draw` takes the LoRAs' files as they are when it begins.
    """

    def __init__(
        self, row: Model, loras: Loras | None = None, options: Mapping[str, str] | None = None
    ) -> None:
        """`options`: what records say of how the row was found.

        Raises `UsageError` for loras that are none, `BackendError` for those that are not there.
        """
        self.row, self._options = row, dict(options or {})
        self._named = named(loras)
        if self._named:
            need_peft()
            read(self._named)
        self.name, self.model = row.name, row.recorded
        self.defaults, self.limits = row.defaults, row.limits
        self._loaded = loaded(row)

    @property
    def made_with(self) -> dict[str, Any]:
        """See `imagen_nb.backends.made_with`."""
        return {"options": self._options, "loras": _recorded(read(self._named))}

    def availability(self) -> Availability:
        """Whether the weights are here; looks at files only."""
        folder = found(self.row)
        if folder is None or lacking(folder):
            return Availability(False, missing_line(self.row))
        return Availability(True)

    def cost_usd(self, request: Request) -> float:
        """Nothing: the machine is the user's own."""
        return 0.0

    def draw(
        self, requests: Sequence[Request], progress: Progress | None, cancel: threading.Event
    ) -> Iterator[Drawn]:
        """Draw in batches of like requests; see `Backend.draw`."""
        loras = read(self._named)
        with self._loaded.lock:
            self._loaded.pipeline(loras)  # what takes long, before the clock starts
        clock, first, preview = Clock(requests), 0, self._loaded.preview
        for batch in batches(requests, self.row.batch):
            indices = range(first, first + len(batch))
            watch = Watch(batch, indices, len(requests), clock, preview, progress, cancel)
            yield from self._drawn(batch, loras, watch)
            first = indices.stop

    def _drawn(
        self, batch: Sequence[Request], loras: tuple[Lora, ...], watch: Watch
    ) -> Iterator[Drawn]:
        with self._loaded.lock:
            pipeline = self._loaded.pipeline(loras)
            started = time.perf_counter()
            pixels = self._pixels(pipeline, batch, watch)
            latency_ms = round((time.perf_counter() - started) * 1000 / len(batch))
        facts = _facts(pipeline) | {"loras": _recorded(loras), "options": self._options}
        for index, request in enumerate(batch):
            image = to_image(pixels[index], request)
            details = facts | {"batch_size": len(batch), "batch_index": index}
            yield Drawn(request, image, latency_ms, details)

    def _pixels(self, pipeline: FluxPipeline, batch: Sequence[Request], watch: Watch) -> Pixels:
        """One batch, denoised and decoded: (B, H, W, 3), 0…1. Leaves nothing behind if stopped."""
        watch.stop_if_cancelled()
        try:
            return _call(pipeline, batch, watch, self._loaded.prompts)
        except (Cancelled, KeyboardInterrupt, RuntimeError) as error:
            pipeline.maybe_free_model_hooks()
            if error is watch.listeners_error:
                raise
            # Without its traceback, whose frames hold the batch's tensors: notebooks keep the last
            # error, and with it the memory of a picture that nobody will see.
            error = error.with_traceback(None)
            if isinstance(error, RuntimeError):  # what torch raises, out of memory included
                raise BackendError(_failure(batch[0], error)) from error
            raise error
        except BaseException:
            pipeline.maybe_free_model_hooks()
            raise


def _call(
    pipeline: FluxPipeline, batch: Sequence[Request], watch: Watch, prompts: PromptCache
) -> Pixels:
    import torch

    embeds, pooled = prompts.encoded(pipeline, batch)
    # Inference mode saves a small model on the CPU some 5 % of a step; on a GPU it saves nothing,
    # and weights that are moved to and fro within it can no longer be used outside.
    with torch.inference_mode(pipeline._execution_device.type == "cpu"):
        pixels: Pixels = pipeline(
            prompt_embeds=embeds,
            pooled_prompt_embeds=pooled,
            generator=generators(batch),
            width=batch[0].width,
            height=batch[0].height,
            num_inference_steps=batch[0].steps,
            guidance_scale=batch[0].guidance,
            max_sequence_length=batch[0].max_sequence_length,
            callback_on_step_end=watch,
            output_type="np",
        ).images
    return pixels


def batches(requests: Sequence[Request], size: int) -> Iterator[list[Request]]:
    """Consecutive requests that can be denoised together, at most `size` at a time."""
    for _, alike in itertools.groupby(requests, key=_shape):
        group = list(alike)
        yield from (group[i : i + size] for i in range(0, len(group), size))


def _shape(request: Request) -> tuple[object, ...]:
    return (
        request.width, request.height, request.steps, request.guidance, request.max_sequence_length
    )  # fmt: skip


def _recorded(loras: Sequence[Lora]) -> list[dict[str, Any]]:
    return [lora.recorded() for lora in loras]


def _facts(pipeline: FluxPipeline) -> dict[str, Any]:
    """What a record says of the pipeline, the same for every picture."""
    import torch

    on_cpu = pipeline._execution_device.type == "cpu"
    return {
        "scheduler": type(pipeline.scheduler).__name__,
        "dtype": str(pipeline.transformer.dtype).removeprefix("torch."),
        "device": str(pipeline._execution_device),
        "threads": torch.get_num_threads() if on_cpu else None,
        "versions": dict(versions()),
    }


def to_image(pixels: Pixels, request: Request) -> Image:
    """(H, W, 3) floats in 0…1 -> an RGB picture. Raises `BackendError` for NaN or all black."""
    import numpy as np
    from PIL import Image

    if not np.isfinite(pixels).all() or pixels.max() <= BLACK:
        raise BackendError(
            f"the picture of {quoted(request)} came out broken (not numbers, or all black): "
            "try another seed or size, and if all are, fetch the weights again"
        )
    return Image.fromarray((pixels * 255).round().astype("uint8"))


def _failure(request: Request, error: Exception) -> str:
    reason = " ".join(str(error).split())[:200]
    return f"cannot draw {quoted(request)} at {request.width}×{request.height}: {reason}"
