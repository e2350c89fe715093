"""Waits until somebody imports a module, without importing it.

wrapt's import hooks do the same and cost more than importing imagen_nb does.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

    from _typeshed.importlib import MetaPathFinderProtocol


def when_imported(name: str, then: Callable[[], object]) -> None:
    """Call `then` now if that module is there, or else after it has first run."""
    if sys.modules.get(name):
        import_module(name)  # another thread may still be running it
        then()
    elif (watch := _Watch(name, then)) not in sys.meta_path:
        sys.meta_path.insert(0, watch)


def forget_import_hook(name: str, then: Callable[[], object]) -> None:
    """Forget what `when_imported` was told, if it still waits."""
    sys.meta_path[:] = [
        finder for finder in sys.meta_path if finder != _Watch(name, then)
    ]


def find_spec_after(
    finder: MetaPathFinderProtocol,
    name: str,
    path: Sequence[str] | None,
    target: ModuleType | None,
) -> ModuleSpec | None:
    """Return what the finders after this one of `sys.meta_path` find.

    Only those, as two that watch for one module must not ask each other.
    """
    place = sys.meta_path.index(finder) + 1 if finder in sys.meta_path else 0
    for other in sys.meta_path[place:]:
        find = getattr(other, "find_spec", None)  # Python does without it, too
        spec: ModuleSpec | None = find(name, path, target) if find else None
        if spec is not None:
            return spec
    return None


class _Watch:
    """Finds the module where the other finders do, and calls `then` after it has run.

    To look for a module (`importlib.util.find_spec`) is not to import it, so it waits until then.
    """

    def __init__(self, name: str, then: Callable[[], object]) -> None:
        self.name, self.then = name, then  # no dataclass: importing those takes 7 ms

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Watch) and (self.name, self.then) == (
            other.name,
            other.then,
        )

    def __hash__(self) -> int:
        return hash((self.name, self.then))

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """As a finder of `sys.meta_path`."""
        if name != self.name:
            return None
        spec = find_spec_after(self, name, path, target)
        if spec:
            self._follow(spec)
        return spec

    def _follow(self, spec: ModuleSpec) -> None:
        loader = spec.loader
        if loader is None:  # a folder that is no package
            return
        run = loader.exec_module

        def run_and_tell(module: ModuleType) -> None:
            loader.__dict__.pop(
                "exec_module", None
            )  # as it was: its own loader stays in place
            run(module)
            if self in sys.meta_path:
                sys.meta_path.remove(self)
                self.then()

        loader.exec_module = run_and_tell  # type: ignore[method-assign]
