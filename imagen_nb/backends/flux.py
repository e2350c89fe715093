"""Local FLUX through diffusers: any model of FLUX layout, on a GPU or the CPU."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from imagen_nb.backends import Availability, Drawn, Progress, Step
from imagen_nb.backends.models import FLUX_DEV, FLUX_SCHNELL, Model, custom_model
from imagen_nb.backends.preview import Preview
from imagen_nb.backends.prompts import PromptCache
from imagen_nb.errors import BackendError, Cancelled
from imagen_nb.request import Request

if TYPE_CHECKING:
    import numpy as np
    import torch
    from diffusers import FluxPipeline

BLACK = 1 / 255  # a picture with nothing above this is a failed one


def schnell() -> FluxBackend:
    """FLUX.1 [schnell], not yet loaded."""
    return FluxBackend(FLUX_SCHNELL)


def dev() -> FluxBackend:
    """FLUX.1 [dev], not yet loaded."""
    return FluxBackend(FLUX_DEV)


def custom(model: str) -> FluxBackend:
    """Any folder or Hugging Face id of FLUX layout, not yet loaded."""
    return FluxBackend(custom_model(str(model)))


class FluxBackend:
    """Draws with one FluxPipeline, loaded at the first picture; one drawing at a time."""

    def __init__(self, row: Model) -> None:
        self.row = row
        self.name, self.model = row.name, row.source if row.folder is None else row.folder.name
        if row.name == "flux-tiny-local":
            self.model = row.name
        self.defaults, self.limits = row.defaults, row.limits
        self._lock = threading.Lock()
        self._pipeline: FluxPipeline | None = None
        self._prompts = PromptCache()
        self._preview: Preview | None = None

    def availability(self) -> Availability:
        """Whether the weights are here; looks at files only."""
        if self.row.folder is not None:
            here = (self.row.folder / "model_index.json").is_file()
            return Availability(here, "" if here else f"no FLUX pipeline in {self.row.folder}")
        from huggingface_hub import try_to_load_from_cache  # 0.2 s: only when asked

        if isinstance(try_to_load_from_cache(self.row.source, "model_index.json"), str):
            return Availability(True)
        return Availability(False, missing_weights(self.row))

    def cost_usd(self, request: Request) -> float:
        """Nothing: the machine is the user's own."""
        return 0.0

    def draw(
        self, requests: Sequence[Request], progress: Progress | None, cancel: threading.Event
    ) -> Iterator[Drawn]:
        """Draw in batches of like requests; see `Backend.draw`."""
        with self._lock:
            pipeline = self._loaded()
            clock = _Clock(sum(request.steps for request in requests))
            first = 0
            for batch in batches(requests, self.row.batch):
                indices = range(first, first + len(batch))
                watch = _Watch(self, batch, indices, len(requests), clock, progress, cancel)
                yield from self._draw_batch(pipeline, batch, watch)
                first += len(batch)

    def _draw_batch(
        self, pipeline: FluxPipeline, batch: list[Request], watch: _Watch
    ) -> Iterator[Drawn]:
        import torch

        watch.stop_if_cancelled()
        started, first = time.perf_counter(), batch[0]
        embeds, pooled = self._prompts.encoded(pipeline, batch)
        # One generator each, on the CPU: a seed means the same noise on every machine.
        generators = [torch.Generator("cpu").manual_seed(request.seed) for request in batch]
        try:
            pixels = pipeline(
                prompt_embeds=embeds,
                pooled_prompt_embeds=pooled,
                generator=generators,
                width=first.width,
                height=first.height,
                num_inference_steps=first.steps,
                guidance_scale=first.guidance,
                max_sequence_length=first.max_sequence_length,
                callback_on_step_end=watch,
                output_type="np",
            ).images
        except BaseException:
            pipeline.maybe_free_model_hooks()
            raise
        latency_ms = round((time.perf_counter() - started) * 1000 / len(batch))
        for index, request in enumerate(batch):
            image = to_image(pixels[index], request)
            details = self._details(pipeline) | {"batch_size": len(batch), "batch_index": index}
            yield Drawn(request, image, latency_ms, details)

    def _details(self, pipeline: FluxPipeline) -> dict[str, Any]:
        return {
            "scheduler": type(pipeline.scheduler).__name__,
            "dtype": str(pipeline.transformer.dtype).removeprefix("torch."),
            "device": str(pipeline._execution_device),
            "versions": {name: version(name) for name in ("diffusers", "torch", "transformers")},
        }

    def _loaded(self) -> FluxPipeline:
        if self._pipeline is None:
            self._pipeline = load(self.row)
        return self._pipeline

    def preview(self, latents: torch.Tensor, request: Request) -> Any:
        """The small picture that packed latents (tokens, channels) stand for, roughly."""
        if self._preview is None:
            raise BackendError("no preview before a picture has begun")
        return self._preview.image(latents, request.width, request.height)

    def prepare_preview(self) -> None:
        """Fit the latents-to-RGB map, once; on the drawing thread, since it uses the VAE."""
        if self._preview is None:
            self._preview = Preview.fitted(self._loaded())


def batches(requests: Sequence[Request], size: int) -> Iterator[list[Request]]:
    """Consecutive requests that can be denoised together, at most `size` at a time."""
    for _, alike in itertools.groupby(requests, key=_shape):
        group = list(alike)
        yield from (group[i : i + size] for i in range(0, len(group), size))


def _shape(request: Request) -> tuple[object, ...]:
    return (
        request.width, request.height, request.steps, request.guidance, request.max_sequence_length
    )  # fmt: skip


class _Clock:
    """Steps done and to do over a whole draw, in pictures × steps."""

    def __init__(self, total: int) -> None:
        self.total, self.done, self.started = total, 0, time.perf_counter()

    def seconds_left(self) -> float:
        return (time.perf_counter() - self.started) / self.done * (self.total - self.done)


class _Watch:
    """What happens between two steps of one batch: cancel, count, tell the listener."""

    def __init__(
        self, backend: FluxBackend, batch: list[Request], indices: range, total: int,
        clock: _Clock, progress: Progress | None, cancel: threading.Event,
    ) -> None:  # fmt: skip
        self.backend, self.batch, self.indices, self.total = backend, batch, indices, total
        self.clock, self.progress, self.cancel = clock, progress, cancel
        if progress:
            backend.prepare_preview()

    def stop_if_cancelled(self) -> None:
        if self.cancel.is_set():
            raise Cancelled("drawing cancelled; pictures finished before are kept")

    def __call__(
        self, pipeline: FluxPipeline, step: int, timestep: Any, kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        self.stop_if_cancelled()
        self.clock.done += len(self.batch)
        if self.progress:
            # FluxPipeline makes new latents at each step and leaves these alone: no copy needed.
            latents, requests, first = kwargs["latents"].detach(), self.batch, self.indices.start
            self.progress(
                Step(
                    indices=self.indices,
                    total=self.total,
                    step=step + 1,
                    steps=requests[0].steps,
                    seconds_left=self.clock.seconds_left(),
                    preview=lambda i: self.backend.preview(latents[i - first], requests[i - first]),
                )
            )
        return {}


def to_image(pixels: np.ndarray[Any, Any], request: Request) -> Any:
    """(H, W, 3) floats in 0…1 -> an RGB picture. Raises `BackendError` for NaN or all black."""
    import numpy as np
    from PIL import Image

    if not np.isfinite(pixels).all() or pixels.max() <= BLACK:
        raise BackendError(
            f"the picture of seed {request.seed} came out broken (not numbers, or all black): "
            "try another size or a full-precision dtype"
        )
    return Image.fromarray((pixels * 255).round().astype("uint8"))


def missing_weights(row: Model) -> str:
    """One line: what is missing, how large it is, under which licence, and how to fetch it."""
    size = f", {row.download_gb:g} GB" if row.download_gb else ""
    login = "accept the licence on its Hugging Face page, run `hf auth login`, then " if row.gated else ""
    return (
        f"the weights of {row.source} are not on this machine (licence {row.licence}{size}): "
        f'{login}run `hf download {row.source} --exclude "flux1-*.safetensors" "ae.safetensors"`'
    )


def load(row: Model) -> FluxPipeline:
    """The pipeline of a row, on the GPU if there is one. Never downloads.

    Raises `BackendError` when the weights are missing or no FLUX pipeline.
    """
    if row.folder is None and not FluxBackend(row).availability().available:
        raise BackendError(missing_weights(row))
    import torch
    from diffusers import FluxPipeline
    from diffusers.utils import logging

    on_gpu = torch.cuda.is_available()
    dtype = torch.bfloat16 if on_gpu else getattr(torch, row.cpu_dtype)
    logging.disable_progress_bar()
    try:
        pipeline = FluxPipeline.from_pretrained(row.source, dtype=dtype, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        fetch = missing_weights(row) if row.folder is None else "is it a whole FluxPipeline folder?"
        raise BackendError(f"cannot load {row.source} ({reason}): {fetch}") from error
    finally:
        logging.enable_progress_bar()
    pipeline.set_progress_bar_config(disable=True)
    if on_gpu:
        _to_gpu(pipeline, row)
    return pipeline


def _to_gpu(pipeline: FluxPipeline, row: Model) -> None:
    import torch

    free, _ = torch.cuda.mem_get_info()
    if free < row.memory_gb * 1.1e9:
        pipeline.enable_model_cpu_offload()
    else:
        pipeline.to("cuda")
