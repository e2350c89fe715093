"""Registers `df.imagen` once pandas is there, without importing pandas.

A function that people call first would leave a frame read from a file without it; wrapt's import
hooks cost more than importing imagen_nb does.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

_NAME = "imagen"


def when_pandas_is_there() -> None:
    """Register `df.imagen` now, or when somebody imports pandas."""
    if sys.modules.get("pandas"):
        register()
    elif not any(isinstance(finder, _Watch) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Watch())


def register() -> None:
    """Make `df.imagen` available; the second time does nothing."""
    import pandas as pd

    from imagen_nb.frames.accessor import Accessor

    if not hasattr(pd.DataFrame, _NAME):  # pandas warns of replacing one
        pd.api.extensions.register_dataframe_accessor(_NAME)(Accessor)


class _Watch:
    """Finds pandas where the other finders do, and registers after it has run.

    To look for pandas (`importlib.util.find_spec`) is not to import it, so it watches until then.
    """

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """As a finder of `sys.meta_path`."""
        if name != "pandas":
            return None
        for finder in sys.meta_path:
            if finder is not self and (spec := finder.find_spec(name, path, target)):
                self._follow(spec)
                return spec
        return None

    def _follow(self, spec: ModuleSpec) -> None:
        loader = spec.loader
        if loader is None:  # a folder that is no package
            return
        run = loader.exec_module

        def run_and_register(module: ModuleType) -> None:
            loader.__dict__.pop("exec_module", None)  # as it was: pandas' own loader stays in place
            run(module)
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            register()

        loader.exec_module = run_and_register  # type: ignore[method-assign]
