"""Small pictures for notebooks: thumbnails of a few kilobytes and labelled contact sheets."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

THUMBNAIL = 256  # pixels of the longer side
CELL = 160
MARGIN, LINE = 6, 14  # pixels around a cell, of a line of text
MAX_CELLS = 200


@dataclass(frozen=True, slots=True)
class Labels:
    """Headings of a contact sheet: one for each column and row, empty for none."""

    columns: Sequence[str] = field(default_factory=tuple)
    rows: Sequence[str] = field(default_factory=tuple)


def webp(image: Image, side: int = THUMBNAIL) -> bytes:
    """The picture as WebP, its longer side at most `side` pixels."""
    small = image.convert("RGB")
    small.thumbnail((side, side))
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=80)
    return buffer.getvalue()


def img_tag(image: Image, alt: str, side: int = THUMBNAIL) -> str:
    """An HTML image with the thumbnail inside it; `alt` is untrusted text."""
    data = base64.b64encode(webp(image, side)).decode()
    return f'<img src="data:image/webp;base64,{data}" alt="{html.escape(alt)}">'


def contact_sheet(
    images: Sequence[Image], columns: int, labels: Labels | None = None, cell: int = CELL
) -> Image:
    """The pictures on one page, row by row, each at most `cell` pixels wide and high."""
    from PIL import Image as Images
    from PIL import ImageDraw

    labels = labels or Labels()
    pitch = cell + MARGIN
    rows = -(-len(images) // columns)
    left = 110 if any(labels.rows) else MARGIN
    top = LINE + 2 * MARGIN if any(labels.columns) else MARGIN
    page = Images.new("RGB", (left + columns * pitch, top + rows * pitch), "white")
    pen = ImageDraw.Draw(page)
    for column, text in enumerate(labels.columns):
        pen.text((left + column * pitch, MARGIN), fitted(text, cell), fill="black")
    for row, text in enumerate(labels.rows):
        for number, part in enumerate(wrapped(text, left - MARGIN, cell // LINE)):
            pen.text((MARGIN, top + row * pitch + number * LINE), part, fill="black")
    for place, image in enumerate(images):
        small = image.convert("RGB")
        small.thumbnail((cell, cell))
        page.paste(small, (left + place % columns * pitch, top + place // columns * pitch))
    return page


def fitted(text: str, width: int) -> str:
    """The text cut to about `width` pixels, control characters shown as spaces."""
    room = max(1, width // 6)
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= room else line[: room - 1] + "…"


def wrapped(text: str, width: int, lines: int) -> list[str]:
    """The text in at most `lines` lines of about `width` pixels."""
    import textwrap

    return textwrap.wrap(fitted(text, 10_000), max(8, width // 6), max_lines=lines, placeholder="…")
