"""Modules: which stay imported, and which are forgotten."""

from __future__ import annotations

import os
import site
import sys
import sysconfig
from types import ModuleType

from imagen_nb.batch.warm.clean.code import OwnCheck
from imagen_nb.batch.warm.clean.contents import ModuleContents

# Made at run time by Cython's modules, multiprocessing, torch.distributed: no file.
_RUNTIME_MODULES = ("_cython_", "cython_runtime", "__mp_main__", "_remote_module_")


def installed_folders() -> frozenset[str]:
    """Return the folders whose modules stay imported.

    Those are all in which a fresh kernel looks, editable installs included, without
    PYTHONPATH and the working directory.
    """
    python_path = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    own = {_real_path(path) for path in python_path if path}
    own.add(_real_path(os.getcwd()))
    searched = {_real_path(path) for path in sys.path if path} - own
    paths = sysconfig.get_paths()
    libraries = [
        paths["stdlib"],
        paths["platstdlib"],
        *site.getsitepackages(),
        site.getusersitepackages(),
    ]
    return frozenset(searched | {_real_path(path) for path in libraries})


def _real_path(path: str) -> str:
    return os.path.realpath(path)


class ImportedModules:
    """The modules that stay imported.

    Invariant: each module in here is of an installed library, or was there in the fresh
    kernel.
    """

    def __init__(self) -> None:
        self._installed_folders = installed_folders()
        self._installed: dict[str, bool] = {}  # by package
        self._fresh = frozenset(sys.modules)
        self._known: dict[str, ModuleType] = {}
        self._contents = ModuleContents()
        self._finders = [finder for finder in sys.meta_path if isinstance(finder, type)]
        self.note_new()

    def before_import(self) -> None:
        """Take note of what the notebook has changed by now."""
        self._contents.before_import()

    def after_import(self) -> None:
        """Take note of what is new, and accept what its import changed elsewhere."""
        self._contents.after_import()
        self.note_new()

    def note_new(self) -> None:
        """Take note of the modules that were imported since the last call."""
        main = sys.modules["__main__"]  # which multiprocessing gives a second name
        for name, module in [*sys.modules.items()]:
            if name in self._known or module is main:
                continue
            if isinstance(module, ModuleType) and self._stays(name):
                self._known[name] = module
                self._contents.add(name, module, is_fresh=name in self._fresh)

    def of_the_notebook(self) -> list[str]:
        """Return the names of the modules that are to be forgotten."""
        new = [name for name in [*sys.modules] if name not in self._known]
        return [name for name in new if name != "__main__" and not self._stays(name)]

    def is_installed(self, module: ModuleType) -> bool:
        """Return whether the module stays imported; it may not have run yet."""
        return self._stays(module.__name__)

    def _stays(self, name: str) -> bool:
        # Compiled modules may have two names.
        second = getattr(sys.modules.get(name), "__name__", None)
        names = (name, second) if isinstance(second, str) else (name,)
        return any(self._package_stays(one.partition(".")[0]) for one in names)

    def _package_stays(self, package: str) -> bool:
        if package in self._fresh:
            return True
        if package not in self._installed:
            self._installed[package] = self._is_installed(package)
        return self._installed[package]

    def _is_installed(self, package: str) -> bool:
        if package in sys.builtin_module_names or package.startswith(_RUNTIME_MODULES):
            return True
        spec = getattr(sys.modules.get(package), "__spec__", None)
        if spec is None:
            return False
        if spec.origin == "frozen":
            return True
        folders = spec.submodule_search_locations or [spec.origin or ""]
        return any(
            _real_path(os.path.dirname(folder)) in self._installed_folders
            for folder in folders
        )

    def restore(self, forgotten: list[str], is_own: OwnCheck) -> list[str]:
        """Undo what the notebook did to modules; return what cannot be undone."""
        for name in forgotten:
            sys.modules.pop(name, None)
            self._installed.pop(name, None)
        others = [finder for finder in sys.meta_path if not is_own(finder)]
        missing = [finder for finder in self._finders if finder not in others]
        sys.meta_path[:] = [*others, *missing]
        sys.modules.update(self._known)  # others may have been put in their places
        return self._contents.restore(is_own)
