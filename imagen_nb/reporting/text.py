"""Sections and tables of the page; what is in them is untrusted text."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from imagen_nb.system.markup import bidi, escaped

_SHORT, _CELL = 30, 200  # letters of a table's cell: that stay on one line, that are shown


def section(title: str, *parts: str) -> str:
    """A part of the page with a heading; the parts are HTML."""
    return f"<section>\n<h2>{html.escape(title)}</h2>\n{''.join(parts)}\n</section>\n"


def table(texts: Sequence[str], numbers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table: columns of untrusted text, then columns of numbers, right-aligned by the style."""
    names = [f"<th>{html.escape(name)}</th>" for name in texts]
    names += [f'<th class="n">{html.escape(name)}</th>' for name in numbers]
    lines = "".join(f"<tr>{''.join(_cells(row, len(texts)))}</tr>\n" for row in rows)
    head = f"<thead><tr>{''.join(names)}</tr></thead>"
    return f'<div class="wide"><table>{head}\n<tbody>\n{lines}</tbody></table></div>\n'


def _cells(row: Sequence[object], texts: int) -> Iterable[str]:
    for place, value in enumerate(row):
        if place < texts:
            kind = ' class="long"' if len(str(value)) > _SHORT else ""
            yield f"<td{kind}>{bidi(value, _CELL)}</td>"
        else:
            yield f'<td class="n">{escaped(value, _CELL)}</td>'
