"""Copy the pictures that a pipeline returns, in whatever form they were asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image

_CHANNEL_COUNTS = (1, 3, 4)
_PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")


@dataclass(frozen=True, slots=True)
class CopiedImage:
    """A copy of one picture, which the caller's changes do not reach.

    `width` and `height` in pixels; `image()` converts the copy to an image for a PNG.
    """

    width: int
    height: int
    image: Callable[[], Image]


def images_in(result: Any, *, as_tuple: bool) -> Any:
    """Return the images in what a call returned; None if it returned something else.

    `as_tuple`: whether the call was made with `return_dict=False`.
    """
    if as_tuple and isinstance(result, tuple):
        return result[0] if result else None
    return getattr(result, "images", None)


def copy_images(images: Any) -> list[CopiedImage]:
    """Copy PIL images, or arrays (B, H, W, C) or tensors (B, C, H, W).

    Returns [] when these are no pictures, such as the frames of a video.
    """
    from PIL.Image import Image

    if isinstance(images, Image):
        images = [images]
    if isinstance(images, Sequence):
        return _copy_list(images)
    if getattr(images, "ndim", 0) != 4:
        return []
    copies = [_copy_array(one) for one in images]
    return [copy for copy in copies if copy]


def _copy_list(images: Sequence[Any]) -> list[CopiedImage]:
    from PIL.Image import Image

    if all(isinstance(one, Image) for one in images):
        return [
            CopiedImage(one.width, one.height, partial(_in_png_mode, one.copy()))
            for one in images
        ]
    copies = [_copy_array(one) for one in images]
    return [copy for copy in copies if copy] if all(copies) else []


def _copy_array(pixels: Any) -> CopiedImage | None:
    """Copy an array (H, W, C) or a tensor (C, H, W) now; it is converted later."""
    if getattr(pixels, "ndim", 0) != 3:
        return None
    if hasattr(pixels, "detach"):  # a tensor, perhaps on a GPU
        copy = pixels.detach().to("cpu", copy=True).permute(1, 2, 0)
    else:
        copy = pixels.copy()
    height, width, channels = copy.shape
    if channels not in _CHANNEL_COUNTS:
        return None
    return CopiedImage(width, height, partial(_image_of_pixels, copy))


def _image_of_pixels(pixels: Any) -> Image:
    """Convert (H, W, C) floats in 0…1, or bytes, to an image, as diffusers does."""
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
