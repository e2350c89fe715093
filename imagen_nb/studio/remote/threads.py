"""The threads of a worker: what ends one of them ends the worker."""

from __future__ import annotations

import threading
from collections.abc import Callable


class WorkerThread:
    """A thread whose error is raised again by whoever draws."""

    def __init__(self, run: Callable[[], None], name: str) -> None:
        """Start nothing yet."""
        self._target = run
        self._trouble: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True, name=name)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def join(self) -> None:
        """Wait for its end."""
        self._thread.join()

    @property
    def is_over(self) -> bool:
        """Whether it does not run."""
        return not self._thread.is_alive()

    def require_well(self) -> None:
        """Raise what ended it, if something did."""
        if self._trouble:
            raise self._trouble

    def _run(self) -> None:
        try:
            self._target()
        except BaseException as error:
            self._trouble = error
