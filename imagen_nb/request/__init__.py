"""What to draw: complete, validated requests, sweeps of them, input images and options.

Programs that build on this package, and notebooks of batches, may use what stands here.
"""

from __future__ import annotations

from imagen_nb.request.request import (
    MAX_SEED,
    Defaults,
    Limits,
    Request,
    check_size,
    random_seed,
    resolve,
)
from imagen_nb.request.sweep_syntax import (
    escape,
    expand,
    parse_floats,
    parse_ints,
    parse_sizes,
)
from imagen_nb.request.validation import checked_prompt, checked_tags

__all__ = [
    "MAX_SEED",
    "Defaults",
    "Limits",
    "Request",
    "check_size",
    "checked_prompt",
    "checked_tags",
    "escape",
    "expand",
    "parse_floats",
    "parse_ints",
    "parse_sizes",
    "random_seed",
    "resolve",
]
