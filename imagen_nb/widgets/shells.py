"""Where the kernel hears what a widget's page says: at once, even while a cell runs."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any


def hear_at_once(widgets: Iterable[Any]) -> None:
    """Let messages of these widgets go to the subshell that the page names, if there is one.

    JupyterLab names a thread of the kernel (a subshell) for them, beside that of the cells. Left to
    itself, ipykernel 7 prefers the thread that spoke last: after a word from ours, that of the
    cells, and a click waits for the end of a cell. And after a restart JupyterLab 4.6 names a
    subshell that is no more: from the second message on, all that a widget says is lost. Other
    kernels have no such choice, and are left alone.
    """
    for widget in widgets:
        kernel = getattr(widget.comm, "kernel", None)
        shells = getattr(getattr(kernel, "shell_channel_thread", None), "manager", None)
        if shells is not None and hasattr(widget.comm, "_reply_subshell_for"):
            widget.comm._reply_subshell_for = partial(_named, shells)


def _named(shells: Any, data: Any, named: str | None) -> str | None:
    return named if named in shells.list_subshell() else None
