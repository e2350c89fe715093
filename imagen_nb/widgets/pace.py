"""How long drawings take, learned from those before."""

from __future__ import annotations

from collections.abc import Iterable

from imagen_nb.storage.drawing_queue import DrawingRequest
from imagen_nb.storage.record import Record


class DrawingPace:
    """Seconds for each step and pixel, by backend: of its last picture."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    def note(self, record: Record) -> None:
        """Learn from a picture that was just drawn."""
        work = (record.steps or 0) * record.width * record.height
        if record.latency_ms and work:
            self._seconds[record.backend] = record.latency_ms / 1000 / work

    def expect(self, requests: Iterable[DrawingRequest]) -> float | None:
        """Return the seconds that these take; None if that of one is not known."""
        total = 0.0
        for request in requests:
            pace = self._seconds.get(request.backend or "")
            if not (pace and request.steps and request.width and request.height):
                return None
            total += pace * request.steps * request.width * request.height
        return total
