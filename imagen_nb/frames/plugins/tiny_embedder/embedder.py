"""The embedder `tiny`: what the embedded FLUX draws, and what it is asked for."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagen_nb.backends.tiny import WEIGHTS as FLUX_WEIGHTS
from imagen_nb.frames.plugins.embedders import unit_vectors
from imagen_nb.frames.plugins.tiny_embedder.network import picture_vector, text_vector

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

_FOLDER = Path(__file__).parent / "weights"
_READ_CHARS = 2000  # of a text: what comes later would not be read anyway


class TinyEmbedder:
    """Vectors of the embedded FLUX's pictures and prompts, by NumPy on the CPU.

    Knows the words of docs/tiny-flux.md and their synonyms; a text without any of them
    gets a row of zeros. Each picture and text is looked at by itself, so that its
    vector is the same, bit for bit, whatever else is in the call. Holds no state of its
    own: threads may share it.

    Attributes:
        model: "tiny-" and the first digits of the weights' SHA-256.
        dimensions: of a vector.

    Example:
        >>> embedder = make_embedder("tiny")
        >>> embedder.embed_texts(["a small red boat on the sea"]).shape
        (1, 256)
    """

    def __init__(self, model: str, dimensions: int, side: int, words: int) -> None:
        """`side`: pixels that it sees of a picture; `words`: that it reads of a text."""
        self.model = model
        self.dimensions = dimensions
        self._size = (side, side)
        self._words = words

    def embed_images(self, images: Sequence[Image]) -> NDArray[np.float32]:
        """Return a row of length 1 for each picture: float32, (len(images), dimensions)."""
        pixels = (seen_pixels(image, self._size) for image in images)
        return self._stacked([picture_vector(_load_weights(), each) for each in pixels])

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return a row of length 1, or of zeros, for each text: (len(texts), dimensions)."""
        return self._stacked([self._text_vector(text) for text in texts])

    def _text_vector(self, text: str) -> NDArray[np.float32]:
        import numpy as np

        # The end sign alone is left of a text without a word that is known.
        ids = _load_tokenizer().encode(text[:_READ_CHARS]).ids
        if len(ids) < 2:
            return np.zeros(self.dimensions, np.float32)
        # Cut as in the training: the end sign stays.
        return text_vector(
            _load_weights(), [*ids[: min(len(ids), self._words) - 1], ids[-1]]
        )

    def _stacked(self, rows: list[Any]) -> NDArray[np.float32]:
        import numpy as np

        vectors = np.array(rows, np.float32).reshape(len(rows), self.dimensions)
        return unit_vectors(vectors, self, len(rows))


def tiny_embedder() -> TinyEmbedder:
    """Return the embedder; its weights are read with the first vector."""
    return TinyEmbedder(**json.loads((_FOLDER / "config.json").read_text("utf-8")))


def seen_pixels(image: Image, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the bytes (height, width, 3) of a picture, made this large, whatever its shape."""
    import numpy as np
    from PIL.Image import Resampling

    return np.asarray(image.convert("RGB").resize(size, Resampling.BILINEAR))


@functools.cache
def _load_weights() -> dict[str, Any]:
    import numpy as np
    from safetensors.numpy import load_file

    halves = load_file(_FOLDER / "model.safetensors")
    return {name: values.astype(np.float32) for name, values in halves.items()}


@functools.cache
def _load_tokenizer() -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(FLUX_WEIGHTS / "tokenizer_2" / "tokenizer.json"))
