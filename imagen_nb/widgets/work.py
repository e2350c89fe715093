"""The threads of a widget: what takes time happens beside the kernel, which stays usable."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from imagen_nb.errors import ImagenError

_THREADS = 3
_log = logging.getLogger(__name__)


class Work:
    """Threads that are started when there is something to do.

    Invariant: after `stop` none is left, until there is something to do again. An error of ours is
    told to `trouble` in its own words; any other is logged as well.
    """

    def __init__(self, trouble: Callable[[str], None]) -> None:
        self._trouble = trouble
        self._lock = threading.Lock()
        self._pools: dict[int, ThreadPoolExecutor] = {}

    def soon(self, task: Callable[..., Any], *values: Any) -> Future[Any]:
        """Do this beside other such things."""
        return self._submit(_THREADS, task, values)

    def in_turn(self, task: Callable[..., Any], *values: Any) -> Future[Any]:
        """Do this when all that was given before is done."""
        return self._submit(1, task, values)

    def stop(self) -> None:
        """End the threads after what they are at; what has not begun is not done."""
        with self._lock:
            pools, self._pools = self._pools, {}
        for pool in pools.values():
            pool.shutdown(wait=False, cancel_futures=True)

    def _submit(self, threads: int, task: Callable[..., Any], values: Any) -> Future[Any]:
        with self._lock:
            if threads not in self._pools:
                name = "imagen-widget"
                self._pools[threads] = ThreadPoolExecutor(threads, thread_name_prefix=name)
            return self._pools[threads].submit(self._done, task, values)

    def _done(self, task: Callable[..., Any], values: Any) -> Any:
        try:
            return task(*values)
        except ImagenError as error:
            self._trouble(str(error))
        except Exception as error:  # the edge: nobody else hears of it
            _log.exception("a widget's thread failed")
            self._trouble(f"{type(error).__name__}: {error}")
        return None
