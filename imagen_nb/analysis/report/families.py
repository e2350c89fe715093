"""The report's families: trees of pictures that were drawn from one another."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
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
from imagen_nb.system.markup import bidi_isolated, escaped_html
from imagen_nb.system.thumbnails import encode_webp

if TYPE_CHECKING:
    import pandas as pd

    from imagen_nb.cloud.client import Cloud

_MAX_MEMBERS = 120  # that are shown, of all families
_DEEPEST_LIST = 12  # of lists in lists; what lies deeper stands beside its parent
_MEMBER_SIDE, _MEMBER_BYTES = (
    96,
    4_000,
)  # of a picture: pixels of the longer side, of its WebP
_MAX_MEMBER_CHARS = 80
_WAY_LABELS = {  # what the Gallery calls them; others are called as in the record
    "init_image": "init image",
    "like": "like it",
    "reproduce": "again",
}

_Row = Mapping[Any, Any]


def families_section(families: pd.DataFrame, cloud: Cloud | None) -> str:
    """Return the first families as trees of small pictures; "" where there is none.

    Args:
        families: as `Studio.lineage` gives them of a frame.
        cloud: the client that fetches pictures that are not on this machine, or None.
    """
    shown = _first_families(families)
    if shown.empty:
        return ""
    places = complete_from_cloud(locate_pictures(shown), cloud)
    images = map_in_threads(places, lambda place: _load_small(place, cloud))
    rows = shown.to_dict("records")
    members = [
        _member_html(row, image) for row, image in zip(rows, images, strict=True)
    ]
    trees = _trees_html(rows, members)
    note = ""
    if len(shown) < len(families):
        note = f"<p>{len(shown):,} of {len(families):,} pictures with relatives.</p>\n"
    return html_section("Families", note, f'<div class="wide">{trees}</div>\n')


def _first_families(families: pd.DataFrame) -> pd.DataFrame:
    """Return whole families; only the first one may be cut, where it is too large."""
    last = families["family"].iloc[_MAX_MEMBERS:].head(1)
    if last.empty or last.iloc[0] == 0:
        return families.head(_MAX_MEMBERS)
    whole: pd.DataFrame = families[families["family"] < last.iloc[0]]
    return whole


def _load_small(place: PictureLocation, cloud: Cloud | None) -> bytes:
    return encode_webp(load_image(place, cloud), _MEMBER_SIDE, _MEMBER_BYTES)


def _member_html(row: _Row, image: bytes | ImagenError) -> str:
    """Return a picture with its way and prompt; a grey box where it cannot be had."""
    content = '<span class="none"></span>'
    if isinstance(image, bytes):
        data = base64.b64encode(image).decode()
        content = f'<img alt="" src="data:image/webp;base64,{data}">'
    way = _WAY_LABELS.get(row["how"], row["how"])
    small = f"<small>{bidi_isolated(way, _MAX_MEMBER_CHARS)}</small>" if way else ""
    title = f"{image}" if isinstance(image, ImagenError) else row["prompt"]
    return (
        f'<div class="member" title="{escaped_html(title)}">{content}'
        f"<span>{small}{bidi_isolated(row['prompt'], _MAX_MEMBER_CHARS)}</span></div>"
    )


def _trees_html(rows: Sequence[_Row], members: Sequence[str]) -> str:
    """Return lists in lists: below each picture those that came from it."""
    children: dict[str, list[int]] = {}
    ids = {row["id"] for row in rows}
    for place, row in enumerate(rows):
        parent = row["via"] if row["via"] in ids else ""
        children.setdefault(parent, []).append(place)

    def items(places: Sequence[int], depth: int) -> Iterator[str]:
        for place in places:
            below = children.get(rows[place]["id"], [])
            kind = ' class="parent"' if below and depth < _DEEPEST_LIST else ""
            yield f"<li{kind}>{members[place]}"
            if depth < _DEEPEST_LIST:
                yield from tree(below, depth + 1)
                yield "</li>\n"
            else:
                yield "</li>\n"
                yield from items(below, depth)

    def tree(places: Sequence[int], depth: int) -> Iterator[str]:
        if places:
            yield f'<ul class="family">\n{"".join(items(places, depth))}</ul>\n'

    return "".join(tree(children.get("", []), 1))
