"""The sizes that a Panel offers for a model, in pixels."""

from __future__ import annotations

import math

from imagen_nb.request.request import Defaults, Limits

_ASPECT_RATIOS = ((1, 1), (4, 3), (3, 2), (16, 9), (3, 4), (2, 3), (9, 16))


def size_presets(defaults: Defaults, limits: Limits) -> list[tuple[int, int]]:
    """Return sizes to choose from, (width, height) in pixels; each allowed, each once.

    The model's own is the first; then come others of about as many pixels, by shape.
    """
    area = defaults.width * defaults.height
    own = (defaults.width, defaults.height)
    if limits.sizes:
        return list(dict.fromkeys([own, *limits.sizes]))
    ratios = [width / height for width, height in _ASPECT_RATIOS]
    shaped = [_size_of_shape(area, ratio, limits) for ratio in ratios]
    return list(dict.fromkeys([own, *shaped]))


def size_of_shape(ratio: float, defaults: Defaults, limits: Limits) -> tuple[int, int]:
    """Return the (width, height) nearest to a ratio that the model draws.

    It has about as many pixels as the model's own size.
    """
    if limits.sizes:
        return min(
            limits.sizes, key=lambda size: abs(math.log(size[0] / size[1] / ratio))
        )
    return _size_of_shape(defaults.width * defaults.height, ratio, limits)


def _size_of_shape(area: int, ratio: float, limits: Limits) -> tuple[int, int]:
    width = math.sqrt(area * ratio)
    return _allowed_side(width, limits), _allowed_side(width / ratio, limits)


def _allowed_side(pixels: float, limits: Limits) -> int:
    step = limits.multiple
    low, high = -(-limits.min_side // step) * step, limits.max_side // step * step
    return min(high, max(low, round(pixels / step) * step))


def describe_size(width: int, height: int) -> str:
    """Return a size as people choose it, e.g. "128 × 96 wide"."""
    if width == height:
        return f"{width} × {height} square"
    return f"{width} × {height} {'wide' if width > height else 'tall'}"
