"""Sizes that a model draws well: the usual shapes, with as many pixels as its own size has."""

from __future__ import annotations

import math

from imagen_nb.request.request import Defaults, Limits

SHAPES = ((1, 1), (4, 3), (3, 2), (16, 9), (3, 4), (2, 3), (9, 16))


def sizes(defaults: Defaults, limits: Limits) -> list[tuple[int, int]]:
    """(width, height) in pixels, the model's own first, then by shape; each allowed, each once."""
    area = defaults.width * defaults.height
    own = (defaults.width, defaults.height)
    if limits.sizes:
        return list(dict.fromkeys([own, *limits.sizes]))
    shaped = [_sides(area, width / height, limits) for width, height in SHAPES]
    return list(dict.fromkeys([own, *shaped]))


def _sides(area: int, ratio: float, limits: Limits) -> tuple[int, int]:
    width = math.sqrt(area * ratio)
    return _side(width, limits), _side(width / ratio, limits)


def _side(pixels: float, limits: Limits) -> int:
    step = limits.multiple
    low, high = -(-limits.min_side // step) * step, limits.max_side // step * step
    return min(high, max(low, round(pixels / step) * step))


def labelled(width: int, height: int) -> str:
    """A size as people choose it, e.g. "128 × 96 wide"."""
    form = "square" if width == height else "wide" if width > height else "tall"
    return f"{width} × {height} {form}"
