"""The report's pictures, so small that all of them fit into it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from imagen_nb.analysis.report.tables import html_section
from imagen_nb.errors import ImagenError
from imagen_nb.frames.pictures.locate import Place, decoded, described, places
from imagen_nb.frames.pictures.parallel import each
from imagen_nb.system.markup import bidi, escaped, within
from imagen_nb.system.thumbnails import webp_within

if TYPE_CHECKING:
    import pandas as pd

    from imagen_nb.cloud.client import Cloud

_SIDES_AND_QUALITIES = (  # pixels of the longer side, quality of WebP: from the best to what always fits
    (224, 80), (160, 75), (128, 70), (128, 50), (112, 50), (96, 50), (64, 50), (64, 10),
)  # fmt: skip
_WEBP_METHOD = 2  # WebP's method: a third of the time for 3 % more bytes
_MAX_PROMPT_CHARS, _MAX_BACKEND_CHARS = 100, 40  # letters
_MARKUP_BYTES = 100  # bytes around picture and texts


def thumbnails_section(
    df: pd.DataFrame, cloud: Cloud | None, most: int, weight: int
) -> str:
    """The first `most` pictures, in at most `weight` bytes together, as HTML."""
    shown = df.iloc[:most]
    if shown.empty:
        return ""
    share = weight // len(shown)
    rows = shown.to_dict("records")
    captions = [_figure_caption(row) for row in rows]
    alts = [escaped(row["prompt"], _MAX_PROMPT_CHARS) for row in rows]
    rooms = [
        (share - len((caption + alt).encode()) - _MARKUP_BYTES)
        * 3
        // 4  # base64 has 4 letters for 3
        for caption, alt in zip(captions, alts, strict=True)
    ]
    work = [*zip(described(places(shown), cloud), rooms, strict=True)]
    made = each(work, lambda one: _load_webp(*one, cloud), "reading pictures")
    cells = map(_figure_html, made, alts, captions)
    kept = [*within(weight, cells)]
    said = ""
    if len(kept) < len(df):
        said = f"<p>The first {len(kept):,} of {len(df):,} pictures.</p>\n"
    return html_section(
        "Pictures", said, f'<div class="pictures">\n{"".join(kept)}</div>'
    )


def _load_webp(place: Place, room: int, cloud: Cloud | None) -> bytes:
    """As good as it fits into so many bytes, or else as small as it gets."""
    return webp_within(decoded(place, cloud), room, _SIDES_AND_QUALITIES, _WEBP_METHOD)


def _figure_caption(row: Mapping[Any, Any]) -> str:
    """What a picture was drawn from."""
    facts = (
        f"seed {row['seed']} · steps {row['steps']} · {row['width']}×{row['height']}"
    )
    return (
        f"<figcaption><b>{bidi(row['prompt'], _MAX_PROMPT_CHARS)}</b>"
        f"<small>{escaped(facts)} · {bidi(row['backend'], _MAX_BACKEND_CHARS)}</small></figcaption>"
    )


def _figure_html(made: bytes | ImagenError, alt: str, caption: str) -> str:
    """One picture with its caption; a grey box with the reason where there is none."""
    if isinstance(made, ImagenError):
        shown = f'<div class="none">{escaped(made, 120)}</div>'
    else:
        data = base64.b64encode(made).decode()
        shown = f'<img alt="{alt}" src="data:image/webp;base64,{data}">'
    return f"<figure>{shown}{caption}</figure>\n"
