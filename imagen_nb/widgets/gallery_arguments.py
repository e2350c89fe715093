"""The arguments of a Gallery, checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagen_nb.errors import UsageError
from imagen_nb.studio.default import studio
from imagen_nb.widgets.ordering import GalleryOrder

if TYPE_CHECKING:
    import pandas as pd

    from imagen_nb.widgets.rows import GalleryRows

_SIZE_RANGE = (64, 512)  # pixels of a thumbnail's side


def frame_to_show(frame: pd.DataFrame | None, live: bool) -> pd.DataFrame:
    """Return what a gallery is to show; raise UsageError for nothing."""
    if frame is not None:
        return frame
    if live:
        return studio().history(source="local")
    raise UsageError(
        "give a history, as in im.Gallery(im.history()), or live=True for what is made"
        " from now on"
    )


def order_to_begin_with(rows: GalleryRows, live: bool) -> GalleryOrder:
    """Return the order that the rows have; where none are yet, the newest at the top."""
    if live and not len(rows):
        return GalleryOrder("created_at", descending=True)
    return rows.search.order_as_given()


def validated_size(size: int) -> int:
    """Return the pixels of a thumbnail's side; raise UsageError for others."""
    low, high = _SIZE_RANGE
    if not (isinstance(size, int) and low <= size <= high):
        raise UsageError(f"size is in pixels, {low} to {high}, not {size!r}")
    return size


def validated_columns(columns: int | None) -> int | None:
    """Return how many stand side by side; raise UsageError for nonsense."""
    if columns is not None and not (isinstance(columns, int) and 1 <= columns <= 100):
        raise UsageError(f"columns must be a whole number, 1 to 100, not {columns!r}")
    return columns
