"""An embedder: eleven colours are the directions of its space, for pictures and for words."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

PALETTE = {
    "black": (0, 0, 0),
    "white": (255, 255, 255),
    "grey": (128, 128, 128),
    "red": (220, 30, 30),
    "green": (30, 150, 50),
    "blue": (40, 80, 210),
    "yellow": (250, 220, 40),
    "orange": (250, 140, 20),
    "brown": (120, 70, 30),
    "pink": (250, 150, 190),
    "purple": (130, 50, 160),
}
_SAMPLED = (32, 32)  # pixels: a picture's colours can be seen in a small copy of it


class Colours:
    """Says how much of each colour there is. Holds nothing, so that threads may share it."""

    # Vectors are kept under this name: with another palette it would have to change.
    model = "colours-1"
    dimensions = len(PALETTE)

    def embed_images(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        """A row for each picture: the share of pixels that is nearest to each colour."""
        shares = np.zeros((len(images), self.dimensions), np.float32)
        anchors = np.array([*PALETTE.values()], np.float32)
        for row, image in zip(shares, images, strict=True):
            pixels = np.asarray(image.resize(_SAMPLED), np.float32).reshape(-1, 1, 3)
            nearest = np.linalg.norm(pixels - anchors, axis=2).argmin(axis=1)
            row[:] = np.bincount(nearest, minlength=self.dimensions) / len(pixels)
        return shares

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """A row for each text: how often it names each colour; zeros if it names none."""
        words = [re.findall("[a-z]+", text.lower()) for text in texts]
        counts = [[each.count(colour) for colour in PALETTE] for each in words]
        return np.array(counts, np.float32).reshape(len(texts), self.dimensions)


def colours() -> Colours:
    """What the entry point names. Weights, if there were any, would load later."""
    return Colours()
