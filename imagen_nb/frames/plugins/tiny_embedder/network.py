"""The two encoders of the embedder `tiny`, in NumPy: no torch is loaded for it.

`Weights` are float32 arrays by name, as tools/train_tiny_embedder/export.py writes them:
a kernel (9 · channels, outputs) or matrix (inputs, outputs) under its name, its bias
under "<name>.bias".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float32]
    Weights: TypeAlias = Mapping[str, Floats]

LEVELS = 4  # of the picture's encoder, each half as wide and high as the one before
LAYERS = 2  # of the text's encoder
HEADS = 4  # of its attention
_KERNEL_SIDE = 3  # pixels, square
_EPSILON = 1e-6  # as torch.nn.RMSNorm was trained with


def picture_vector(weights: Weights, pixels: NDArray[np.uint8]) -> Floats:
    """Return the vector (dimensions,) of a picture (64, 64, 3) of bytes."""
    import numpy as np

    x = pixels.astype(np.float32) / np.float32(127.5) - np.float32(1)
    for level in range(LEVELS):
        x = _convolved(weights, f"down.{level}", x, stride=2)
        inner = _convolved(weights, f"same.{level}.0", x)
        x = x + _convolved(weights, f"same.{level}.1", inner)
    places = _relu(_linear(weights, "narrow", x))  # (4, 4, channels): where counts
    seen = _relu(_linear(weights, "seen", places.reshape(-1)))
    return _linear(weights, "picture", seen)


def text_vector(weights: Weights, ids: Sequence[int]) -> Floats:
    """Return the vector (dimensions,) of a text's ids, of which there is at least one."""
    x: Floats = weights["words"][[*ids]] + weights["places"][: len(ids)]
    for layer in range(LAYERS):
        name = f"layers.{layer}"
        x = x + _attended(weights, name, _normed(weights, f"{name}.before", x))
        between = _normed(weights, f"{name}.between", x)
        wide = _relu(_linear(weights, f"{name}.wide", between))
        x = x + _linear(weights, f"{name}.back", wide)
    mean: Floats = _normed(weights, "last", x).mean(axis=0)
    return _linear(weights, "text", mean)


def _convolved(weights: Weights, name: str, x: Floats, stride: int = 1) -> Floats:
    """A kernel over (height, width, channels), then ReLU; zeros around the picture."""
    import numpy as np

    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(
        padded, (_KERNEL_SIDE, _KERNEL_SIDE), axis=(0, 1)
    )[::stride, ::stride]
    rows = windows.reshape(*windows.shape[:2], -1)  # channels, then places
    return _relu(_linear(weights, name, rows))


def _attended(weights: Weights, name: str, x: Floats) -> Floats:
    """Attention of every word (length, width) to every word of the text."""
    import numpy as np

    length, width = x.shape
    parts = _linear(weights, f"{name}.query_key_value", x)
    query, key, value = parts.reshape(length, 3, HEADS, -1).transpose(1, 2, 0, 3)
    scores = query @ key.transpose(0, 2, 1) / np.sqrt(np.float32(width // HEADS))
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    mixed = shares / shares.sum(axis=-1, keepdims=True) @ value
    joined = mixed.transpose(1, 0, 2).reshape(length, width)
    return _linear(weights, f"{name}.joined", joined)


def _normed(weights: Weights, name: str, x: Floats) -> Floats:
    import numpy as np

    size = np.sqrt((x * x).mean(axis=-1, keepdims=True) + np.float32(_EPSILON))
    normed: Floats = x / size * weights[name]
    return normed


def _linear(weights: Weights, name: str, x: Floats) -> Floats:
    result: Floats = x @ weights[name] + weights[f"{name}.bias"]
    return result


def _relu(x: Floats) -> Floats:
    import numpy as np

    return np.maximum(x, np.float32(0))
