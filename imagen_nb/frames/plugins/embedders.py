"""Embedders turn texts and pictures into vectors of one space."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from imagen_nb.errors import ImagenError, UsageError
from imagen_nb.frames.plugins.pretrained import pretrained_embedder
from imagen_nb.frames.plugins.pretrained_files import is_source
from imagen_nb.system.plugins import PluginKind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

EMBEDDERS = PluginKind("embedder", "imagen_nb.embedders")
TINY = "tiny"  # needs no download, and knows the embedded FLUX's world only
NEED_WEIGHTS = ("siglip2-base", "clip-vit-base-patch32")  # ours, the better one first


class Embedder(Protocol):
    """Turns texts and pictures into vectors: what is alike points in like directions.

    The entry point names a function without arguments that returns one. It is called
    once in a process, and must return at once: weights are loaded with the first
    vector. Nothing is downloaded without the user's asking.

    Its methods may be called from any thread, and from several at once. They are given
    at most 32 texts or pictures in one call and may split them further. They raise an
    `ImagenError` that says in one line what to do if weights are missing, and let other
    errors pass; a picture that nothing can be said of gets a row of zeros, which is
    like nothing. Equal pictures get equal vectors, up to rounding, whatever else is in
    the call.

    Attributes:
        model: which space the vectors are of, and which weights they come from, in up
            to 100 characters. Vectors are kept under this name: only those of one
            `model` are compared, so it changes whenever vectors do. A plain attribute,
            or a property where files must be read for it.
        dimensions: how many numbers a vector has.
    """

    dimensions: int

    @property
    def model(self) -> str:
        """As above."""
        ...

    def embed_images(self, images: Sequence[Image]) -> NDArray[np.float32]:
        """Return a row for each picture: float32, (len(images), dimensions).

        The pictures are RGB, of any size. Rows may have any length: it is taken off.
        """
        ...

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return a row for each text, in the space of the pictures, likewise."""
        ...


def make_embedder(name: str | None = None) -> Embedder:
    """Return the embedder that is registered as `name`, or of a model's files.

    Args:
        name: a registered name; or a folder or Hugging Face id of a CLIP or SigLIP
            model, "/" in it. None: the one that another package has registered, if
            there is just one; otherwise ours: the best whose weights are here.

    Raises:
        UsageError: for an unknown name, or without one where others have several.
        ImagenError: if it cannot be loaded, or its weights are not on this machine.
    """
    return _made_embedder(_usual_embedder() if name is None else name)


@functools.cache
def _made_embedder(name: str) -> Embedder:
    if is_source(name):
        return pretrained_embedder(name)
    made: Embedder = EMBEDDERS.load(name)()
    return made


def _usual_embedder() -> str:
    names = EMBEDDERS.names()
    if not names:
        raise UsageError(EMBEDDERS.describe_lacking())
    own = [each for each in (*NEED_WEIGHTS, TINY) if each in names]
    others = [each for each in names if each not in own]
    if len(others) > 1:
        raise UsageError(f"which embedder? give embedder=, one of {', '.join(names)}")
    return others[0] if others else next(filter(_is_here, own))


def _is_here(name: str) -> bool:
    if name == TINY:
        return True
    try:
        _made_embedder(name)
    except ImagenError:
        return False
    return True


def unit_vectors(vectors: Any, embedder: Embedder, count: int) -> NDArray[np.float32]:
    """Return what an embedder gave for `count` texts or pictures, each of length 1.

    Rows of zeros stay so. Raise `ImagenError` unless the numbers are finite and have
    the shape (count, embedder.dimensions).
    """
    import numpy as np

    found = np.asarray(vectors, dtype=np.float32)
    wanted = (count, embedder.dimensions)
    if found.shape != wanted or not np.isfinite(found).all():
        what = "infinite or missing numbers" if found.shape == wanted else found.shape
        raise ImagenError(
            f"the embedder {embedder.model} gave {what} where vectors of the shape"
            f" {wanted} were expected: tell those who wrote it"
        )
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    divisors = np.where(lengths > 0, lengths, np.float32(1))
    units: NDArray[np.float32] = (found / divisors).astype(np.float32)
    return units
