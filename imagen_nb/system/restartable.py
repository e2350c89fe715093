"""A thread that is started and stopped again and again."""

from __future__ import annotations

import threading
from collections.abc import Callable


class RestartableThread:
    """Runs between `start` and `stop`.

    Invariant: each start makes a thread of its own, with an event of its own that ends
    it, so that one that is just ending disturbs nothing.
    """

    def __init__(self, run: Callable[[threading.Event], None], name: str) -> None:
        """Start nothing. `run`: returns soon after the event that it is given is set."""
        self._target, self._name = run, name
        self._stopped: threading.Event | None = None

    def start(self) -> None:
        """Run from now on; a second call changes nothing."""
        if self._stopped is None:
            self._stopped = threading.Event()
            threading.Thread(
                target=self._target,
                args=(self._stopped,),
                name=self._name,
                daemon=True,
            ).start()

    def stop(self) -> None:
        """Let it end; it is not waited for."""
        if self._stopped:
            self._stopped.set()
            self._stopped = None
