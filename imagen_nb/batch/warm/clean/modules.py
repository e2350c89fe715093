"""Modules: which stay imported, which are forgotten, and what was made of those that stay."""

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
# Made at run time by Cython's modules, multiprocessing, torch.distributed: no file tells.
_RUNTIME_MODULES = ("_cython_", "cython_runtime", "__mp_main__", "_remote_module_")
_CODE_TYPES = (
    FunctionType,
    BuiltinFunctionType,
    MethodType,
    functools.partial,
    ModuleType,
)


def installed_folders() -> frozenset[str]:
    """Where the modules lie that stay imported.

    That is wherever a fresh kernel looks, editable installs included, but for PYTHONPATH and the
    working directory.
    """
    given = {
        _real_path(path)
        for path in os.environ.get("PYTHONPATH", "").split(os.pathsep)
        if path
    }
    own = given | {_real_path(os.getcwd())}
    found = {_real_path(path) for path in sys.path if path} - own
    paths = sysconfig.get_paths()
    sites = [*site.getsitepackages(), site.getusersitepackages()]
    return frozenset(
        found | {_real_path(p) for p in (paths["stdlib"], paths["platstdlib"], *sites)}
    )


def _real_path(path: str) -> str:
    return os.path.realpath(path)


class ImportedModules:
    """The modules that stay imported, each with all its names, as they are when last looked at.

    Invariant: whatever is in here is of an installed library, or was there in the fresh kernel.
    """

    def __init__(self) -> None:
        self._installed = installed_folders()
        self._places: dict[str, bool] = {}  # of packages: whether they are installed
        self._fresh = frozenset(sys.modules)
        self._known: dict[str, tuple[ModuleType, dict[str, Any]]] = {}
        self._finders = [finder for finder in sys.meta_path if isinstance(finder, type)]
        self.look()

    def look(self) -> None:
        """Take note of the modules that came since the last look."""
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
        """The names of the modules that are to be forgotten."""
        new = [
            name
            for name in [*sys.modules]
            if name not in self._known and name != "__main__"
        ]
        return [name for name in new if not self._stays(name)]

    def _stays(self, name: str) -> bool:
        own = getattr(
            sys.modules.get(name), "__name__", None
        )  # compiled ones may have two names
        names = (name, own) if isinstance(own, str) else (name,)
        return any(self._belongs(one.partition(".")[0]) for one in names)

    def _belongs(self, package: str) -> bool:
        if package in self._fresh:
            return True
        if package not in self._places:
            self._places[package] = self._is_installed(package)
        return self._places[package]

    def _is_installed(self, package: str) -> bool:
        if package in sys.builtin_module_names or package.startswith(_RUNTIME_MODULES):
            return True
        spec = getattr(sys.modules.get(package), "__spec__", None)
        if spec is None:
            return False
        folders = spec.submodule_search_locations or [spec.origin or ""]
        return spec.origin == "frozen" or any(
            _real_path(os.path.dirname(folder)) in self._installed for folder in folders
        )

    def give_back(self, forgotten: list[str], own: OwnCheck) -> list[str]:
        """Undo what the notebook did to modules; gives what cannot be undone."""
        for name in forgotten:
            sys.modules.pop(name, None)
            self._places.pop(name, None)
        others = [finder for finder in sys.meta_path if not own(finder)]
        sys.meta_path[:] = [
            *others,
            *(one for one in self._finders if one not in others),
        ]
        for name, (module, names) in [*self._known.items()]:
            sys.modules[name] = (
                module  # it may have been taken out, or another put in its place
            )
            if not _equal_names(module.__dict__, names):
                self._restore(module.__dict__, names, own)
                self._known[name] = module, dict(module.__dict__)
        return [
            f"{name}.{key} is the notebook's own"
            for name, module in self._new()
            for key, value in [*module.__dict__.items()]
            if own(value)
        ]

    def _restore(
        self, now: dict[str, Any], noted: dict[str, Any], own: OwnCheck
    ) -> None:
        """Code is given back; data is a library's own, and so is code that came with an import."""
        for key in [
            key for key, value in now.items() if key not in noted and own(value)
        ]:
            del now[key]
        for key, old in noted.items():
            new = now.get(key, _ABSENT)
            if new is not old and (own(new) or (_is_code(old) and self._is_known(new))):
                now[key] = old

    def _is_known(self, value: Any) -> bool:
        """Whether it was not made by a module that the last notebook was first to import."""
        home = getattr(value, "__module__", None) if _is_code(value) else None
        return not isinstance(home, str) or home in self._known


def _is_code(value: Any) -> bool:
    return isinstance(value, _CODE_TYPES) or issubclass(type(value), type)


def _equal_names(now: dict[str, Any], noted: dict[str, Any]) -> bool:
    try:
        return bool(now == noted)  # at the speed of C where values are the very same
    except Exception:  # values that cannot be compared, as arrays
        return False


OwnCheck = Callable[[Any], bool]
_MOCK_MODULE = "unittest.mock"


def make_own_check(modules: Collection[str]) -> OwnCheck:
    """Tells what was written in these modules: a function, a class, an object of such a class.

    The notebook itself is `__main__`. Mocks are its own too: nobody else leaves any.
    """

    def own(value: Any) -> bool:
        if isinstance(value, MethodType):
            return own(value.__func__) or own(value.__self__)
        if isinstance(value, functools.partial):
            return own(value.func)
        if isinstance(
            value, FunctionType
        ):  # not __module__, which functools.wraps makes another's
            return value.__globals__.get("__name__") in modules
        kind = value if issubclass(type(value), type) else type(value)
        home = kind.__dict__.get("__module__")
        return (isinstance(home, str) and home in modules) or is_mock(value)

    return own


def is_mock(value: Any) -> bool:
    """Whether it is a mock, without asking it: a mock says yes to everything."""
    return type(value).__module__ == _MOCK_MODULE and any(
        kind.__name__ == "NonCallableMock" for kind in type(value).__mro__
    )
