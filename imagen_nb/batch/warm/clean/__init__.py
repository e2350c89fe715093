"""Runs in a warm kernel: makes it as good as a fresh one, or reports why it is not.

Between two notebooks, what can be restored is; if something is left that cannot be,
the kernel is to be replaced. `imagen_nb.batch.warm.kernels` calls `begin` and `forget`
in the kernel, by expressions in strings.
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
from imagen_nb.batch.warm.clean.code import make_own_check
from imagen_nb.batch.warm.clean.imports import ImportWatch
from imagen_nb.batch.warm.clean.memory import MemoryWatch
from imagen_nb.batch.warm.clean.modules import ImportedModules
from imagen_nb.batch.warm.clean.os_state import OsState
from imagen_nb.batch.warm.clean.process import ExitCallbacks
from imagen_nb.batch.warm.clean.rows import NotedSettings


class FreshKernel:
    """The kernel's state before its first notebook."""

    def __init__(self) -> None:
        self._environment = dict(os.environ)
        self._exit_callbacks = ExitCallbacks()
        self._settings = NotedSettings(
            (
                *shell.SHELL_SETTINGS,
                *libraries.LIBRARY_SETTINGS,
                *process.PROCESS_SETTINGS,
            )
        )
        self._hooks, self._modules = shell.ShellHooks(), ImportedModules()
        self._system, self._memory = OsState(), MemoryWatch()
        self._own_threads = self._threads = frozenset(threading.enumerate())
        self._imports = ImportWatch(
            self._modules.is_installed, (self._hooks, self._system, self._modules)
        )
        gc.collect()
        gc.freeze()

    def restore(self, order: Mapping[str, Any]) -> list[str]:
        """Restore it, in the order's directory and environment; return what is left."""
        forgotten = self._modules.of_the_notebook()
        code = {"__main__", *forgotten}
        is_own = make_own_check(code)
        self._exit_callbacks.call(code)
        os.chdir(order["cwd"])
        self._set_environment(order["environment"])
        self._memory.keep_models()
        _end_session()
        self._hooks.restore()
        left = self._settings.restore()
        left += self._modules.restore(forgotten, is_own)
        left += [
            f"the task {task.get_name()} cannot be cancelled"
            for task in remains.notebook_tasks()
        ]
        left += remains.describe_threads_ended(self._own_threads)
        left += remains.describe_threads_left(self._threads, code)
        left += remains.describe_processes_left()
        left += remains.describe_code_left(is_own)
        left += self._system.describe_changes()
        left += self._memory.left(order["memory"])
        self._threads = frozenset(threading.enumerate())
        self._modules.note_new()
        self._imports.stay()
        return left

    def _set_environment(self, changed: Mapping[str, str | None]) -> None:
        """Restore the variables, but for those in `changed`; None: removed."""
        variables = {**self._environment, **changed}
        for name in os.environ.keys() - variables.keys():
            del os.environ[name]
        for name, value in variables.items():
            if value is None:
                os.environ.pop(name, None)
            elif os.environ.get(name) != value:
                os.environ[name] = value


def _end_session() -> None:
    """End the session of imagen_nb itself; what is not in the cloud stays pending."""
    autolog = sys.modules.get("imagen_nb.studio.autolog.switch")
    if autolog:
        autolog.autolog(disable=True)
    default = sys.modules.get("imagen_nb.studio.default")
    if default:
        default.leave()


_fresh_kernel: FreshKernel | None = None


def begin() -> str:
    """Take note of the fresh kernel, before its first notebook.

    Returns JSON: `version`, of this package.
    """
    global _fresh_kernel
    _fresh_kernel = FreshKernel()
    return json.dumps({"version": __version__})


def forget(order: str) -> str:
    """Forget the notebook that ran.

    Args:
        order: JSON with `cwd`, the directory of the next notebook; `environment`, the
            variables that differ from those of the fresh kernel; `memory`, the bound in
            bytes, or null; and `again`, whether this is the second call for the same
            notebook.

    Returns:
        JSON: `left`, the reasons why the kernel cannot be used again; and `again`,
        whether to call once more: tasks were cancelled, which end after this call, and
        nothing else was done yet.
    """
    if _fresh_kernel is None:
        raise RuntimeError("begin was not called")
    parsed, tasks = json.loads(order), remains.notebook_tasks()
    if tasks and not parsed["again"]:
        for task in tasks:
            task.cancel()
        return json.dumps({"left": [], "again": True})
    return json.dumps({"left": _fresh_kernel.restore(parsed), "again": False})
