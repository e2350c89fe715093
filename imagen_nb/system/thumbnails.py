"""Small pictures for notebooks: thumbnails of a few kB and labelled contact sheets."""

from __future__ import annotations

import base64
import functools
import io
import os
import struct
import unicodedata
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING

from imagen_nb.system.markup import NO_FORMULAS_CLASS, bidi_isolated, escaped_html

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

THUMBNAIL_PIXELS = 256  # pixels of the longer side
CELL_PIXELS = 160
CELL_MARGIN, LINE_HEIGHT = 6, 14  # pixels around a cell, of a line of text
MIN_CELL_PIXELS = (
    96  # pixels of a cell that a heading fits above, however small its picture
)
MAX_CELLS = 200
THUMBNAIL_BYTES = 12_000  # a larger picture may have as many for each of its pixels
_WEBP_QUALITIES = (80, 65, 50, 35, 20, 5)
_WEBP_METHOD = 0  # of 0 to 6: 1 ms a thumbnail; 2 takes 11 ms for an eighth fewer bytes
_FONT_PIXELS = 10  # pixels
_MAX_CAPTION_LINES = 3


@functools.cache
def image_read_errors() -> tuple[type[Exception], ...]:
    """Return what Pillow raises for files that are gone, torn or no picture.

    Of crafted ones that is also what its parsers stumble over. Too many pixels are an
    error of their own, or a warning that may be made one.
    """
    from PIL import Image

    stumbles = (ValueError, LookupError, TypeError, EOFError, ArithmeticError)
    bombs = (Image.DecompressionBombError, Image.DecompressionBombWarning)
    return (OSError, SyntaxError, *stumbles, struct.error, zlib.error, *bombs)


@dataclass(frozen=True, slots=True)
class SheetLabels:
    """Headings of a contact sheet, one for each column and row; empty for none."""

    columns: Sequence[str] = field(default_factory=tuple)
    rows: Sequence[str] = field(default_factory=tuple)


def encode_webp(
    image: Image, side: int = THUMBNAIL_PIXELS, heaviest: int | None = None
) -> bytes:
    """Return the picture as WebP, its longer side at most `side` pixels.

    It weighs at most `heaviest` bytes: the quality, and then the size, go down until it
    does. The default is `THUMBNAIL_BYTES` for a thumbnail, and as much for each pixel.
    """
    small = image.convert("RGB")
    small.thumbnail((side, side))
    most = heaviest or max(
        THUMBNAIL_BYTES,
        THUMBNAIL_BYTES * small.width * small.height // THUMBNAIL_PIXELS**2,
    )
    return encode_webp_within(small, most, _smaller_steps(max(small.size)))


def encode_webp_within(
    image: Image,
    heaviest: int,
    steps: Iterable[tuple[int, int]],
    method: int = _WEBP_METHOD,
) -> bytes:
    """Return the first step's WebP of at most `heaviest` bytes, or else the last step's.

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


def _smaller_steps(side: int) -> Iterator[tuple[int, int]]:
    """Yield (side, quality): each quality, then each of a smaller picture, down to 1 px."""
    while side:
        yield from ((side, quality) for quality in _WEBP_QUALITIES)
        side = side * 3 // 4


def img_tag(image: Image, alt: str, side: int = THUMBNAIL_PIXELS) -> str:
    """Return an HTML image with the thumbnail inside it; `alt` is untrusted text."""
    data = base64.b64encode(encode_webp(image, side)).decode()
    source = f"data:image/webp;base64,{data}"
    return f'<img src="{source}" alt="{escaped_html(alt)}" style="max-width:100%">'


def captioned_html(tag: str, caption: str) -> str:
    """Return the HTML image with a line below it; `caption` is untrusted text."""
    return f"<div {NO_FORMULAS_CLASS}>{tag}<br><small>{bidi_isolated(caption)}</small></div>"


def draw_contact_sheet(
    images: Sequence[Image],
    columns: int,
    labels: SheetLabels | None = None,
    cell: int = CELL_PIXELS,
    captions: Sequence[str] = (),
    paper: str = "white",
    ink: str = "black",
) -> Image:
    """Draw the pictures on one page, row by row, each at most `cell` pixels a side.

    `captions`: up to three lines below each. `paper`, `ink`: colours of the page and of
    texts.
    """
    from PIL import Image as Images
    from PIL import ImageDraw

    labels = labels or SheetLabels()
    cell = min(
        cell, max(MIN_CELL_PIXELS, *(side for image in images for side in image.size))
    )
    below = [wrap_text(text, cell, _MAX_CAPTION_LINES) for text in captions]
    pitch = cell + CELL_MARGIN
    drop = pitch + LINE_HEIGHT * max(map(len, below), default=0)
    rows = -(-len(images) // columns)
    left = 110 if any(labels.rows) else CELL_MARGIN
    top = LINE_HEIGHT + 2 * CELL_MARGIN if any(labels.columns) else CELL_MARGIN
    page = Images.new("RGB", (left + columns * pitch, top + rows * drop), paper)
    pen = ImageDraw.Draw(page)
    pen.font = caption_font()
    for column, text in enumerate(labels.columns):
        corner = (left + column * pitch, CELL_MARGIN)
        pen.text(corner, fit_text(text, cell), fill=ink)
    for row, text in enumerate(labels.rows):
        parts = wrap_text(text, left - CELL_MARGIN, cell // LINE_HEIGHT)
        _draw_lines(pen, (CELL_MARGIN, top + row * drop), parts, ink)
    for place, image in enumerate(images):
        small = image.convert("RGB")
        small.thumbnail((cell, cell))
        corner = (left + place % columns * pitch, top + place // columns * drop)
        page.paste(small, corner)
        if place < len(below):
            under = (corner[0], corner[1] + small.height + 1)
            _draw_lines(pen, under, below[place], ink)
    return page


def _draw_lines(
    pen: ImageDraw, corner: tuple[int, int], lines: Sequence[str], ink: str = "black"
) -> None:
    for number, line in enumerate(lines):
        pen.text((corner[0], corner[1] + number * LINE_HEIGHT), line, fill=ink)


def placeholder_image(text: str, side: int) -> Image:
    """Return a grey square with a text in it, for a picture that is not available."""
    from PIL import Image as Images
    from PIL import ImageDraw

    page = Images.new("RGB", (side, side), "#d0d0d0")
    pen = ImageDraw.Draw(page)
    pen.font = caption_font()
    _draw_lines(
        pen, (4, 4), wrap_text(text, side - 8, max(1, (side - 8) // LINE_HEIGHT))
    )
    return page


@functools.cache
def caption_font() -> FreeTypeFont | ImageFont:
    """Return matplotlib's font, which has most of Europe's letters, else Pillow's own."""
    from PIL import ImageFont

    spec = find_spec("matplotlib")  # which is not loaded for it
    places = spec.submodule_search_locations if spec else None
    for place in places or ():
        path = os.path.join(place, "mpl-data", "fonts", "ttf", "DejaVuSans.ttf")
        if os.path.exists(path):
            return ImageFont.truetype(path, _FONT_PIXELS)
    return ImageFont.load_default()


def fit_text(text: str, width: int) -> str:
    """Return the text cut to about `width` pixels, without accents (not in the font)."""
    room = max(1, width // 6)
    plain = (
        c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c)
    )
    line = " ".join("".join(c if c.isprintable() else " " for c in plain).split())
    return line if len(line) <= room else line[: room - 1] + "…"


def wrap_text(text: str, width: int, lines: int) -> list[str]:
    """Return at most `lines` lines of about `width` pixels; the text's own stay apart."""
    import textwrap

    room = max(8, width // 6)
    parts = [textwrap.wrap(fit_text(part, 10_000), room) for part in text.splitlines()]
    found = [line for part in parts for line in part]
    if len(found) <= lines:
        return found
    return [*found[: lines - 1], fit_text(" ".join(found[lines - 1 :]), width)]
