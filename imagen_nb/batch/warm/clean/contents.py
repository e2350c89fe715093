"""What is in modules that stay imported, compared with what was in them."""

from __future__ import annotations

import functools
import re
import sys
from collections import OrderedDict, defaultdict, deque
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from imagen_nb.batch.warm.clean.code import OwnCheck, is_code
from imagen_nb.batch.warm.clean.noted import (
    ABSENT,
    Change,
    NotedMappings,
    set_or_delete,
)

_CONSTANTS = (type(None), bool, int, float, complex, str, bytes, tuple, frozenset)
_MAPPINGS = (dict, OrderedDict, defaultdict)
_CONTAINERS = (*_MAPPINGS, list, set, deque)
_ITEMS = "items"  # the name of what is in a list or set, which has no names
# Of which classes are compared as well, as notebooks have methods put into them.
_PATCHED_PACKAGES = frozenset(("PIL", "matplotlib", "numpy", "pandas", "tqdm"))
# Only their code is: this package ends its session itself; a debugger keeps what it
# knows of threads, and importlib which of them import something just now.
_NOT_COMPARED = (
    "imagen_nb",
    "debugpy",
    "pydevd",
    "_pydevd",
    "importlib._bootstrap",
    "_frozen_importlib",
)

# Containers that change by themselves: caches, and what living objects are listed in.
_CACHE = re.compile("cache|memo", re.IGNORECASE)
_HARMLESS = frozenset(
    (
        "_asyncio._current_tasks",
        "_warnings.filters",  # the same list as warnings.filters
        "asyncio.tasks._current_tasks",
        "inspect._filesbymodname",
        "inspect.modulesbyfile",
        "logging._handlerList",
        "multiprocessing.context._default_context",  # see the settings of libraries
        "multiprocessing.resource_tracker._resource_tracker",
        "posix.environ",
        "subprocess._active",
        "sys.argv",
        "sys.meta_path",
        "sys.modules",
        "sys.path",
        "sys.stderr",
        "sys.stdout",
        "threading._active",
        "threading._limbo",
        "threading._main_thread",
        "threading._shutdown_locks",
        "typing._overload_registry",
    )
)
# Containers that nobody keeps anything else in step with.
_GIVEN_BACK = frozenset(
    (
        "IPython.core.extensions.BUILTINS_EXTS",
        "PIL.ImageColor.colormap",  # keeps what it has parsed
        "traitlets.utils.warnings._deprecations_shown",
        "warnings.filters",
    )
)


class ModuleContents:
    """Names of modules, attributes of classes and contents of containers.

    Names are compared in all modules. In the standard library, and in what a fresh
    kernel has imported, every value counts; elsewhere code and public constants do.
    """

    def __init__(self) -> None:
        self._names, self._attributes = NotedMappings(), NotedMappings()
        self._containers = NotedMappings()
        self._all = (self._names, self._attributes, self._containers)
        self._owners: dict[str, Any] = {}  # modules and classes, by name
        self._near: set[str] = set()
        self._ids: set[int] = (
            set()
        )  # of containers and classes: some have several names

    def add(self, name: str, module: ModuleType, *, is_fresh: bool) -> None:
        """Compare that module from now on."""
        package = name.partition(".")[0]
        self._owners[name] = module
        self._names.add(name, functools.partial(vars, module))
        if name.startswith(_NOT_COMPARED):
            return
        if is_fresh or package in sys.stdlib_module_names:
            self._near.add(name)
            self._add_containers(name, module)
        if name in self._near or package in _PATCHED_PACKAGES:
            self._add_classes(name, module)

    def _add_containers(self, name: str, module: ModuleType) -> None:
        for key, value in [*vars(module).items()]:
            label = f"{name}.{key}"
            if id(value) in self._ids or _changes_by_itself(label, key):
                continue
            if _has_contents(value):
                self._owners[label] = value
                self._ids.add(id(value))
                self._containers.add(label, functools.partial(_contents, value))

    def _add_classes(self, name: str, module: ModuleType) -> None:
        for key, value in [*vars(module).items()]:
            if not isinstance(value, type) or id(value) in self._ids:
                continue
            if value.__module__ == name:
                self._ids.add(id(value))
                label = f"{name}:{key}"
                self._owners[label] = value
                self._attributes.add(label, functools.partial(vars, value))

    def before_import(self) -> None:
        """Take note of what the notebook has changed by now."""
        for noted in self._all:
            noted.before_import()

    def after_import(self) -> None:
        """Accept what changed since `before_import`."""
        for noted in self._all:
            noted.after_import()

    def restore(self, is_own: OwnCheck) -> list[str]:
        """Undo what the notebook changed; return what cannot be undone."""
        for change in self._names.changes():
            if not self._restore_name(change, is_own):
                self._names.accept(change)
        for change in self._attributes.changes():
            if not self._restore_attribute(change, is_own):
                self._attributes.accept(change)
        left = set()
        for change in self._containers.changes():
            if not self._restore_item(change):
                left.add(change.name)
        return [f"{name} is not what it was" for name in sorted(left)]

    def _restore_name(self, change: Change, is_own: OwnCheck) -> bool:
        """Restore a name of a module, but for what is the library's own affair."""
        name, key, old, new = change.name, str(change.key), change.old, change.new
        is_submodule = old is ABSENT and isinstance(new, ModuleType)
        if is_submodule or (key.startswith("__") and not is_own(new)):
            return False
        is_constant = isinstance(old, _CONSTANTS) and not key.startswith("_")
        if not (name in self._near or is_constant or is_code(old) or is_own(new)):
            return False
        set_or_delete(vars(self._owners[name]), key, old)
        return True

    def _restore_item(self, change: Change) -> bool:
        """Restore what is in a container, if that is all there is to it."""
        if change.name not in _GIVEN_BACK:
            return False
        container = self._owners[change.name]
        if isinstance(container, _MAPPINGS):
            set_or_delete(container, change.key, change.old)
        elif isinstance(container, list):
            container[:] = change.old
        else:
            container.clear()
            container.update(change.old)
        return True

    def _restore_attribute(self, change: Change, is_own: OwnCheck) -> bool:
        """Restore an attribute of a class, but for what is the class's own affair.

        What is the notebook's own is left, and found with all that holds its code.
        """
        owner, key = self._owners[change.name], str(change.key)
        is_public = not key.startswith("_")
        if is_own(change.new):
            return False
        if not (is_public or is_code(change.old) or is_code(change.new)):
            return False
        if change.old is ABSENT:
            type.__delattr__(owner, key)
        else:
            type.__setattr__(owner, key, change.old)
        return True


def _changes_by_itself(label: str, key: str) -> bool:
    return key.startswith("__") or label in _HARMLESS or bool(_CACHE.search(key))


def _has_contents(value: Any) -> bool:
    if type(value) in _CONTAINERS:
        return True
    # An object of Python's own library, with attributes that can be set.
    package = str(type(value).__module__).partition(".")[0]
    is_object = package in sys.stdlib_module_names and not is_code(value)
    return is_object and type(getattr(value, "__dict__", None)) is dict


def _contents(value: Any) -> Mapping[Any, Any]:
    contents: Mapping[Any, Any]
    if isinstance(value, _MAPPINGS):
        contents = value
    elif isinstance(value, set):
        contents = {_ITEMS: frozenset(value)}
    elif isinstance(value, (list, deque)):
        contents = {_ITEMS: tuple(value)}
    else:
        contents = vars(value)
    return contents
