"""Untrusted text and plain values as HTML."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Iterable, Sequence

_JOINERS = "\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}"  # scripts and emoji need them
_SHORT = 30  # letters that stay on one line in a table
_UNSEEN = "\N{REPLACEMENT CHARACTER}"


def escaped(text: object, most: int = 200) -> str:
    """Untrusted text as one line of HTML, cut; what steers the text around it is replaced."""
    line = " ".join(str(text)[: 4 * most].split())
    plain = "".join(c if c.isprintable() or c in _JOINERS else _UNSEEN for c in line)
    return html.escape(plain if len(plain) <= most else _whole(plain[: most - 1]) + "…")


def _whole(text: str) -> str:
    """The text without half an emoji or letter at its end."""
    kept = text.rstrip(_JOINERS)
    return kept if not unicodedata.combining(kept[-1:] or " ") else kept[:-1]


def bidi(text: object, most: int = 200) -> str:
    """The same, its direction its own: what is written to the left moves nothing beside it."""
    return f"<bdi>{escaped(text, most)}</bdi>"


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
            yield f"<td{kind}>{bidi(value)}</td>"
        else:
            yield f'<td class="n">{escaped(value)}</td>'
