"""The report's figures: those of `analysis`, as images in the page."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from imagen_nb import analysis
from imagen_nb.analysis.style import FIGURE_INCHES, detached_axes

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from imagen_nb.cloud.client import Cloud

_MAX_SVG_BYTES = 250_000  # a larger figure becomes a WebP
_GRID_INCHES = (8.5, 9.5)  # width, height

CHARTS: dict[str, Callable[..., Axes]] = {  # by the description for screen readers
    "Bars: pictures over time, by backend.": analysis.per_day,
    "Boxes: seconds that a picture took, by backend.": analysis.latency,
    "Boxes: seconds that a picture took, by size.": partial(
        analysis.latency, by="size"
    ),
    "Boxes: seconds that a picture took, by number of steps.": partial(
        analysis.latency, by="steps"
    ),
    "Line: what all pictures cost so far.": analysis.cost,
    "Bars: the most frequent tags.": analysis.tags,
}


def charts_html(df: pd.DataFrame) -> str:
    """Return the figures that need no picture files, as HTML; no empty ones."""
    return f'<div class="charts">\n{"".join(_chart_tags(df))}</div>\n'


def _chart_tags(df: pd.DataFrame) -> Iterator[str]:
    for description, draw in CHARTS.items():
        alt = f"{description} The tables have the numbers."
        ax = draw(df, ax=detached_axes(FIGURE_INCHES))
        if not ax.has_data():
            continue
        yield chart_html(ax, alt)


def chart_html(ax: Axes, alt: str) -> str:
    """Return a figure as HTML; `alt`: what it is, for screen readers."""
    svg = _svg_bytes(ax)
    if len(svg) <= _MAX_SVG_BYTES:
        return _chart_tag("chart", alt, "svg+xml", svg)
    return _chart_tag("chart", alt, "webp", _webp_bytes(ax))


def picture_grid_html(df: pd.DataFrame, cloud: Cloud | None) -> str:
    """Return the pictures by seeds and settings, as HTML.

    `cloud`: the client that fetches pictures that are not on this machine, or None.
    """
    ax = analysis.grid(df, detached_axes(_GRID_INCHES), cloud)
    alt = "Pictures in a grid: seeds across, settings down."
    return _chart_tag("grid", alt, "webp", _webp_bytes(ax))


def _svg_bytes(ax: Axes) -> bytes:
    from matplotlib import rc_context

    buffer = io.BytesIO()
    with rc_context({"svg.hashsalt": "imagen", "svg.fonttype": "path"}):
        ax.figure.get_figure(root=True).savefig(
            buffer, format="svg", transparent=True, metadata={"Date": None}
        )
    return buffer.getvalue()


def _webp_bytes(ax: Axes) -> bytes:
    from PIL import Image

    buffer, small = io.BytesIO(), io.BytesIO()
    ax.figure.get_figure(root=True).savefig(
        buffer, format="png", dpi=150, bbox_inches="tight"
    )
    Image.open(buffer).convert("RGB").save(small, "WEBP", quality=80)
    return small.getvalue()


def _chart_tag(kind: str, alt: str, type: str, data: bytes) -> str:
    source = f"data:image/{type};base64,{base64.b64encode(data).decode()}"
    return f'<img class="{kind}" alt="{html.escape(alt)}" src="{source}">\n'
