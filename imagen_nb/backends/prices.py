"""What hosted pictures cost: a table with the day on which each price was read, and where."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class Price:
    """What a picture of a backend costs, in US dollars; `read`: when, at `source`."""

    backend: str
    usd: float
    read: date
    source: str


_REPLICATE = (date(2026, 10, 7), "https://replicate.com/pricing")

PRICES = (  # the configuration's cost.prices wins
    Price("flux-schnell-replicate", 0.003, *_REPLICATE),
    Price("flux-dev-replicate", 0.025, *_REPLICATE),
)


def price_of(backend: str) -> float:
    """US dollars for one picture of this backend. Raises `KeyError` when no price is known."""
    return {price.backend: price.usd for price in PRICES}[backend]
