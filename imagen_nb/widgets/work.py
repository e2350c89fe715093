"""The threads of a widget: what takes time leaves the kernel usable."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from imagen_nb.errors import ImagenError

WIDGET_THREADS = max(2, min(8, os.cpu_count() or 2))  # downloads, too, mostly wait
_widget_log = logging.getLogger(__name__)


class BackgroundWork:
    """Threads that are started when there is something to do.

    Invariant: after `stop` none is left, until there is something to do again.

    Args:
        report: called, on the thread, with one line for an error: in the words of the
            library's own errors; any other error is logged as well.
    """

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self._lock = threading.Lock()
        self._pools: dict[str, ThreadPoolExecutor] = {}

    def soon(self, task: Callable[..., Any], *values: Any) -> Future[Any]:
        """Do this beside other such tasks, `WIDGET_THREADS` at a time."""
        return self._submit("soon", WIDGET_THREADS, task, values)

    def in_turn(self, task: Callable[..., Any], *values: Any) -> Future[Any]:
        """Do this when all tasks that were given to `in_turn` before are done."""
        return self._submit("in turn", 1, task, values)

    def aside(self, task: Callable[..., Any], *values: Any) -> Future[Any]:
        """Do this, which may take long, without keeping the others waiting."""
        return self._submit("aside", 1, task, values)

    def looking(self, task: Callable[..., Any], *values: Any) -> Future[Any]:
        """Do this, for which pictures must be looked at, after other such tasks."""
        return self._submit("looking", 1, task, values)

    def stop(self) -> None:
        """End the threads after their current tasks; what has not begun is not done."""
        with self._lock:
            pools, self._pools = self._pools, {}
        for pool in pools.values():
            pool.shutdown(wait=False, cancel_futures=True)

    def _submit(
        self, name: str, threads: int, task: Callable[..., Any], values: Any
    ) -> Future[Any]:
        with self._lock:
            if name not in self._pools:
                prefix = f"imagen-widget-{name}"
                self._pools[name] = ThreadPoolExecutor(
                    threads, thread_name_prefix=prefix
                )
            return self._pools[name].submit(self._run, task, values)

    def _run(self, task: Callable[..., Any], values: Any) -> Any:
        try:
            return task(*values)
        except ImagenError as error:
            self._report(str(error))
        except Exception as error:  # the edge: nobody else hears of it
            _widget_log.exception("a widget's thread failed")
            self._report(f"{type(error).__name__}: {error}")
        return None


def use_named_subshells(widgets: Iterable[Any]) -> None:
    """Send messages of these widgets to the subshell that the page names, if any.

    JupyterLab names a thread of the kernel (a subshell) for them, beside that of the
    cells. Left to itself, ipykernel 7 prefers the thread that spoke last: after a word
    from ours, that of the cells, and a click waits for the end of a cell. And after a
    restart JupyterLab 4.6 names a subshell that is no more: from the second message on,
    all that a widget sends is lost. Other kernels have no such choice and are left
    alone.
    """
    for widget in widgets:
        kernel = getattr(widget.comm, "kernel", None)
        shells = getattr(getattr(kernel, "shell_channel_thread", None), "manager", None)
        if shells is not None and hasattr(widget.comm, "_reply_subshell_for"):
            widget.comm._reply_subshell_for = partial(_existing_subshell, shells)


def _existing_subshell(shells: Any, data: Any, name: str | None) -> str | None:
    return name if name in shells.list_subshell() else None
