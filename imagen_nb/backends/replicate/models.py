"""The FLUX models that Replicate hosts: inputs, sizes and prices, one row each.

Inputs and sizes are those of https://github.com/replicate/cog-flux (predict.py), which
Replicate runs, and of the models' pages, such as
https://replicate.com/black-forest-labs/flux-dev/api.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from imagen_nb.backends.flux.models import DEV_DEFAULTS, SCHNELL_DEFAULTS
from imagen_nb.request.request import Defaults, Limits, Request, check_size

_SIZE_OF_RATIO = {  # by aspect ratio: the pixels of a picture of one megapixel
    "1:1": (1024, 1024),
    "16:9": (1344, 768),
    "21:9": (1536, 640),
    "3:2": (1216, 832),
    "2:3": (832, 1216),
    "4:5": (896, 1088),
    "5:4": (1088, 896),
    "3:4": (896, 1152),
    "4:3": (1152, 896),
    "9:16": (768, 1344),
    "9:21": (640, 1536),
}
# By (width, height) in pixels: the inputs that ask for this size. A quarter of a
# megapixel has half of each side.
HOSTED_SIZES = {
    (width // part, height // part): {"aspect_ratio": ratio, "megapixels": megapixels}
    for part, megapixels in ((1, "1"), (2, "0.25"))
    for ratio, (width, height) in _SIZE_OF_RATIO.items()
}


@dataclass(frozen=True, slots=True)
class HostedModel:
    """One hosted model.

    `name`: of the backend. `source`: owner and name at Replicate. `guided`: whether it
    takes a guidance.
    """

    name: str
    source: str
    defaults: Defaults
    limits: Limits
    guided: bool


def _hosted_limits(defaults: Defaults, max_steps: int, max_guidance: float) -> Limits:
    return Limits(
        min_side=min(map(min, HOSTED_SIZES)),
        max_side=max(map(max, HOSTED_SIZES)),
        multiple=1,  # `sizes` is stricter than any multiple
        max_steps=max_steps,
        max_sequence_length=defaults.max_sequence_length,
        min_sequence_length=defaults.max_sequence_length,
        max_guidance=max_guidance,
        min_seed=1,  # Replicate takes 0 for no seed, and draws with a random one
        sizes=tuple(HOSTED_SIZES),
    )


FLUX_SCHNELL_HOSTED = HostedModel(
    name="flux-schnell-replicate",
    source="black-forest-labs/flux-schnell",
    defaults=SCHNELL_DEFAULTS,
    limits=_hosted_limits(SCHNELL_DEFAULTS, max_steps=4, max_guidance=0),
    guided=False,
)
FLUX_DEV_HOSTED = HostedModel(
    name="flux-dev-replicate",
    source="black-forest-labs/flux-dev",
    defaults=DEV_DEFAULTS,
    limits=_hosted_limits(DEV_DEFAULTS, max_steps=50, max_guidance=10),
    guided=True,
)


def model_inputs(row: HostedModel, request: Request, go_fast: bool) -> dict[str, Any]:
    """Return a request as the inputs of a hosted model.

    Raise `UsageError` for a size that it does not draw.
    """
    check_size(request.width, request.height, row.limits)
    guidance = {"guidance": request.guidance} if row.guided else {}
    return {
        "prompt": request.prompt,
        "seed": request.seed,
        "num_inference_steps": request.steps,
        "num_outputs": 1,
        "output_format": "png",
        "go_fast": go_fast,
        **HOSTED_SIZES[request.width, request.height],
        **guidance,
    }


@dataclass(frozen=True, slots=True)
class Price:
    """What a picture of a backend costs, in US dollars; `read` at `source` that day."""

    backend: str
    usd: float
    read: date
    source: str


_PRICE_SOURCE = (date(2026, 10, 7), "https://replicate.com/pricing")

PRICES = (  # the setting cost.prices wins over these
    Price("flux-schnell-replicate", 0.003, *_PRICE_SOURCE),
    Price("flux-dev-replicate", 0.025, *_PRICE_SOURCE),
)


def price_of(backend: str) -> float:
    """Return US dollars for one picture. Raise `KeyError` for an unknown backend."""
    return {price.backend: price.usd for price in PRICES}[backend]
