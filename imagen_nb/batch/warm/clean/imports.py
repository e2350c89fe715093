"""Tells what imports do apart from what the notebook does.

An import stays for the kernel's life, and so must all that it did: it is done once. All
else that differs after a notebook is the notebook's.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Protocol

from imagen_nb.system.import_hooks import find_spec_after


class Watched(Protocol):
    """Something that is compared after each notebook with what it was."""

    def before_import(self) -> None:
        """Take note of what differs by now: that is the notebook's doing."""

    def after_import(self) -> None:
        """Accept what differs since `before_import`."""


class ImportWatch:
    """Tells what is watched when a module begins to be imported, and when it has been.

    Modules that it imports in turn, and those of other threads meanwhile, are part of
    it. Invariant: it finds nothing itself, and leaves each module its own loader.
    """

    def __init__(
        self, is_installed: Callable[[ModuleType], bool], watched: Iterable[Watched]
    ) -> None:
        """Begin to watch. Other modules than the installed ones are the notebook's."""
        self._is_installed, self._watched = is_installed, tuple(watched)
        self._running = 0  # imports, in all threads
        self._lock = threading.RLock()
        self.stay()

    def stay(self) -> None:
        """Be asked before all other finders, whatever the notebook did to them."""
        sys.meta_path[:] = [self, *(one for one in sys.meta_path if one is not self)]

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Find it where the other finders do, as a finder of `sys.meta_path`."""
        if self not in sys.meta_path:
            return None
        spec = find_spec_after(self, name, path, target)
        if spec:
            self._follow(spec.loader)
        return spec

    def _follow(self, loader: Any) -> None:
        if not hasattr(loader, "exec_module") or isinstance(loader, type):
            return  # a folder without __init__.py, or what Python has built in
        run: Callable[[ModuleType], None] = loader.exec_module

        def run_watched(module: ModuleType) -> None:
            vars(loader).pop("exec_module", None)
            if not self._is_installed(module):
                return run(module)
            self._begin()
            try:
                return run(module)
            finally:
                self._end()

        loader.exec_module = run_watched

    def _begin(self) -> None:
        with self._lock:
            self._running += 1
            if self._running == 1:
                for one in self._watched:
                    one.before_import()

    def _end(self) -> None:
        with self._lock:
            self._running -= 1
            if self._running == 0:
                for one in self._watched:
                    one.after_import()
