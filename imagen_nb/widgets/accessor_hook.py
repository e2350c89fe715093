"""Registers `df.imagen` once pandas is there, without importing pandas.

A function that people call first would leave a frame read from a file without it.
"""

from __future__ import annotations

from imagen_nb.system.import_hooks import when_imported

_ACCESSOR_NAME = "imagen"


def register_accessor_with_pandas() -> None:
    """Register `df.imagen` now, or when somebody imports pandas."""
    when_imported("pandas", register_accessor)


def register_accessor() -> None:
    """Make `df.imagen` available; the second time does nothing."""
    import pandas as pd

    from imagen_nb.widgets.accessor import Accessor

    if not hasattr(pd.DataFrame, _ACCESSOR_NAME):  # pandas warns of replacing one
        pd.api.extensions.register_dataframe_accessor(_ACCESSOR_NAME)(Accessor)
