"""Calls of diffusers' pipelines: latents or pixels of a batch, by pipeline class."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from imagen_nb.backends.flux.drawing.noise import make_generators
from imagen_nb.backends.flux.drawing.pixels import fetch_pixels
from imagen_nb.backends.flux.drawing.placing import placement_of
from imagen_nb.backends.flux.drawing.prompts import PromptCache
from imagen_nb.backends.flux.drawing.watch import StepCallback
from imagen_nb.backends.flux.pipelines import FLUX_1, PipelineKind
from imagen_nb.backends.flux.schedulers import use_scheduler
from imagen_nb.errors import BackendError
from imagen_nb.request.request import Request

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from torch import Tensor

    from imagen_nb.backends.flux.drawing.pixels import Pixels

Batch = list[Request]


def draw_pixels(
    pipeline: DiffusionPipeline,
    batch: Batch,
    callback: StepCallback,
    prompts: PromptCache,
) -> list[Pixels | None]:
    """Draw a batch; return each picture's pixels, as `fetch_pixels` does."""
    return fetch_pixels(_call_pipeline(pipeline, batch, callback, prompts, "pt"))


def draw_latents(
    pipeline: DiffusionPipeline,
    batch: Batch,
    callback: StepCallback,
    prompts: PromptCache,
) -> Tensor:
    """Draw a batch up to its latents: packed in FLUX.1, (B, tokens, C · 4)."""
    return _call_pipeline(pipeline, batch, callback, prompts, "latent")


def _call_pipeline(
    pipeline: DiffusionPipeline,
    batch: Batch,
    callback: StepCallback,
    prompts: PromptCache,
    output_type: str,
) -> Tensor:
    """Draw a batch and return the pipeline's `images`.

    `output_type`: "pt" for pixels (B, 3, H, W) in 0…1, or "latent". All requests have
    the arguments of the first one but for prompt, negative prompt and seed.
    """
    first, embeds = batch[0], prompts.encoded(pipeline, batch)
    extra = _EXTRA_ARGUMENTS.get(type(pipeline).__name__, _no_arguments)(batch)
    if first.true_cfg > 1:
        extra["true_cfg_scale"] = first.true_cfg
    with (
        _without_gradients(pipeline),
        use_scheduler(pipeline, first.scheduler),
        _cache_context(pipeline, first),
    ):
        images: Tensor = pipeline(
            **embeds,
            **extra,
            generator=make_generators(batch),
            width=first.width,
            height=first.height,
            num_inference_steps=first.steps,
            guidance_scale=first.guidance,
            max_sequence_length=first.max_sequence_length,
            callback_on_step_end=callback,
            output_type=output_type,
        ).images
    return images


def decode_latents(
    pipeline: DiffusionPipeline, kind: PipelineKind, batch: Batch, latents: Tensor
) -> list[Pixels | None]:
    """Decode the latents of `draw_latents` as the end of the pipeline's own call does.

    Return each picture's pixels, as `fetch_pixels` does.
    """
    vae, factor = pipeline.vae, pipeline.vae_scale_factor
    with _without_gradients(pipeline):
        grid = latents
        if kind.shifted:  # packed (B, tokens, C · 4)
            height, width = batch[0].height, batch[0].width
            grid = pipeline._unpack_latents(latents, height, width, factor)
            grid = (grid / vae.config.scaling_factor) + vae.config.shift_factor
        image = vae.decode(grid.to(placement_of(pipeline).device), return_dict=False)[0]
        images = pipeline.image_processor.postprocess(image.detach(), output_type="pt")
    return fetch_pixels(images)


def _no_arguments(batch: Batch) -> dict[str, Any]:
    return {}


def _init_images(batch: Batch) -> dict[str, Any]:
    """The init image, which is the same for all of a batch, once for each picture.

    The VAE draws its latents with a picture's own generator: one image for all would
    change the noise of every picture but the first.
    """
    return {"image": [_init_image(batch[0])] * len(batch)}


def _init_image(request: Request) -> Any:
    if request.init_image is None:
        return None
    return request.init_image.image(request.width, request.height)


def _mask_images(batch: Batch) -> dict[str, Any]:
    first = batch[0]
    mask = first.mask and first.mask.mask(first.width, first.height)
    return {"mask_image": [mask] * len(batch)}


def _strength_argument(batch: Batch) -> dict[str, Any]:
    return {"strength": batch[0].strength}


def _exact_size(batch: Batch) -> dict[str, Any]:
    """Arguments that keep the size that was asked for.

    Kontext's pipelines would draw a megapixel, and stretch the image to a size that
    they prefer.
    """
    return {"max_area": batch[0].width * batch[0].height, "_auto_resize": False}


def _reference_image(batch: Batch) -> dict[str, Any]:
    """What is edited, if anything: one image for all of the batch."""
    return {"image": _init_image(batch[0])}


_EXTRA_ARGUMENTS: dict[str, Callable[[Batch], dict[str, Any]]] = {
    "FluxImg2ImgPipeline": lambda batch: (
        _init_images(batch) | _strength_argument(batch)
    ),
    "FluxInpaintPipeline": lambda batch: (
        _init_images(batch) | _mask_images(batch) | _strength_argument(batch)
    ),
    "FluxFillPipeline": lambda batch: (
        _init_images(batch) | _mask_images(batch) | _strength_argument(batch)
    ),
    "FluxKontextPipeline": lambda batch: _reference_image(batch) | _exact_size(batch),
    "FluxKontextInpaintPipeline": lambda batch: (
        _init_images(batch)
        | _mask_images(batch)
        | _strength_argument(batch)
        | _exact_size(batch)
    ),
    "Flux2KleinPipeline": _reference_image,
}


def _cache_context(
    pipeline: DiffusionPipeline, request: Request
) -> AbstractContextManager[Any]:
    """Open a context of the cache of steps, where that is on.

    Only FluxPipeline opens one by itself. Raise `BackendError` for a pipeline or a
    request that the cache does not work with.
    """
    transformer, name = pipeline.transformer, type(pipeline).__name__
    if name == FLUX_1.plain or not transformer.is_cache_enabled:
        return nullcontext()
    if request.true_cfg > 1 or name.startswith("Flux2"):
        cause = f"{name} and true_cfg" if request.true_cfg > 1 else name
        raise BackendError(
            f"the cache of steps does not go with {cause}: set memory.cache to none"
        )
    context: AbstractContextManager[Any] = transformer.cache_context("cond")
    return context


def _without_gradients(pipeline: DiffusionPipeline) -> AbstractContextManager[Any]:
    """Inference mode on the CPU, where it saves a small model some 5 % of a step.

    On a GPU it saves nothing, and weights that are moved to and fro within it can no
    longer be used outside.
    """
    import torch

    on_cpu = placement_of(pipeline).device.type == "cpu"
    context: AbstractContextManager[Any] = (
        torch.inference_mode() if on_cpu else torch.no_grad()
    )
    return context
