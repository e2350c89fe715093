"""What the tests call pipelines with, and a pipeline that returns what it is told to."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import DiffusionPipeline
from PIL import Image

FAST: dict[str, Any] = {
    "num_inference_steps": 2, "width": 64, "height": 48, "max_sequence_length": 16,
}  # fmt: skip


class Own(DiffusionPipeline):
    """Draws nothing."""

    def __init__(self) -> None:
        super().__init__()

    def __call__(self, result: Any, text: str = "a boat", **more: Any) -> Any:
        return result


def gradient(mode: str = "RGB") -> Image.Image:
    return Image.linear_gradient("L").resize((8, 6)).convert(mode)


def bare(pipeline: DiffusionPipeline, source: str | None = None) -> Any:
    """Without a progress bar; `source`: where it says that it is from."""
    pipeline.set_progress_bar_config(disable=True)
    if source:
        pipeline.register_to_config(_name_or_path=source)
    return pipeline


def seeded(*seeds: int) -> Any:
    """A generator; or a list of them."""
    made = [torch.Generator().manual_seed(seed) for seed in seeds]
    return made[0] if len(made) == 1 else made
