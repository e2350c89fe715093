"""What to draw: complete, validated requests, sweeps of them, input images and options.

Programs that build on this package, and notebooks of batches, may import the names
below from here.

Other rooms use:
    drawing_settings: `DrawingSettings`, what presets and the queue keep
    images: `InputImage`, an image to draw from
    options: `AcceptedOptions`, the options that a model takes
    request: `Request`, `Defaults`, `Limits` and `resolve`
    sweep: `Axis`, `Grid` and `make_grid`
    sweep_syntax: "{red|blue} boat", "1..8" and "128x128" as lists
    validation: what users give, checked
    wildcards: `__animal__` for the lines of a file
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
