"""Untrusted text as HTML, cut and contained, and the frame of self-contained pages."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterable, Iterator
from pathlib import Path

from imagen_nb._version import __version__

MAX_PROMPT_CHARS = 300  # of a prompt that is shown
# JupyterLab, and nbclassic, make formulas of $…$ in any text, and links of \href in them.
NO_FORMULAS_CLASS = 'class="mathjax_ignore tex2jax_ignore"'
# Scripts and emoji need them, though they are not printable.
_JOINERS = "\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}"
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def truncated(text: str, most: int = MAX_PROMPT_CHARS) -> str:
    """Return at most `most` characters, the last one … where there are more."""
    return text if len(text) <= most else text[: most - 1].rstrip(_JOINERS) + "…"


def one_line(text: object, most: int = MAX_PROMPT_CHARS) -> str:
    """Return the text as one line of at most `most` characters, not yet escaped.

    Control characters, and those that steer the text around them, are replaced.
    """
    line = " ".join(str(text)[: 4 * most].split())
    plain = "".join(
        c if c.isprintable() or c in _JOINERS else _REPLACEMENT for c in line
    )
    return truncated(plain, most)


def escaped_html(text: object, most: int = MAX_PROMPT_CHARS) -> str:
    """Return `one_line` escaped for an element or an attribute."""
    return html.escape(one_line(text, most))


def bidi_isolated(text: object, most: int = MAX_PROMPT_CHARS) -> str:
    """Return `one_line` as an element; right-to-left text moves nothing beside it."""
    return f"<bdi>{escaped_html(text, most)}</bdi>"


def within_budget(weight: int, parts: Iterable[str]) -> Iterator[str]:
    """Yield the parts of a page as long as together they weigh at most `weight` bytes."""
    for part in parts:
        weight -= len(part.encode())
        if weight < 0:
            return
        yield part


GENERATOR_TAG = '<meta name="generator" content="imagen_nb '


def page_head(title: str, style: Path, images: str) -> str:
    """Return everything before a page's own content, with the style inside it.

    Only this very style applies, no script runs, and pictures load from `images` alone:
    sources of a Content-Security-Policy (https://www.w3.org/TR/CSP3/).
    """
    text = style.read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; img-src {images}; style-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'{GENERATOR_TAG}{__version__}">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escaped_html(title)}</title>\n<style>{text}</style>\n</head>\n<body>\n<main>\n"
    )


PAGE_END = "</main>\n</body>\n</html>\n"
