"""Modules: which stay imported, which are forgotten, and changes to those that stay."""

from __future__ import annotations

import functools
import os
import site
import sys
import sysconfig
from collections.abc import Callable, Collection
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

_ABSENT: Any = object()
# Made at run time by Cython's modules, multiprocessing, torch.distributed: no file.
_RUNTIME_MODULES = ("_cython_", "cython_runtime", "__mp_main__", "_remote_module_")
_CODE_TYPES = (
    FunctionType,
    BuiltinFunctionType,
    MethodType,
    functools.partial,
    ModuleType,
)
_MOCK_MODULE = "unittest.mock"

# Tells whether a value is a notebook's own; see `make_own_check`.
OwnCheck = Callable[[Any], bool]


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
    """The modules that stay imported, each with its names at the last `note_new`.

    Invariant: each module in here is of an installed library, or was there in the fresh
    kernel.
    """

    def __init__(self) -> None:
        self._installed_folders = installed_folders()
        self._installed: dict[str, bool] = {}  # by package
        self._fresh = frozenset(sys.modules)
        self._known: dict[str, tuple[ModuleType, dict[str, Any]]] = {}
        self._finders = [finder for finder in sys.meta_path if isinstance(finder, type)]
        self.note_new()

    def note_new(self) -> None:
        """Take note of the modules that were imported since the last call."""
        for name, module in self._new():
            self._known[name] = module, dict(module.__dict__)

    def _new(self) -> list[tuple[str, ModuleType]]:
        return [
            (name, module)
            for name, module in [*sys.modules.items()]
            if name not in self._known
            and name != "__main__"
            and isinstance(module, ModuleType)
        ]

    def of_the_notebook(self) -> list[str]:
        """Return the names of the modules that are to be forgotten."""
        new = [name for name in [*sys.modules] if name not in self._known]
        return [name for name in new if name != "__main__" and not self._stays(name)]

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
        for name, (module, names) in [*self._known.items()]:
            # It may have been taken out, or another put in its place.
            sys.modules[name] = module
            if not _equal_names(module.__dict__, names):
                self._restore_names(module.__dict__, names, is_own)
                self._known[name] = module, dict(module.__dict__)
        return [
            f"{name}.{key} is the notebook's own"
            for name, module in self._new()
            for key, value in [*module.__dict__.items()]
            if is_own(value)
        ]

    def _restore_names(
        self, now: dict[str, Any], noted: dict[str, Any], is_own: OwnCheck
    ) -> None:
        """Restore code; data is the library's, as is code that an import set."""
        added = [
            key for key, value in now.items() if key not in noted and is_own(value)
        ]
        for key in added:
            del now[key]
        for key, old in noted.items():
            new = now.get(key, _ABSENT)
            if new is old:
                continue
            if is_own(new) or (_is_code(old) and self._is_known(new)):
                now[key] = old

    def _is_known(self, value: Any) -> bool:
        """Return whether no module made it that the last notebook imported first."""
        module = getattr(value, "__module__", None) if _is_code(value) else None
        return not isinstance(module, str) or module in self._known


def _is_code(value: Any) -> bool:
    return isinstance(value, _CODE_TYPES) or issubclass(type(value), type)


def _equal_names(now: dict[str, Any], noted: dict[str, Any]) -> bool:
    try:
        return bool(now == noted)  # at the speed of C where values are the very same
    except Exception:  # values that cannot be compared, as arrays
        return False


def make_own_check(modules: Collection[str]) -> OwnCheck:
    """Return a check for what was written in these modules; the notebook is `__main__`.

    That is a function, a class, or an object of such a class. Mocks are the notebook's
    own, too: libraries leave none.
    """

    def is_own(value: Any) -> bool:
        if isinstance(value, MethodType):
            return is_own(value.__func__) or is_own(value.__self__)
        if isinstance(value, functools.partial):
            return is_own(value.func)
        if isinstance(value, FunctionType):
            # Not __module__, which functools.wraps copies from another function.
            return value.__globals__.get("__name__") in modules
        kind = value if issubclass(type(value), type) else type(value)
        module = kind.__dict__.get("__module__")
        return (isinstance(module, str) and module in modules) or is_mock(value)

    return is_own


def is_mock(value: Any) -> bool:
    """Return whether it is a mock, without asking it: a mock says yes to everything."""
    return type(value).__module__ == _MOCK_MODULE and any(
        kind.__name__ == "NonCallableMock" for kind in type(value).__mro__
    )
