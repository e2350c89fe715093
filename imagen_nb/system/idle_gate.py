"""When work in the background may go on: while nothing was drawn for a moment."""

from __future__ import annotations

import threading
import time

_QUIET_S = 0.5  # without a drawing before work begins: a loop's next one begins sooner


class IdleGate:
    """A gate that is open if nothing was drawn for a moment, or has been for too long.

    Invariant: `begin_drawing` and `end_drawing` wait for nothing but the condition.
    """

    def __init__(self, changed: threading.Condition, patience_s: float) -> None:
        """Begin without drawings.

        Args:
            changed: notified when drawings end, and when the gate is closed.
            patience_s: how long others are drawn before it opens all the same;
                infinite: it never does.
        """
        super().__init__()
        self._changed = changed
        self._patience_s = patience_s
        self._drawings = 0  # under way
        self._began = self._ended = time.monotonic()
        self._held_open = False
        self._shut = threading.Event()

    @property
    def is_closed(self) -> bool:
        """Whether it never opens again."""
        return self._shut.is_set()

    @property
    def is_drawing(self) -> bool:
        """Whether something is drawn right now."""
        return self._drawings > 0

    def begin_drawing(self) -> None:
        """Note that something is drawn."""
        with self._changed:
            now = time.monotonic()
            if not self._drawings and now > self._ended + _QUIET_S:
                self._began = now  # of a row of renders, as a loop makes them
            self._drawings += 1

    def end_drawing(self) -> None:
        """Note that one drawing has ended."""
        with self._changed:
            self._drawings -= 1
            self._ended = time.monotonic()
            self._changed.notify_all()

    def hold_open(self) -> None:
        """Wait for no drawing any more."""
        self._held_open = True

    def close(self) -> None:
        """Let nothing more pass."""
        self._shut.set()
        with self._changed:
            self._changed.notify_all()

    def wait_open(self) -> bool:
        """Wait until work may begin; False if it is closed meanwhile."""
        with self._changed:
            while not self.is_closed and not self._held_open:
                quiet, patience = self._seconds_left()
                if patience <= 0 or (not self._drawings and quiet <= 0):
                    break
                wait = patience if self._drawings else quiet
                self._changed.wait(min(wait, threading.TIMEOUT_MAX))
        return not self.is_closed

    def is_open(self) -> bool:
        """Whether work may go on: as long as no picture is drawn."""
        with self._changed:
            _, patience = self._seconds_left()
            in_the_way = self._drawings and patience > 0 and not self._held_open
            return not in_the_way and not self.is_closed

    def _seconds_left(self) -> tuple[float, float]:
        """Until nothing was drawn for a moment; until renders have taken too long."""
        now = time.monotonic()
        return self._ended + _QUIET_S - now, self._began + self._patience_s - now
