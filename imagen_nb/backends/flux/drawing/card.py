"""The card, if there is one: its memory given back and capped, its work timed."""

from __future__ import annotations

import gc
import platform
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def free_memory() -> None:
    """Collect garbage, and give back what torch keeps of a card's memory."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()


def total_card_gb(device: str) -> float:
    """Return the memory of a card, free or not, in GB of 10⁹ bytes."""
    import torch

    if device.startswith("mps"):
        return torch.mps.recommended_max_memory() / 1e9
    return float(torch.cuda.mem_get_info(device)[1]) / 1e9


def wait_for(device: torch.device) -> None:
    """Return once a device has done all that it was given."""
    import torch

    if device.type == "mps":
        torch.mps.synchronize()
    elif device.type != "cpu":
        torch.get_device_module(device).synchronize(device)


def cap_share_on_windows(device: torch.device) -> None:
    """Let torch fail there when the card is full, as it does elsewhere.

    Windows' driver would go on in RAM, many times slower, and no smaller plan would be
    tried. Torch may take what is free, and what it has already.
    """
    import torch

    if platform.system() != "Windows" or device.type != "cuda":
        return
    free, total = torch.cuda.mem_get_info(device)
    share = (free + torch.cuda.memory_reserved(device)) / total
    torch.cuda.set_per_process_memory_fraction(min(1.0, share), device)


class Stopwatch:
    """Seconds from its making to `stop`, of the work given to a device between the two.

    A card works on after a call returned. Waiting for it would leave it idle until the
    next call gives it work, so its own clock is read, and later.
    """

    def __init__(self, device: torch.device) -> None:
        """Start it."""
        self._device = device
        self._started = self._stopped = self._now()

    def stop(self) -> None:
        """Stop it."""
        self._stopped = self._now()

    def seconds(self) -> float:
        """Return the time between, once the work is done."""
        if self._device.type == "cpu":
            return float(self._stopped - self._started)
        self._stopped.synchronize()
        return float(self._started.elapsed_time(self._stopped)) / 1000

    def _now(self) -> Any:
        if self._device.type == "cpu":
            return time.perf_counter()
        import torch

        module = torch.get_device_module(self._device)
        event = module.Event(enable_timing=True)
        if self._device.type == "mps":  # it has one stream only
            event.record()
        else:
            event.record(module.current_stream(self._device))
        return event
