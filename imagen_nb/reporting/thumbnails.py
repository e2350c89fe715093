"""The report's pictures, so small that all of them fit into it."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from imagen_nb.errors import ImagenError
from imagen_nb.frames.parallel import each
from imagen_nb.frames.places import Place, decoded, described, places
from imagen_nb.reporting.text import bidi, escaped, section

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image

    from imagen_nb.cloud.client import Cloud

_SIZES = (  # pixels of the longer side, quality of WebP: from the best to what always fits
    (224, 80), (160, 75), (128, 70), (128, 50), (112, 50), (96, 50), (64, 50), (64, 10),
)  # fmt: skip
_QUICK = 2  # WebP's method: a third of the time for 3 % more bytes
_PROMPT, _BACKEND = 100, 40  # letters


def thumbnails(df: pd.DataFrame, cloud: Cloud | None, most: int, weight: int) -> str:
    """The first `most` pictures, in at most `weight` bytes together, as HTML."""
    shown = df.iloc[:most]
    if shown.empty:
        return ""
    share = weight // len(shown) - 1
    found = described(places(shown), cloud)
    rows = [*zip(found, shown.to_dict("records"), strict=True)]
    cells = each(rows, lambda row: _cell(row[0], row[1], cloud, share), "reading pictures")
    kept = [*_within(weight, (cell for cell in cells if isinstance(cell, str)))]
    said = ""
    if len(kept) < len(df):
        said = f"<p>The first {len(kept):,} of {len(df):,} pictures.</p>\n"
    return section("Pictures", said, f'<div class="pictures">\n{"".join(kept)}</div>')


def _cell(place: Place, row: Mapping[Any, Any], cloud: Cloud | None, share: int) -> str:
    """One picture with what it was drawn from; a grey box with the reason where there is none."""
    facts = f"seed {row['seed']} · {row['steps']} steps · {row['width']}×{row['height']}"
    caption = (
        f"<figcaption><b>{bidi(row['prompt'], _PROMPT)}</b>"
        f"<small>{escaped(facts)} · {bidi(row['backend'], _BACKEND)}</small></figcaption>"
    )
    try:
        image = decoded(place, cloud)
    except ImagenError as error:
        return f'<figure><div class="none">{escaped(error, 120)}</div>{caption}</figure>\n'
    alt = escaped(row["prompt"], _PROMPT)
    frame = f'<figure><img alt="{alt}" src="data:image/webp;base64,">{caption}</figure>\n'
    data = _encoded(image, (share - len(frame.encode())) * 3 // 4 - 3)
    return frame.replace('base64,">', f'base64,{base64.b64encode(data).decode()}">', 1)


def _encoded(image: Image, room: int) -> bytes:
    """The picture as WebP, as good as it fits into so many bytes, or else as small as it gets."""
    data = b""
    small = image.convert("RGB")
    for side, quality in _SIZES:
        small.thumbnail((side, side))
        buffer = io.BytesIO()
        small.save(buffer, "WEBP", quality=quality, method=_QUICK)
        data = buffer.getvalue()
        if len(data) <= room:
            break
    return data


def _within(weight: int, cells: Iterator[str]) -> Iterator[str]:
    """As many as weigh no more together."""
    for cell in cells:
        weight -= len(cell.encode())
        if weight < 0:
            return
        yield cell
