"""What of a widget stays in a saved notebook: thumbnails, where no kernel answers any more.

A widget is shown as two outputs, one after the other: its view, and a page of plain HTML that
stands for it. The page hides itself while a view before it is alive, and hides what JupyterLab says
of a dead one ("Error displaying widget: model not found"); viewers without widgets (GitHub,
nbconvert) show just the page. A view is alive when something in it has the class `LIVE`: a widget's
JavaScript sets it when the kernel has answered; one of ipywidgets alone says
`widget.add_class(LIVE)`.

In a notebook that JupyterLab does not trust (one that was made elsewhere) it takes `<style>` away,
and shows the view's text/plain above the thumbnails.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from itertools import starmap
from typing import Any

from IPython.display import DisplayHandle, display

from imagen_nb.system.markup import NO_FORMULAS, bidi, escaped, within

_display: Any = display  # which has no types

LIVE_CLASS = "imagen-live"
MAX_PAGE_BYTES = 150_000  # bytes of a page of thumbnails, which the notebook keeps

# JupyterLab, Notebook 7 and Voilà; then nbclassic. A dead or loading view has no element in it.
_SAVED_PAGE_STYLE = "".join(
    f"{output}:has(.{LIVE_CLASS})+{output}:has(.imagen-saved),"
    f"{output}:not(:has(> {view} *)):has(+{output} .imagen-saved){{display:none}}"
    for output, view in (
        (".jp-OutputArea-child", ".jp-OutputArea-output"),
        (".output_area", ".output_subarea"),
    )
)


def show_view(widget: Any) -> None:
    """Show a widget, as it is alive."""
    view = widget._repr_mimebundle_()
    _display(
        view[0] if isinstance(view, tuple) else view, raw=True
    )  # anywidget, ipywidgets


def show_page(page: str) -> DisplayHandle:
    """Show, right after a widget, the page (HTML) that stands for it when it is not alive.

    The page may be replaced later, from any thread: `handle.update(saved(page), raw=True)`.
    """
    handle: DisplayHandle = _display(page_output(page), raw=True, display_id=True)
    return handle


def page_output(page: str) -> dict[str, str]:
    """The page as an output; without text, or a terminal would show it besides the widget's own."""
    return {
        "text/html": f'<div class="imagen-saved"><style>{_SAVED_PAGE_STYLE}</style>{page}</div>'
    }


def thumbnails_page(
    small: Iterable[tuple[bytes, str]],
    total: int,
    *,
    side: int,
    columns: int | None = None,
) -> str:
    """A page of thumbnails (WebP, each with its prompt), as many as `WEIGHT` has room for.

    Prompts are untrusted text. Empty thumbnails are left out. `total`: how many pictures there are.
    """
    shown = [(*one, number, side) for number, one in enumerate(small) if one[0]]
    cells = [*within(MAX_PAGE_BYTES, starmap(_thumbnail_figure, shown))]
    across = "auto-fill" if columns is None else columns
    style = f"display:grid;gap:6px;grid-template-columns:repeat({across},{side}px)"
    said = f"{total} pictures"
    if len(cells) < total:
        said = f"the first {len(cells)} of {said}; run the cell to see all"
    grid = f'<div {NO_FORMULAS} style="{style}">{"".join(cells)}</div>'
    return f"{grid}<small>{escaped(said)}</small>"


def _thumbnail_figure(webp: bytes, prompt: str, number: int, side: int) -> str:
    line = escaped(prompt)
    source = f"data:image/webp;base64,{base64.b64encode(webp).decode()}"
    cut = (
        f"max-width:{side}px;overflow:hidden;text-overflow:ellipsis;white-space:nowrap"
    )
    return (
        f'<figure style="margin:0" title="{line}"><img src="{source}" alt="{line}"'
        f' style="max-width:100%"><figcaption style="{cut}"><small>{number} · {bidi(prompt)}'
        "</small></figcaption></figure>"
    )
