"""The scorer `sharpness`: how much of a picture is in focus."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

_SIDE = 512  # pixels of the longer side: sizes are compared at one scale


class Sharpness:
    """The variance of a picture's Laplacian, in squared levels of 0 to 255.

    Blurred pictures have some tens, sharp ones hundreds to thousands; noise is taken
    for sharp. Larger pictures are looked at with 512 pixels of the longer side. After
    Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy: a comparative
    study", ICPR 2000, https://doi.org/10.1109/ICPR.2000.903548.

    Example:
        >>> sharpness([Image.new("RGB", (64, 64))], [""])
        [0.0]
    """

    version = "1"
    reads_prompts = False

    def __call__(self, images: Sequence[Image], prompts: Sequence[str]) -> list[float]:
        """Return a number for each picture; NaN for one of fewer than three rows."""
        return [_laplacian_variance(image) for image in images]


sharpness = Sharpness()


def _laplacian_variance(image: Image) -> float:
    import numpy as np

    grey = image.convert("L")
    grey.thumbnail((_SIDE, _SIDE))
    levels = np.asarray(grey, dtype=np.float64)
    if min(levels.shape) < 3:
        return float("nan")  # no pixel has neighbours on all sides
    middle = levels[1:-1, 1:-1]
    beside = levels[1:-1, :-2] + levels[1:-1, 2:]
    above_and_below = levels[:-2, 1:-1] + levels[2:, 1:-1]
    return float((beside + above_and_below - 4 * middle).var())
