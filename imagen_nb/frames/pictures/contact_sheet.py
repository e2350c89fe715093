"""The contact sheet of a frame: all its pictures on one page, with captions."""

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
from imagen_nb.frames.schema import plain_value
from imagen_nb.system.theme import paper_and_ink
from imagen_nb.system.thumbnails import (
    CELL_MARGIN,
    LINE_HEIGHT,
    MIN_CELL_PIXELS,
    draw_contact_sheet,
    placeholder_image,
)

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image

    Caption = str | Callable[[pd.Series[Any]], object] | None

MAX_PAGE_SIDE = 14_400  # pixels: a larger page PDF readers do not show
MAX_PAGE_AREA = 64_000_000  # pixels: 192 MB while the page is made
CELL_SIZES = (16, 1024)  # pixels of a picture's longer side: the least, the most
_LINES_PER_CAPTION = 3


def make_contact_sheet(
    frame: pd.DataFrame,
    cloud: Cloud | None,
    columns: int | None,
    size: int,
    caption: Caption,
) -> Image:
    """Return the pictures on one page, as `Accessor.contact_sheet` documents.

    Raises:
        UsageError: if an argument is not valid, there are no pictures, or the page
            would be too large; before a picture is loaded.
    """
    locations = locate_pictures(frame)
    if not locations:
        raise UsageError("no pictures, so no contact sheet")
    side = _validated_cell_size(size)
    captions = captions_of_rows(frame, caption)
    across = _validated_column_count(columns, len(locations))
    _require_page_fits(len(locations), across, side)
    completed = complete_from_cloud(locations, cloud)
    images = load_reduced_images(completed, cloud, side, "reading pictures")
    paper, ink = paper_and_ink()
    return draw_contact_sheet(
        images, across, cell=side, captions=captions, paper=paper, ink=ink
    )


def _validated_cell_size(size: int) -> int:
    smallest, largest = CELL_SIZES
    if not (isinstance(size, int) and smallest <= size <= largest):
        raise UsageError(f"size is in pixels, {smallest} to {largest}, not {size!r}")
    return size


def _validated_column_count(columns: int | None, count: int) -> int:
    if columns is None:
        return min(count, max(8, math.isqrt(count - 1) + 1))
    if not (isinstance(columns, int) and columns >= 1):
        raise UsageError(f"columns must be a whole number, 1 or more, not {columns!r}")
    return min(columns, count)


def _require_page_fits(count: int, columns: int, side: int) -> None:
    """Raise `UsageError` if the page of so many pictures would be too large."""
    pitch = max(side, MIN_CELL_PIXELS) + CELL_MARGIN
    rows = math.ceil(count / columns)
    width, height = columns * pitch, rows * (pitch + _LINES_PER_CAPTION * LINE_HEIGHT)
    if max(width, height) > MAX_PAGE_SIDE or width * height > MAX_PAGE_AREA:
        raise UsageError(
            f"a page of {count} pictures in {columns} columns would have "
            f"{width}×{height} pixels: take fewer of them (`df.head(200)`) or "
            "a smaller size"
        )


def load_reduced_images(
    locations: Sequence[PictureLocation],
    cloud: Cloud | None,
    side: int,
    title: str | None = None,
) -> list[Image]:
    """Return each picture in RGB; a grey one with the reason where it cannot be had.

    Args:
        locations: as `complete_from_cloud` gives them.
        cloud: the client; None if none is configured.
        side: pixels of the longer side, at most.
        title: of a progress bar; None shows none.
    """

    def reduced(location: PictureLocation) -> Image:
        image = load_image(location, cloud).convert("RGB")
        image.thumbnail((side, side))
        return image

    results = map_in_threads(locations, reduced, title)
    sides = [max(one.size) for one in results if not isinstance(one, ImagenError)]
    # As large as the others, or the grey one alone would widen every cell of the page.
    grey_side = min(side, max(MIN_CELL_PIXELS, *sides)) if sides else side
    return [
        placeholder_image(str(one), grey_side) if isinstance(one, ImagenError) else one
        for one in results
    ]


def captions_of_rows(frame: pd.DataFrame, caption: Caption) -> list[str]:
    """Return the text below each picture; none at all if `caption` is None.

    Args:
        frame: the rows.
        caption: a column, a format string such as "{seed} · {steps}", or a function of
            the row.

    Raises:
        UsageError: if the frame has no such column, or its values do not fit the
            format.
    """
    if caption is None:
        return []
    if callable(caption):
        return [_caption_text(caption(row)) for _, row in frame.iterrows()]
    if caption in frame.columns:
        return [_caption_text(value) for value in frame[caption]]
    names = _columns_of_format(caption)
    _require_caption_columns(frame, caption, names)
    rows = zip(*(frame[name] for name in names), strict=True)
    try:
        return [_format_caption(caption, names, row) for row in rows]
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise UsageError(
            f"the caption {caption!r} does not fit the columns: {error}"
        ) from None


def _columns_of_format(caption: str) -> list[str]:
    """Return the columns that a format string names; {size[0]} names `size`."""
    try:
        fields = [name for _, name, _, _ in string.Formatter().parse(caption)]
    except ValueError as error:
        raise UsageError(
            f"the caption {caption!r} is no format string: {error}"
        ) from None
    columns = [
        name.partition(".")[0].partition("[")[0] for name in fields if name is not None
    ]
    return [*dict.fromkeys(columns)]


def _require_caption_columns(
    frame: pd.DataFrame, caption: str, names: Sequence[str]
) -> None:
    lacking = [name for name in names if name not in frame.columns]
    if lacking:
        available = ", ".join(map(str, frame.columns))
        raise UsageError(
            f"no column {', '.join(lacking)} for the caption: there are {available}"
        )
    if not names:
        raise UsageError(
            "caption names a column, or is a text such as '{seed} · {steps}', "
            f"not {caption!r}"
        )


def _format_caption(caption: str, names: Sequence[str], row: Sequence[object]) -> str:
    values = {
        name: _format_argument(value) for name, value in zip(names, row, strict=True)
    }
    return caption.format(**values)


class _MissingText(str):
    """The text of a missing value: empty, with any format."""

    def __format__(self, spec: str) -> str:
        return ""


def _format_argument(value: object) -> object:
    """Return what `str.format` gets: lists as text, missing values as no text."""
    plain = plain_value(value)
    if plain is None:
        return _MissingText()
    return ", ".join(map(str, plain)) if isinstance(plain, list) else plain


def _caption_text(value: object) -> str:
    return str(_format_argument(value))
