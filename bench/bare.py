"""The way without imagen_nb: FluxPipeline itself, drawing as the embedded model's defaults say."""

from __future__ import annotations

import torch
from diffusers import FluxPipeline
from PIL.Image import Image

from imagen_nb.backends.tiny import FLUX_TINY


def bare_pipeline() -> FluxPipeline:
    pipeline = FluxPipeline.from_pretrained(FLUX_TINY.source, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def draw(pipeline: FluxPipeline, prompt: str, seed: int) -> Image:
    image: Image = pipeline(
        prompt,
        width=FLUX_TINY.defaults.width,
        height=FLUX_TINY.defaults.height,
        num_inference_steps=FLUX_TINY.defaults.steps,
        guidance_scale=FLUX_TINY.defaults.guidance,
        max_sequence_length=FLUX_TINY.defaults.max_sequence_length,
        generator=torch.Generator().manual_seed(seed),
    ).images[0]
    return image
