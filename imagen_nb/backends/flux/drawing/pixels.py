"""From a pipeline's pixels to pictures: what the device does, and what the writer does.

The thread that draws only fetches the pixels, so that the next picture begins at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imagen_nb.errors import BackendError
from imagen_nb.request.request import Request, describe_request

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image
    from torch import Tensor

    Pixels = np.ndarray[Any, np.dtype[Any]]

_MAX_BLACK = 1 / 255  # a picture without a pixel above this is a failed one


def fetch_pixels(images: Tensor) -> list[Pixels | None]:
    """Return each picture's pixels, (3, H, W), in RAM, for `make_image`.

    A card checks and rounds them itself, so that a quarter of the bytes has to travel:
    uint8, or None for a picture that came out broken. Those that a CPU drew are left as
    they are, floats in 0…1. `images`: (B, 3, H, W) in 0…1.
    """
    if images.device.type == "cpu":
        return [*images.float().numpy()]
    return round_on_device(images)


def round_on_device(images: Tensor) -> list[Pixels | None]:
    """Return each picture as uint8, (3, H, W), in RAM; None for one that is broken."""
    import torch

    exact = images.float()  # where the weights are shorter, as diffusers does it
    darkest, brightest = exact.flatten(1).aminmax(dim=1)  # NaN and infinity show there
    whole = darkest.isfinite() & brightest.isfinite() & (brightest > _MAX_BLACK)
    rounded = (exact * 255).round().to(torch.uint8).cpu().numpy()
    return [
        pixels if is_whole else None
        for pixels, is_whole in zip(rounded, whole.tolist(), strict=True)
    ]


def make_image(pixels: Pixels | None, request: Request, dtype: str = "") -> Image:
    """Return what `fetch_pixels` gave as an RGB picture; floats are overwritten.

    Outside of a mask it has the init image's own pixels. Raise `BackendError` if some
    pixels are not numbers, or all are black. `dtype`: what the transformer calculated
    with.
    """
    import numpy as np
    import PIL.Image

    if pixels is None or (pixels.dtype != np.uint8 and not _is_whole(pixels)):
        raise BackendError(
            f"the picture of {describe_request(request)} came out broken (not numbers, or all "
            f"black): {_explain_remedy(dtype)}"
        )
    if pixels.dtype != np.uint8:
        np.multiply(pixels, 255, out=pixels)  # in place: new memory takes longer
        pixels = np.rint(pixels, out=pixels).astype(np.uint8)
    planes = [PIL.Image.fromarray(plane) for plane in pixels]
    return _unchanged_outside_mask(PIL.Image.merge("RGB", planes), request)


def _explain_remedy(dtype: str) -> str:
    if dtype == "float16":  # it ends at 65,504: no fault of the weights
        return (
            "numbers may have been too large for float16: set "
            'memory={"dtype": "float32"}, which takes twice the memory'
        )
    return "try another seed or size, and if all are, fetch the weights again"


def _is_whole(pixels: Pixels) -> bool:
    import numpy as np

    darkest, brightest = pixels.min(), pixels.max()  # NaN and infinity show there
    return bool(np.isfinite(darkest) and _MAX_BLACK < brightest < np.inf)


def _unchanged_outside_mask(image: Image, request: Request) -> Image:
    """Return the picture with the init image's own pixels where the mask is black.

    The VAE changes all of them a bit. Grey is a mixture, which softens the border.
    """
    import PIL.Image

    if request.mask is None or request.init_image is None:
        return image
    size = (request.width, request.height)
    return PIL.Image.composite(
        image, request.init_image.image(*size), request.mask.mask(*size)
    )
