"""What the electricity for a picture costs."""

from __future__ import annotations

import functools
from importlib.util import find_spec
from typing import Literal

from imagen_nb.system.terminal import complain

_MS_IN_AN_HOUR = 3_600_000


def usd(latency_ms: int, watts: float, usd_per_kwh: float) -> float:
    """US dollars for so many milliseconds at so many watts."""
    return latency_ms / _MS_IN_AN_HOUR * watts / 1000 * usd_per_kwh


def drawn_now(watts: float | Literal["nvml"]) -> float | None:
    """Watts as configured, or of the graphics cards now; None, and a line once, if those say none.

    A card tells its average over about a second, so it is to be asked when a picture is finished.
    """
    if watts != "nvml":
        return watts
    if find_spec("pynvml") is None:
        _say("pip install nvidia-ml-py")
        return None
    return _of_cards()


def _of_cards() -> float | None:
    import pynvml

    try:
        pynvml.nvmlInit()
        try:
            cards = map(pynvml.nvmlDeviceGetHandleByIndex, range(pynvml.nvmlDeviceGetCount()))
            milliwatts = [pynvml.nvmlDeviceGetPowerUsage(card) for card in cards]
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError as error:
        _say(f"{error}; set cost.watts to a number")
        return None
    return sum(milliwatts) / 1000 if milliwatts else None


@functools.cache  # once, not for each picture
def _say(remedy: str) -> None:
    complain(f"cost.watts: nvml cannot be read, so the cost stays unknown: {remedy}")
