"""What of a widget stays in a saved notebook: thumbnails, where no kernel answers.

A widget is shown as two outputs, one after the other: its view, and a page of plain
HTML that stands for it. The page hides itself while a view before it is alive, and
hides what JupyterLab says of a dead one ("Error displaying widget: model not found");
viewers without widgets (GitHub, nbconvert) show just the page. A view is alive when
something in it has the class `LIVE_CLASS`: a widget's JavaScript sets it when the
kernel has answered; one of ipywidgets alone says `widget.add_class(LIVE_CLASS)`.

In a notebook that JupyterLab does not trust (one that was made elsewhere) it takes
`<style>` away, and shows the view's text/plain above the thumbnails.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

from IPython.display import DisplayHandle, display

from imagen_nb.system.markup import (
    NO_FORMULAS_CLASS,
    bidi_isolated,
    escaped_html,
    within_budget,
)
from imagen_nb.system.terminal import counted_pictures

_display: Any = display  # which has no types

LIVE_CLASS = "imagen-live"
_WHOLE = 2000  # characters of a prompt that the page has: all of nearly every one
_LINES = 9  # of text below a thumbnail; the others are scrolled to
MAX_PAGE_BYTES = 150_000  # bytes of a page of thumbnails, which the notebook keeps

# JupyterLab, Notebook 7 and Voilà; then nbclassic. A dead or loading view is empty.
_SAVED_PAGE_STYLE = "".join(
    f"{output}:has(.{LIVE_CLASS})+{output}:has(.imagen-saved),"
    f"{output}:not(:has(> {view} *)):has(+{output} .imagen-saved){{display:none}}"
    for output, view in (
        (".jp-OutputArea-child", ".jp-OutputArea-output"),
        (".output_area", ".output_subarea"),
    )
)


def show_view(widget: Any) -> None:
    """Show the view of a widget that is alive."""
    view = widget._repr_mimebundle_()
    if isinstance(view, tuple):  # anywidget's has metadata, too; ipywidgets' has none
        view = view[0]
    _display(view, raw=True)


def show_page(page: str) -> DisplayHandle:
    """Show, right after a widget's view, the HTML page that stands for a dead one.

    The page may be replaced later, from any thread, by the handle that is returned:
    `handle.update(page_output(page), raw=True)`.
    """
    handle: DisplayHandle = _display(page_output(page), raw=True, display_id=True)
    return handle


def page_output(page: str) -> dict[str, str]:
    """Return the page as an output.

    It has no text/plain, or a terminal would show that beside the widget's own.
    """
    style = f"<style>{_SAVED_PAGE_STYLE}</style>"
    return {"text/html": f'<div class="imagen-saved">{style}{page}</div>'}


def thumbnails_page(
    thumbnails: Iterable[tuple[bytes, str] | tuple[bytes, str, str]],
    total: int,
    *,
    side: int,
    columns: int | None = None,
) -> str:
    """Return a page of thumbnails as HTML, as many as `MAX_PAGE_BYTES` has room for.

    Args:
        thumbnails: WebP files, each with its prompt and its settings in a line, which
            are untrusted texts. Empty files are left out, and keep their number.
        total: how many pictures there are.
        side: pixels of a thumbnail's side.
        columns: how many side by side; as many as there is room for unless given.
    """
    figures = [
        _thumbnail_figure(webp, prompt, "".join(settings), number, side)
        for number, (webp, prompt, *settings) in enumerate(thumbnails)
        if webp
    ]
    shown = [*within_budget(MAX_PAGE_BYTES, figures)]
    across = "auto-fill" if columns is None else columns
    style = f"display:grid;gap:8px;grid-template-columns:repeat({across},{side}px)"
    note = counted_pictures(total)
    if len(shown) < total:
        note = f"the first {len(shown)} of {note}; run the cell to see all"
    grid = f'<div {NO_FORMULAS_CLASS} style="{style}">{"".join(shown)}</div>'
    return f"{grid}<small>{escaped_html(note)}</small>"


def _thumbnail_figure(
    webp: bytes, prompt: str, settings: str, number: int, side: int
) -> str:
    source = f"data:image/webp;base64,{base64.b64encode(webp).decode()}"
    title = escaped_html(" \N{EM DASH} ".join(filter(None, (prompt, settings))), _WHOLE)
    lines = (
        f"max-width:{side}px;max-height:{_LINES}em;overflow:auto;overflow-wrap:anywhere"
    )
    below = bidi_isolated(prompt, _WHOLE)
    if settings:
        below += f"<br>{bidi_isolated(settings)}"
    return (
        f'<figure style="margin:0" title="{title}"><img src="{source}"'
        f' alt="{escaped_html(prompt)}" style="max-width:100%">'
        f'<figcaption style="{lines}"><small>{number} · {below}</small>'
        "</figcaption></figure>"
    )
