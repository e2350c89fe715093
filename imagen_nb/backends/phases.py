"""The phases of drawing: which pictures go through them together, and the calls of the pipeline."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from imagen_nb.backends.loading import CardMemoryError
from imagen_nb.backends.memory import Plan
from imagen_nb.backends.noise import generators
from imagen_nb.backends.prompts import CAPACITY, PromptCache
from imagen_nb.backends.quoted import quoted
from imagen_nb.backends.watch import Watch
from imagen_nb.errors import BackendError, Cancelled
from imagen_nb.request import Request

if TYPE_CHECKING:
    import numpy as np
    from diffusers import FluxPipeline
    from torch import Tensor

    Pixels = np.ndarray[Any, np.dtype[np.float32]]

Batch = list[Request]
T = TypeVar("T")
MOST = 256  # pictures denoised before the first is decoded: 0.5 MB of latents each at 1024 × 1024


def batches(requests: Sequence[Request], size: int) -> Iterator[Batch]:
    """Consecutive requests that can be denoised together, at most `size` at a time."""
    for _, alike in itertools.groupby(requests, key=_shape):
        group = list(alike)
        yield from (group[i : i + size] for i in range(0, len(group), size))


def _shape(request: Request) -> tuple[object, ...]:
    return (
        request.width, request.height, request.steps, request.guidance, request.max_sequence_length
    )  # fmt: skip


def parts(requests: Sequence[Request], plan: Plan) -> Iterator[list[Batch]]:
    """Batches that go through each phase together: one by one, where no weights move between.

    Otherwise as many as have `CAPACITY` different prompts, or `MOST` pictures: what waits for its
    turn takes the same memory however many requests there are.
    """
    part: list[Batch] = []
    prompts: set[tuple[str, int]] = set()
    for batch in batches(requests, plan.batch):
        new = {(request.prompt, request.max_sequence_length) for request in batch}
        pictures = sum(map(len, part)) + len(batch)
        full = len(prompts | new) > CAPACITY or pictures > MOST
        if part and (full or not plan.phased):
            yield part
            part, prompts = [], set()
        part.append(batch)
        prompts |= new
    if part:
        yield part


def called(
    pipeline: FluxPipeline, batch: Batch, watch: Watch, prompts: PromptCache, output: str
) -> Any:
    """What the pipeline makes of a batch, its `output_type` np or latent."""
    embeds, pooled = prompts.encoded(pipeline, batch)
    with _fastest(pipeline):
        return pipeline(
            prompt_embeds=embeds,
            pooled_prompt_embeds=pooled,
            generator=generators(batch),
            width=batch[0].width,
            height=batch[0].height,
            num_inference_steps=batch[0].steps,
            guidance_scale=batch[0].guidance,
            max_sequence_length=batch[0].max_sequence_length,
            callback_on_step_end=watch,
            output_type=output,
        ).images


def decoded(pipeline: FluxPipeline, batch: Batch, latents: Tensor) -> Pixels:
    """Packed latents (B, tokens, C · 4) to (B, H, W, 3), 0…1: as the pipeline's own call ends."""
    vae, factor = pipeline.vae, pipeline.vae_scale_factor
    with _fastest(pipeline):
        grid = pipeline._unpack_latents(latents, batch[0].height, batch[0].width, factor)
        grid = (grid / vae.config.scaling_factor) + vae.config.shift_factor
        image = vae.decode(grid.to(pipeline._execution_device), return_dict=False)[0]
        pixels: Pixels = pipeline.image_processor.postprocess(image.detach(), output_type="np")
    return pixels


def _fastest(pipeline: FluxPipeline) -> Any:
    """Inference mode saves a small model on the CPU some 5 % of a step; on a GPU it saves nothing.

    There, weights that are moved to and fro within it can no longer be used outside.
    """
    import torch

    on_cpu = pipeline._execution_device.type == "cpu"
    return torch.inference_mode() if on_cpu else torch.no_grad()


@contextmanager
def staying(pipeline: FluxPipeline, plan: Plan) -> Iterator[None]:
    """Between the calls of one phase, the weights that it needs stay where they are.

    With model offload, the end of each call would send them home to RAM.
    """
    if plan.offload != "model":
        yield
        return
    pipeline.maybe_free_model_hooks = pipeline.transformer._reset_stateful_cache
    try:
        yield
    finally:
        del pipeline.maybe_free_model_hooks  # the class's own again


def guarded(
    pipeline: FluxPipeline,
    batch: Batch,
    watch: Watch,
    work: Callable[[], T],
    finishing: bool = False,
) -> T:
    """What `work` gives; leaves nothing behind if it is stopped. One line for what torch raises.

    `finishing`: what is nearly done is done though the drawing was cancelled.
    """
    import torch

    if not finishing:
        watch.stop_if_cancelled()
    try:
        return work()
    except (Cancelled, KeyboardInterrupt, RuntimeError) as error:
        pipeline.maybe_free_model_hooks()
        if error is watch.listeners_error:
            raise
        # Without its traceback, whose frames hold the batch's tensors: notebooks keep the last
        # error, and with it the memory of a picture that nobody will see.
        error = error.with_traceback(None)
        if isinstance(error, RuntimeError):
            kind = CardMemoryError if isinstance(error, torch.OutOfMemoryError) else BackendError
            raise kind(_failure(batch[0], error)) from error
        raise error
    except BaseException:
        pipeline.maybe_free_model_hooks()
        raise


def _failure(request: Request, error: Exception) -> str:
    reason = " ".join(str(error).split())[:200]
    return f"cannot draw {quoted(request)} at {request.width}×{request.height}: {reason}"
