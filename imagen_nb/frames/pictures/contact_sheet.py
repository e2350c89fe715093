"""The pictures of a frame to look at: one page of them all."""

from __future__ import annotations

import math
import string
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from imagen_nb.cloud.client import Cloud
from imagen_nb.errors import ImagenError, UsageError
from imagen_nb.frames.pictures.locate import (
    PictureLocation,
    complete_from_cloud,
    load_image,
    locate_pictures,
)
from imagen_nb.frames.pictures.parallel import map_in_threads
from imagen_nb.frames.values import plain_value
from imagen_nb.system.thumbnails import LEGIBLE, LINE, MARGIN, blank, contact_sheet

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image

    Caption = str | Callable[[pd.Series[Any]], object] | None

MAX_PAGE_SIDE = 14_400  # pixels of a page's side: a larger one PDF readers do not show
MAX_PAGE_AREA = 64_000_000  # pixels of a page: 192 MB while it is made
CELL_SIZES = (16, 1024)  # of a picture on a page


def make_contact_sheet(
    frame: pd.DataFrame,
    cloud: Cloud | None,
    columns: int | None,
    size: int,
    caption: Caption,
) -> Image:
    """The pictures on one page, as `Accessor.contact_sheet` says."""
    found = locate_pictures(frame)
    if not found:
        raise UsageError("no pictures, so no contact sheet")
    side = _side(size)
    texts = captions_of_rows(frame, caption)
    across = _columns(columns, len(found))
    _fits(len(found), across, side)
    images = load_reduced_images(
        complete_from_cloud(found, cloud), cloud, side, "reading pictures"
    )
    return contact_sheet(images, across, cell=side, captions=texts)


def _side(size: int) -> int:
    smallest, largest = CELL_SIZES
    if not (isinstance(size, int) and smallest <= size <= largest):
        raise UsageError(f"size is in pixels, {smallest} to {largest}, not {size!r}")
    return size


def _columns(columns: int | None, count: int) -> int:
    if columns is None:
        return min(count, max(8, math.isqrt(count - 1) + 1))
    if not (isinstance(columns, int) and columns >= 1):
        raise UsageError(f"columns must be a whole number, 1 or more, not {columns!r}")
    return min(columns, count)


def _fits(count: int, columns: int, side: int) -> None:
    """Raises `UsageError` when the page would be too large; before a picture was read."""
    pitch = max(side, LEGIBLE) + MARGIN
    width, height = columns * pitch, -(-count // columns) * (pitch + 3 * LINE)
    if max(width, height) > MAX_PAGE_SIDE or width * height > MAX_PAGE_AREA:
        raise UsageError(
            f"a page of {count} pictures in {columns} columns would have {width}×{height} pixels: "
            "take fewer of them (`df.head(200)`) or a smaller size"
        )


def load_reduced_images(
    found: Sequence[PictureLocation],
    cloud: Cloud | None,
    side: int,
    what: str | None = None,
) -> list[Image]:
    """Each picture, at most `side` pixels wide and high; a grey one with the reason where none."""

    def shrunk(place: PictureLocation) -> Image:
        image = load_image(place, cloud).convert("RGB")
        image.thumbnail((side, side))
        return image

    made = map_in_threads(found, shrunk, what)
    drawn = [max(one.size) for one in made if not isinstance(one, ImagenError)]
    grey = (
        min(side, max(LEGIBLE, *drawn)) if drawn else side
    )  # or it alone would widen every cell
    return [
        blank(str(one), grey) if isinstance(one, ImagenError) else one for one in made
    ]


def captions_of_rows(frame: pd.DataFrame, caption: Caption) -> list[str]:
    """The text below each picture. Raises `UsageError` for a column that is not there."""
    if caption is None:
        return []
    if callable(caption):
        return [_shown(caption(row)) for _, row in frame.iterrows()]
    if caption in frame.columns:
        return [_shown(value) for value in frame[caption]]
    names = _names(caption)
    if lacking := [name for name in names if name not in frame.columns]:
        there = ", ".join(map(str, frame.columns))
        raise UsageError(
            f"no column {', '.join(lacking)} for the caption: there are {there}"
        )
    if not names:
        raise UsageError(
            f"caption names a column, or is a text such as '{{seed}} · {{steps}}', not {caption!r}"
        )
    rows = zip(*(frame[name] for name in names), strict=True)
    try:
        return [
            caption.format(**dict(zip(names, map(_value, row), strict=True)))
            for row in rows
        ]
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise UsageError(
            f"the caption {caption!r} does not fit the columns: {error}"
        ) from None


def _names(caption: str) -> list[str]:
    """The columns that a format string names."""
    try:
        fields = [
            name
            for _, name, _, _ in string.Formatter().parse(caption)
            if name is not None
        ]
    except ValueError as error:
        raise UsageError(
            f"the caption {caption!r} is no format string: {error}"
        ) from None
    return [*dict.fromkeys(name.partition(".")[0].partition("[")[0] for name in fields)]


class _Nothing(str):
    """A missing value: nothing, however it is to be formatted."""

    def __format__(self, wanted: str) -> str:
        return ""


def _value(value: object) -> object:
    """What `str.format` gets: lists as words, missing values as nothing, the rest as it is."""
    found = plain_value(value)
    if found is None:
        return _Nothing()
    return ", ".join(map(str, found)) if isinstance(found, list) else found


def _shown(value: object) -> str:
    return str(_value(value))
