"""The noise that a picture begins with: it follows from the seed alone, everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from imagen_nb.request.request import Request

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from torch import Generator, Tensor


def make_generators(batch: Sequence[Request]) -> list[Generator]:
    """Return a fresh generator for each picture, on the CPU whatever device draws."""
    import torch

    return [torch.Generator("cpu").manual_seed(request.seed) for request in batch]


def first_latents(
    pipeline: DiffusionPipeline, batch: Sequence[Request], like: Tensor
) -> Tensor:
    """Return a batch's noise as FluxPipeline itself makes it.

    Packed: (B, tokens, channels · 4), with the dtype and device of `like`.
    """
    latents, _ = pipeline.prepare_latents(
        len(batch),
        pipeline.transformer.config.in_channels // 4,
        batch[0].height,
        batch[0].width,
        like.dtype,
        like.device,
        make_generators(batch),
    )
    noise: Tensor = latents
    return noise
