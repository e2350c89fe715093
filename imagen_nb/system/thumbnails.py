"""Small pictures for notebooks: thumbnails of a few kilobytes and labelled contact sheets."""

from __future__ import annotations

import base64
import functools
import io
import os
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING

from imagen_nb.system.markup import NO_FORMULAS, bidi, escaped

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

THUMBNAIL = 256  # pixels of the longer side
CELL = 160
MARGIN, LINE = 6, 14  # pixels around a cell, of a line of text
LEGIBLE = 96  # pixels of a cell that a heading fits above, however small its picture
MAX_CELLS = 200
WEIGHT = 12_000  # bytes of a thumbnail; a larger picture may have as many for each of its pixels
_QUALITIES = (80, 65, 50, 35, 20, 5)
_METHOD = 0  # of WebP, 0 to 6: 1 ms for a thumbnail, with 2 it is 11 and an eighth fewer bytes
_LETTERS = 10  # pixels
_CAPTION_LINES = 3


@dataclass(frozen=True, slots=True)
class Labels:
    """Headings of a contact sheet: one for each column and row, empty for none."""

    columns: Sequence[str] = field(default_factory=tuple)
    rows: Sequence[str] = field(default_factory=tuple)


def webp(image: Image, side: int = THUMBNAIL, heaviest: int | None = None) -> bytes:
    """The picture as WebP, its longer side at most `side` pixels.

    Whatever it shows it weighs at most `heaviest` bytes: the quality, and then the size, go down
    until it does. Unless given, that is `WEIGHT`, or as much for each pixel.
    """
    small = image.convert("RGB")
    small.thumbnail((side, side))
    most = heaviest or max(WEIGHT, WEIGHT * small.width * small.height // THUMBNAIL**2)
    return webp_within(small, most, _worse(max(small.size)))


def webp_within(
    image: Image, heaviest: int, steps: Iterable[tuple[int, int]], method: int = _METHOD
) -> bytes:
    """The picture as WebP of the first step that weighs at most so many bytes, or else of the last.

    `steps`: pixels of the longer side, which only get fewer, and WebP's quality.
    """
    data = b""
    small = image.convert("RGB")
    for side, quality in steps:
        small.thumbnail((side, side))
        buffer = io.BytesIO()
        small.save(buffer, "WEBP", quality=quality, method=method)
        data = buffer.getvalue()
        if len(data) <= heaviest:
            break
    return data


def _worse(side: int) -> Iterator[tuple[int, int]]:
    """Each quality, then each of a smaller picture, down to one pixel."""
    while side:
        yield from ((side, quality) for quality in _QUALITIES)
        side = side * 3 // 4


def img_tag(image: Image, alt: str, side: int = THUMBNAIL) -> str:
    """An HTML image with the thumbnail inside it; `alt` is untrusted text."""
    data = base64.b64encode(webp(image, side)).decode()
    source = f"data:image/webp;base64,{data}"
    return f'<img src="{source}" alt="{escaped(alt)}" style="max-width:100%">'


def captioned(tag: str, caption: str) -> str:
    """The HTML image with a line below it; `caption` is untrusted text."""
    return f"<div {NO_FORMULAS}>{tag}<br><small>{bidi(caption)}</small></div>"


def contact_sheet(
    images: Sequence[Image],
    columns: int,
    labels: Labels | None = None,
    cell: int = CELL,
    captions: Sequence[str] = (),
) -> Image:
    """The pictures on one page, row by row, each at most `cell` pixels wide and high.

    `captions`: up to three lines below each.
    """
    from PIL import Image as Images
    from PIL import ImageDraw

    labels = labels or Labels()
    cell = min(cell, max(LEGIBLE, *(side for image in images for side in image.size)))
    below = [wrapped(text, cell, _CAPTION_LINES) for text in captions]
    pitch = cell + MARGIN
    drop = pitch + LINE * max(map(len, below), default=0)
    rows = -(-len(images) // columns)
    left = 110 if any(labels.rows) else MARGIN
    top = LINE + 2 * MARGIN if any(labels.columns) else MARGIN
    page = Images.new("RGB", (left + columns * pitch, top + rows * drop), "white")
    pen = ImageDraw.Draw(page)
    pen.font = font()
    for column, text in enumerate(labels.columns):
        pen.text((left + column * pitch, MARGIN), fitted(text, cell), fill="black")
    for row, text in enumerate(labels.rows):
        parts = wrapped(text, left - MARGIN, cell // LINE)
        _write(pen, (MARGIN, top + row * drop), parts)
    for place, image in enumerate(images):
        small = image.convert("RGB")
        small.thumbnail((cell, cell))
        corner = (left + place % columns * pitch, top + place // columns * drop)
        page.paste(small, corner)
        if place < len(below):
            _write(pen, (corner[0], corner[1] + small.height + 1), below[place])
    return page


def _write(pen: ImageDraw, corner: tuple[int, int], lines: Sequence[str]) -> None:
    for number, line in enumerate(lines):
        pen.text((corner[0], corner[1] + number * LINE), line, fill="black")


def blank(text: str, side: int) -> Image:
    """A grey square with a text in it, for a picture that cannot be had."""
    from PIL import Image as Images
    from PIL import ImageDraw

    page = Images.new("RGB", (side, side), "#d0d0d0")
    pen = ImageDraw.Draw(page)
    pen.font = font()
    _write(pen, (4, 4), wrapped(text, side - 8, max(1, (side - 8) // LINE)))
    return page


@functools.cache
def font() -> FreeTypeFont | ImageFont:
    """That of matplotlib, which has the letters of most of Europe; else Pillow's own."""
    from PIL import ImageFont

    spec = find_spec("matplotlib")  # which is not loaded for it
    places = spec.submodule_search_locations if spec else None
    for place in places or ():
        path = os.path.join(place, "mpl-data", "fonts", "ttf", "DejaVuSans.ttf")
        if os.path.exists(path):
            return ImageFont.truetype(path, _LETTERS)
    return ImageFont.load_default()


def fitted(text: str, width: int) -> str:
    """The text cut to about `width` pixels; accents, which the font lacks, are left out."""
    room = max(1, width // 6)
    plain = (
        c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c)
    )
    line = " ".join("".join(c if c.isprintable() else " " for c in plain).split())
    return line if len(line) <= room else line[: room - 1] + "…"


def wrapped(text: str, width: int, lines: int) -> list[str]:
    """The text in at most `lines` lines of about `width` pixels; its own lines stay apart."""
    import textwrap

    room = max(8, width // 6)
    parts = [textwrap.wrap(fitted(part, 10_000), room) for part in text.splitlines()]
    found = [line for part in parts for line in part]
    if len(found) <= lines:
        return found
    return [*found[: lines - 1], fitted(" ".join(found[lines - 1 :]), width)]
