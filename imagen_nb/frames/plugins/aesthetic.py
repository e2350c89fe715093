"""The scorer `aesthetic`: what people like, as a head on CLIP's vectors has learnt it."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagen_nb.backends.flux.failures import short_reason
from imagen_nb.errors import BackendError, UsageError
from imagen_nb.frames.plugins.embedders import Embedder, make_embedder, unit_vectors
from imagen_nb.system.paths import absolute_path

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

_CLIP_OF_DIMENSIONS = {
    512: "openai/clip-vit-base-patch32",
    768: "openai/clip-vit-large-patch14",
}
_PARAMETER = re.compile(r"(?:(?:.+\.)?(\d+)\.|.+\.)?(weight|bias)")


@dataclass(frozen=True, slots=True)
class LinearHead:
    """A number for each vector: `weights` · vector + `bias`.

    Attributes:
        weights: float64, (dimensions,).
        bias: what is added.
        digest: the first digits of the file's sha256.
    """

    weights: NDArray[np.float64]
    bias: float
    digest: str


class Aesthetic:
    """What a head makes of CLIP's vector of a picture, of length 1.

    LAION's heads give some 1 to 10, 5 being an ordinary picture: Schuhmann, "Improved
    aesthetic predictor", https://github.com/christophschuhmann/improved-aesthetic-predictor.

    Example:
        >>> try:
        ...     df.imagen.score("aesthetic:~/models/sac+logos+ava1-l14-linearMSE.pth")
        ... except im.ImagenError as error:
        ...     print(error)  # where that file is not
    """

    reads_prompts = False

    def __init__(self, head: LinearHead, embedder: Embedder) -> None:
        self._head, self._embedder = head, embedder

    @property
    def version(self) -> str:
        """The digest of the head, and the embedder's model."""
        return f"{self._head.digest} {self._embedder.model}"

    def __call__(self, images: Sequence[Image], prompts: Sequence[str]) -> list[float]:
        """Return a number for each picture."""
        found = self._embedder.embed_images(images)
        vectors = unit_vectors(found, self._embedder, len(images))
        numbers: list[float] = (vectors @ self._head.weights + self._head.bias).tolist()
        return numbers


class _Aesthetics:
    """What the entry point names: makes the scorer of a head's file."""

    def of(self, file: str | None) -> Aesthetic:
        """Return the scorer by the head in this file; nothing of CLIP is loaded yet.

        Raises:
            UsageError: if there is no file, or it holds no head.
            BackendError: if the CLIP that it belongs to is not on this machine.
        """
        if not file:
            raise UsageError(
                "aesthetic needs a head on CLIP in a file: set score.aesthetic in"
                " imagen.yaml, or say aesthetic:FILE (docs/plugins.md names some)"
            )
        path = absolute_path(file)
        if not path.is_file():
            raise UsageError(f"there is no file {path}: name a head on CLIP")
        head = _head_in(path, path.stat().st_mtime_ns)
        return Aesthetic(head, _embedder_for(head, path))


aesthetic = _Aesthetics()


def _embedder_for(head: LinearHead, path: Path) -> Embedder:
    dimensions = len(head.weights)
    if dimensions not in _CLIP_OF_DIMENSIONS:
        known = " or ".join(map(str, _CLIP_OF_DIMENSIONS))
        raise UsageError(
            f"the head in {path} takes vectors of {dimensions} numbers: those of CLIP"
            f" have {known}"
        )
    return make_embedder(_CLIP_OF_DIMENSIONS[dimensions])


@functools.lru_cache(maxsize=8)
def _head_in(path: Path, modified_ns: int) -> LinearHead:
    """Return the head in a file, as it was then.

    Read are state dicts, in safetensors or as torch.save writes them, of one linear
    layer (`weight`, `bias`) or of several (`layers.0.weight`, `layers.2.weight` …) with
    nothing but dropout between them: together they are one linear layer. Of a file that
    torch wrote only tensors are taken; nothing in it is run.
    """
    import numpy as np

    tensors = _load_tensors(path)
    try:
        weights, bias = _combined_layers(tensors)
    except ValueError as error:
        raise UsageError(f"{path} is no head on CLIP: {error}") from None
    if not (np.isfinite(weights).all() and np.isfinite(bias)):
        raise UsageError(f"{path} is no head on CLIP: it has infinite numbers")
    with path.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()[:16]
    return LinearHead(weights, bias, digest)


def _load_tensors(path: Path) -> Mapping[str, Any]:
    import torch
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # two libraries, each with errors of its own
        raise BackendError(
            f"cannot read the head in {path} ({short_reason(error)}): fetch it again, or"
            " save its state dict"
        ) from error
    if isinstance(loaded, Mapping) and isinstance(loaded.get("state_dict"), Mapping):
        loaded = loaded["state_dict"]  # as PyTorch Lightning saves it
    return loaded if isinstance(loaded, Mapping) else {}


def _combined_layers(tensors: Mapping[str, Any]) -> tuple[NDArray[np.float64], float]:
    """Return the one linear layer that several, one after the other, are."""
    import numpy as np

    layers: dict[int, dict[str, NDArray[np.float64]]] = {}
    for name, tensor in tensors.items():
        match = _PARAMETER.fullmatch(str(name))
        if not match or not hasattr(tensor, "double"):
            raise ValueError(f"{str(name)[:60]!r} is no part of a linear layer")
        number = int(match[1] or 0)
        layers.setdefault(number, {})[match[2]] = tensor.detach().double().numpy()
    if not layers:
        raise ValueError("there are no layers in it")
    weights, bias = None, np.zeros(0)
    for number in sorted(layers):
        matrix = layers[number].get("weight")
        if matrix is None or matrix.ndim != 2:
            raise ValueError(f"layer {number} is not linear")
        added = layers[number].get("bias", np.zeros(len(matrix)))
        if weights is None:
            weights, bias = matrix, added
            continue
        if matrix.shape[1] != len(weights):
            raise ValueError(f"layer {number} does not fit the one before it")
        weights, bias = matrix @ weights, matrix @ bias + added
    if weights is None or weights.shape[0] != 1:
        raise ValueError("it does not end in one number")
    return weights[0], float(bias[0])
