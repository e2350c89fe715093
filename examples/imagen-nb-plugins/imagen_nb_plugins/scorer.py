"""A scorer: how colourful a picture is, as people see it.

After Hasler and Süsstrunk, "Measuring colourfulness in natural images", 2003.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image


def colourfulness(images: Sequence[Image.Image], prompts: Sequence[str]) -> list[float]:
    """What the entry point names: a number for each picture, the higher the better.

    0 is grey, 30 is slightly colourful, 80 is highly colourful. `prompts` says what each
    picture was drawn from, for scorers that ask how well it fits.
    """
    return [_colourfulness_of(image) for image in images]


def _colourfulness_of(image: Image.Image) -> float:
    red, green, blue = np.asarray(image, np.float64).reshape(-1, 3).T
    red_green = red - green
    yellow_blue = (red + green) / 2 - blue
    spread = np.hypot(red_green.std(), yellow_blue.std())
    strength = np.hypot(red_green.mean(), yellow_blue.mean())
    return float(spread + 0.3 * strength)
