"""The report's pictures, as small as needed for all of them to fit into the page."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from imagen_nb.analysis.report.tables import html_section
from imagen_nb.errors import ImagenError
from imagen_nb.frames.pictures.locate import (
    PictureLocation,
    complete_from_cloud,
    load_image,
    locate_pictures,
)
from imagen_nb.frames.pictures.parallel import map_in_threads
from imagen_nb.system.markup import bidi_isolated, escaped_html, within_budget
from imagen_nb.system.thumbnails import encode_webp_within

if TYPE_CHECKING:
    import pandas as pd

    from imagen_nb.cloud.client import Cloud

_SIDES_AND_QUALITIES = (  # longer side in pixels, quality of WebP; the last always fits
    (224, 80),
    (160, 75),
    (128, 70),
    (128, 50),
    (112, 50),
    (96, 50),
    (64, 50),
    (64, 10),
)
_THUMBNAIL_WEBP_METHOD = 2  # a third of the default's time for 3 % more bytes
_MAX_PROMPT_CHARS, _MAX_BACKEND_CHARS = 100, 40
_MARKUP_BYTES = 100  # around a picture and its texts


def thumbnails_section(
    df: pd.DataFrame, cloud: Cloud | None, most: int, max_bytes: int
) -> str:
    """Return the first `most` pictures as HTML of about `max_bytes` at most.

    `cloud`: the client that fetches pictures that are not on this machine, or None.
    """
    shown = df.iloc[:most]
    if shown.empty:
        return ""
    rows = shown.to_dict("records")
    captions = [_figure_caption(row) for row in rows]
    alts = [escaped_html(row["prompt"], _MAX_PROMPT_CHARS) for row in rows]
    share = max_bytes // len(shown)
    limits = [
        _image_bytes_within(share, caption, alt)
        for caption, alt in zip(captions, alts, strict=True)
    ]
    work = [
        *zip(complete_from_cloud(locate_pictures(shown), cloud), limits, strict=True)
    ]
    images = map_in_threads(
        work, lambda one: _load_webp(*one, cloud), "reading pictures"
    )
    figures = [*within_budget(max_bytes, map(_figure_html, images, alts, captions))]
    note = ""
    if len(figures) < len(df):
        note = f"<p>The first {len(figures):,} of {len(df):,} pictures.</p>\n"
    gallery = f'<div class="pictures">\n{"".join(figures)}</div>'
    return html_section("Pictures", note, gallery)


def _image_bytes_within(share: int, caption: str, alt: str) -> int:
    """Return how many bytes an image may have, if the whole figure may have `share`."""
    left = share - len((caption + alt).encode()) - _MARKUP_BYTES
    return left * 3 // 4  # base64 writes three bytes as four characters


def _load_webp(place: PictureLocation, max_bytes: int, cloud: Cloud | None) -> bytes:
    """Return the picture as WebP as good as fits, or else as small as it gets."""
    image = load_image(place, cloud)
    return encode_webp_within(
        image, max_bytes, _SIDES_AND_QUALITIES, _THUMBNAIL_WEBP_METHOD
    )


def _figure_caption(row: Mapping[Any, Any]) -> str:
    size = f"{row['width']}×{row['height']}"
    facts = escaped_html(f"seed {row['seed']} · steps {row['steps']} · {size}")
    prompt = bidi_isolated(row["prompt"], _MAX_PROMPT_CHARS)
    backend = bidi_isolated(row["backend"], _MAX_BACKEND_CHARS)
    return f"<figcaption><b>{prompt}</b><small>{facts} · {backend}</small></figcaption>"


def _figure_html(image: bytes | ImagenError, alt: str, caption: str) -> str:
    """Return a picture with its caption; a grey box with the reason for an error."""
    if isinstance(image, ImagenError):
        content = f'<div class="none">{escaped_html(image, 120)}</div>'
    else:
        data = base64.b64encode(image).decode()
        content = f'<img alt="{alt}" src="data:image/webp;base64,{data}">'
    return f"<figure>{content}{caption}</figure>\n"
