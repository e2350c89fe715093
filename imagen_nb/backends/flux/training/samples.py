"""Encodes a data set once: the VAE and the text encoders are freed before training."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image, ImageOps

from imagen_nb.backends.flux.drawing.card import free_memory
from imagen_nb.backends.flux.drawing.loading import (
    PAINTING_PARTS,
    load_pipeline,
    load_vae,
)
from imagen_nb.backends.flux.drawing.placing import drawing_device
from imagen_nb.backends.flux.libraries import quietly
from imagen_nb.backends.flux.memory.plan import MemoryPlan
from imagen_nb.backends.flux.models import Model
from imagen_nb.backends.flux.training.layouts import (
    EncodedPrompt,
    Tokens,
    encode_caption,
    layout_of,
)
from imagen_nb.backends.flux.training.pictures import TrainingPicture
from imagen_nb.errors import UsageError
from imagen_nb.system.thumbnails import image_read_errors

if TYPE_CHECKING:
    from torch import Tensor

    Count = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Sample:
    """A picture and its caption, encoded, in RAM."""

    tokens: Tokens
    prompt: EncodedPrompt


def encode_samples(
    row: Model,
    plan: MemoryPlan,
    pictures: Sequence[TrainingPicture],
    size: int,
    count: Count,
) -> list[Sample]:
    """Return the pictures, encoded; each as often as an epoch shows it.

    Args:
        row: the model.
        plan: the type of numbers and the device.
        pictures: what to encode.
        size: pixels of a square with the area that pictures have, at most.
        count: called with (done, total) now and then.

    Raises:
        BackendError: if the weights are missing or too large.
        UsageError: for a file that is no picture.
    """
    captions = sorted({picture.caption for picture in pictures})
    total = len(captions) + len(pictures)
    prompts = _encoded_captions(row, plan, captions, lambda n: count(n, total))
    tokens = _tokenized(
        row, plan, pictures, size, lambda n: count(len(captions) + n, total)
    )
    return [
        Sample(each, prompts[picture.caption])
        for picture, each in zip(pictures, tokens, strict=True)
        for _ in range(picture.repeats)
    ]


def _encoded_captions(
    row: Model, plan: MemoryPlan, captions: Sequence[str], count: Callable[[int], None]
) -> dict[str, EncodedPrompt]:
    encoders = load_pipeline(row, plan, PAINTING_PARTS)
    length, encoded = row.defaults.max_sequence_length, {}
    with quietly():
        for number, caption in enumerate(captions, 1):
            one = encode_caption(encoders, caption, length)
            pooled = None if one.pooled is None else one.pooled.cpu()
            encoded[caption] = EncodedPrompt(
                one.embeddings.cpu(), pooled, one.positions.cpu()
            )
            count(number)
    del encoders
    free_memory()
    return encoded


def _tokenized(
    row: Model,
    plan: MemoryPlan,
    pictures: Sequence[TrainingPicture],
    size: int,
    count: Callable[[int], None],
) -> list[Tokens]:
    import torch

    # In float32, whatever the transformer takes: FLUX's VAE overflows in float16.
    vae, device = load_vae(row), drawing_device(plan)
    vae.to(device)
    layout, found = layout_of(row), []
    for number, picture in enumerate(pictures, 1):
        pixels = load_pixels(picture, size, row.limits.multiple)
        with torch.no_grad():
            one = layout.tokenize(vae, pixels.to(device))
        found.append(Tokens(one.values.cpu(), one.positions.cpu()))
        count(number)
    del vae
    free_memory()
    return found


def load_pixels(picture: TrainingPicture, size: int, multiple: int) -> Tensor:
    """Return a picture as (1, 3, H, W) in -1…1, its shape kept as far as can be.

    Args:
        picture: the file.
        size: pixels of a square with the area that it has, at most.
        multiple: what its sides are multiples of; the rest is cut off evenly.

    Raises:
        UsageError: if the file is no picture.
    """
    import numpy as np
    import torch

    try:
        with Image.open(picture.path) as file:
            image = file.convert("RGB")
    except image_read_errors():
        raise UsageError(f"{picture.path} is torn, or no picture: remove it") from None
    image = ImageOps.fit(image, sides_of(image.size, size, multiple))
    pixels = torch.from_numpy(np.asarray(image, dtype=np.float32) / 127.5 - 1)
    return pixels.permute(2, 0, 1)[None].contiguous()


def sides_of(sides: tuple[int, int], size: int, multiple: int) -> tuple[int, int]:
    """Return the sides (pixels) that a picture of these sides is trained with.

    Example:
        >>> sides_of((1920, 1080), 1024, 16)
        (1360, 768)
    """
    factor = min(1.0, size / math.sqrt(sides[0] * sides[1]))
    width, height = (
        max(multiple, round(side * factor / multiple) * multiple) for side in sides
    )
    return width, height
