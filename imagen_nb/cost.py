"""What a picture cost: the price of whoever drew it, or the electricity of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagen_nb.electricity import drawn_now, usd

if TYPE_CHECKING:
    from imagen_nb.backends import Backend, Drawn
    from imagen_nb.config.settings import CostSettings


def cost_usd(settings: CostSettings, backend: Backend, drawn: Drawn) -> float | None:
    """US dollars, to be asked when the picture has just been drawn; None when nobody knows.

    A configured price wins over the backend's own. What was drawn for nothing on a device of this
    machine costs the electricity, where that is configured.
    """
    price = settings.prices.get(backend.name)
    if price is not None:
        return price
    price = backend.cost_usd(drawn.request)
    watts, usd_per_kwh = settings.watts, settings.usd_per_kwh
    if price or watts is None or usd_per_kwh is None or not drawn.details.get("device"):
        return price
    power = drawn_now(watts)
    return None if power is None else usd(drawn.latency_ms, power, usd_per_kwh)


def said(settings: CostSettings, price: float | None) -> str:
    """What a picture at this price costs, in a word: $0.025, $0, electricity."""
    if price is None:
        return ""
    if price == 0 and settings.watts is not None and settings.usd_per_kwh is not None:
        return "electricity"
    return f"${price:.6f}".rstrip("0").rstrip(".")
