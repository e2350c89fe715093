"""Small pictures for notebooks: thumbnails of a few kilobytes and labelled contact sheets."""

from __future__ import annotations

import base64
import html
import io
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

THUMBNAIL = 256  # pixels of the longer side
CELL = 160
MARGIN, LINE = 6, 14  # pixels around a cell, of a line of text
LEGIBLE = 96  # pixels of a cell that a heading fits above, however small its picture
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
    source = f"data:image/webp;base64,{data}"
    return f'<img src="{source}" alt="{html.escape(alt)}" style="max-width:100%">'


def captioned(tag: str, caption: str) -> str:
    """The HTML image with a line below it; `caption` is untrusted text."""
    return f"<div>{tag}<br><small>{html.escape(caption)}</small></div>"


def contact_sheet(
    images: Sequence[Image], columns: int, labels: Labels | None = None, cell: int = CELL
) -> Image:
    """The pictures on one page, row by row, each at most `cell` pixels wide and high."""
    from PIL import Image as Images
    from PIL import ImageDraw

    labels = labels or Labels()
    cell = min(cell, max(LEGIBLE, *(side for image in images for side in image.size)))
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
    """The text cut to about `width` pixels; accents, which the font lacks, are left out."""
    room = max(1, width // 6)
    plain = (c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
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
