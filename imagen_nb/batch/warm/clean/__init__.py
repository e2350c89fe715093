"""Runs in a warm kernel: makes it as good as a fresh one between two notebooks, or says why not.

What can be given back is; where something is left that cannot be, the kernel is to be replaced.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
from collections.abc import Mapping
from typing import Any

from imagen_nb._version import __version__
from imagen_nb.batch.warm.clean import libraries, process, remains, shell
from imagen_nb.batch.warm.clean.memory import MemoryWatch
from imagen_nb.batch.warm.clean.modules import ImportedModules, make_own_check
from imagen_nb.batch.warm.clean.process import ExitCallbacks
from imagen_nb.batch.warm.clean.rows import NotedSettings


class FreshKernel:
    """The kernel as it was before its first notebook."""

    def __init__(self) -> None:
        self._environment = dict(os.environ)
        self._endings = ExitCallbacks()
        self._noted = NotedSettings(
            (
                *shell.SHELL_SETTINGS,
                *libraries.LIBRARY_SETTINGS,
                *process.PROCESS_SETTINGS,
            )
        )
        self._hooks, self._modules, self._memory = (
            shell.ShellHooks(),
            ImportedModules(),
            MemoryWatch(),
        )
        self._threads = set(threading.enumerate())
        gc.collect()
        gc.freeze()

    def again(self, order: Mapping[str, Any]) -> list[str]:
        """Make it so again, in the order's directory and environment; gives what is left."""
        forgotten = self._modules.of_the_notebook()
        code = {"__main__", *forgotten}
        own = make_own_check(code)
        self._endings.come(code)
        os.chdir(order["cwd"])
        self._set_environment(order["environment"])
        self._memory.keep_models()
        _end_session()
        self._hooks.give_back(own)
        left = self._noted.give_back()
        left += self._modules.give_back(forgotten, own)
        left += [
            f"the task {task.get_name()} cannot be cancelled"
            for task in remains.notebook_tasks()
        ]
        left += remains.describe_threads_left(self._threads, code)
        left += remains.describe_processes_left()
        left += remains.describe_code_left(own)
        left += self._memory.left(order["memory"])
        self._threads.update(threading.enumerate())
        self._modules.look()
        return left

    def _set_environment(self, changed: Mapping[str, str | None]) -> None:
        wanted = {**self._environment, **changed}
        for name in os.environ.keys() - wanted.keys():
            del os.environ[name]
        for name, value in wanted.items():
            if value is None:
                os.environ.pop(name, None)
            elif os.environ.get(name) != value:
                os.environ[name] = value


def _end_session() -> None:
    """What imagen_nb itself keeps for a session; what is not in the cloud yet stays pending."""
    if autolog := sys.modules.get("imagen_nb.studio.autolog.switch"):
        autolog.autolog(disable=True)
    if shortcuts := sys.modules.get("imagen_nb.studio.default"):
        shortcuts.leave()


_fresh_kernel: FreshKernel | None = None


def begin() -> str:
    """Take note of the fresh kernel, before its first notebook; gives JSON."""
    global _fresh_kernel
    _fresh_kernel = FreshKernel()
    return json.dumps({"version": __version__})


def forget(order: str) -> str:
    """Forget the notebook that ran; gives JSON: `left` says why the kernel cannot be used again.

    `again`: nothing but cancelling tasks was done yet, and they end when this has returned.

    `order`: JSON with the directory of the next notebook, the variables of the environment that
    differ from those of the fresh kernel, the bound of memory in bytes, and whether it is `again`.
    """
    if _fresh_kernel is None:
        raise RuntimeError("begin was not called")
    wanted, tasks = json.loads(order), remains.notebook_tasks()
    if tasks and not wanted["again"]:
        for task in tasks:
            task.cancel()
        return json.dumps({"left": [], "again": True})
    return json.dumps({"left": _fresh_kernel.again(wanted), "again": False})
