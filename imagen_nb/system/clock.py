"""Time: what hour it is, how much has passed, and waiting. Tests pass one of their own."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime


class SystemClock:
    """The clocks of this machine."""

    def now(self) -> datetime:
        """Return the time in UTC. It may be set back."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that only grow, from a moment that means nothing."""
        return time.monotonic()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait so long for an event; return whether it came."""
        return event.wait(seconds)


SYSTEM_CLOCK = SystemClock()
