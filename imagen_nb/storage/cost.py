"""What a picture cost: the backend's price, or the electricity of this machine."""

from __future__ import annotations

import functools
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

from imagen_nb.system.terminal import print_notice

if TYPE_CHECKING:
    from imagen_nb.backends import Backend, Drawn
    from imagen_nb.config.groups import CostSettings

_MS_PER_HOUR = 3_600_000


def cost_usd(settings: CostSettings, backend: Backend, drawn: Drawn) -> float | None:
    """Return what a picture cost in US dollars, or None if that is not known.

    To be called as soon as it is drawn, as the power may be measured. A configured
    price wins over the backend's own. A picture drawn for nothing on a device of this
    machine costs its electricity, if that is configured.
    """
    price = settings.prices.get(backend.name)
    if price is not None:
        return price
    price = backend.cost_usd(drawn.request)
    watts, usd_per_kwh = settings.watts, settings.usd_per_kwh
    if price or watts is None or usd_per_kwh is None or not drawn.details.get("device"):
        return price
    power = measure_watts(watts)
    if power is None:
        return None
    return electricity_usd(drawn.latency_ms, power, usd_per_kwh)


def describe_price(settings: CostSettings, price: float | None) -> str:
    """Return a price as a word: "$0.025", "$0", "electricity", or "" for unknown."""
    if price is None:
        return ""
    if price == 0 and settings.watts is not None and settings.usd_per_kwh is not None:
        return "electricity"
    return f"${price:.6f}".rstrip("0").rstrip(".")


def electricity_usd(latency_ms: int, watts: float, usd_per_kwh: float) -> float:
    """Return the US dollars for so many milliseconds at so many watts."""
    return latency_ms / _MS_PER_HOUR * watts / 1000 * usd_per_kwh


def measure_watts(watts: float | Literal["nvml"]) -> float | None:
    """Return the configured watts, or with "nvml" what all graphics cards draw now.

    A card reports its average over about a second, so it is to be asked when a picture
    is finished. None, with a warning once, if the cards cannot be read.
    """
    if watts != "nvml":
        return watts
    if find_spec("pynvml") is None:
        _warn_unknown_watts("pip install nvidia-ml-py")
        return None
    return _measure_gpu_watts()


def _measure_gpu_watts() -> float | None:
    import pynvml

    try:
        pynvml.nvmlInit()
        try:
            cards = [
                pynvml.nvmlDeviceGetHandleByIndex(index)
                for index in range(pynvml.nvmlDeviceGetCount())
            ]
            milliwatts = [pynvml.nvmlDeviceGetPowerUsage(card) for card in cards]
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError as error:
        _warn_unknown_watts(f"{error}; set cost.watts to a number")
        return None
    return sum(milliwatts) / 1000 if milliwatts else None


@functools.cache  # once, not for each picture
def _warn_unknown_watts(remedy: str) -> None:
    print_notice(
        f"cost.watts: nvml cannot be read, so the cost stays unknown: {remedy}"
    )
