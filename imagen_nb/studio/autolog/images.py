"""The pictures in what a pipeline returns, whatever form they were asked for in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image

_CHANNEL_COUNTS = (1, 3, 4)
_PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")  # what a PNG holds


@dataclass(frozen=True, slots=True)
class CopiedImage:
    """One picture, safe from what the caller does to theirs. `image` makes it; sizes in pixels."""

    width: int
    height: int
    image: Callable[[], Image]


def images_in(result: Any, *, as_tuple: bool) -> Any:
    """What a call returned as its images; None when it returned something else."""
    if as_tuple and isinstance(result, tuple):
        return result[0] if result else None
    return getattr(result, "images", None)


def copy_images(images: Any) -> list[CopiedImage]:
    """The pictures: of PIL's images, or arrays (B, H, W, C) or tensors (B, C, H, W).

    None of them when these are no pictures, such as the frames of a video.
    """
    from PIL.Image import Image

    if isinstance(images, Image):
        images = [images]
    if isinstance(images, Sequence):
        return _copy_list(images)
    return [found for one in _batch_items(images) if (found := _copy_array(one))]


def _copy_list(images: Sequence[Any]) -> list[CopiedImage]:
    from PIL.Image import Image

    if all(isinstance(one, Image) for one in images):
        return [
            CopiedImage(one.width, one.height, partial(_in_png_mode, one.copy()))
            for one in images
        ]
    found = [_copy_array(one) for one in images]
    return [one for one in found if one] if all(found) else []


def _batch_items(images: Any) -> Sequence[Any]:
    return [*images] if getattr(images, "ndim", 0) == 4 else []


def _copy_array(one: Any) -> CopiedImage | None:
    """A picture of one array (H, W, C) or tensor (C, H, W), copied now and converted later."""
    if getattr(one, "ndim", 0) != 3:
        return None
    if hasattr(one, "detach"):  # a tensor; on a GPU it is copied from there
        one = one.detach().to("cpu", copy=True).permute(1, 2, 0)
    else:
        one = one.copy()
    height, width, channels = one.shape
    return (
        CopiedImage(width, height, partial(_image_of_pixels, one))
        if channels in _CHANNEL_COUNTS
        else None
    )


def _image_of_pixels(pixels: Any) -> Image:
    """(H, W, C) floats in 0…1, or bytes, -> a picture, as diffusers converts them."""
    import numpy as np
    from PIL import Image

    if hasattr(pixels, "numpy"):
        pixels = (pixels.float() if pixels.is_floating_point() else pixels).numpy()
    if pixels.dtype.kind == "f":
        pixels = np.nan_to_num(pixels.astype("float32")).clip(0, 1)
        pixels = (pixels * 255).round().astype("uint8")
    if pixels.dtype != np.uint8:
        raise TypeError(f"pixels of type {pixels.dtype}")
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def _in_png_mode(image: Image) -> Image:
    return image if image.mode in _PNG_MODES else image.convert("RGB")
