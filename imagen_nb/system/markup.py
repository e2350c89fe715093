"""Untrusted text as HTML: one line, cut, and nothing that reaches beyond itself."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterable, Iterator
from pathlib import Path

from imagen_nb._version import __version__

PROMPT = 300  # letters of a prompt that are shown
# JupyterLab, and nbclassic, make formulas of $…$ in any text, and links of \href in them.
NO_FORMULAS = 'class="mathjax_ignore tex2jax_ignore"'
_JOINERS = (
    "\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}"  # scripts and emoji need them
)
_UNSEEN = "\N{REPLACEMENT CHARACTER}"


def cut(text: str, most: int = PROMPT) -> str:
    """At most so many letters, the last one … where there are more."""
    return text if len(text) <= most else text[: most - 1].rstrip(_JOINERS) + "…"


def legible(text: object, most: int = PROMPT) -> str:
    """The text as one line of at most `most` letters, not yet escaped.

    Control characters, and those that steer the text around them, are replaced.
    """
    line = " ".join(str(text)[: 4 * most].split())
    plain = "".join(c if c.isprintable() or c in _JOINERS else _UNSEEN for c in line)
    return cut(plain, most)


def escaped(text: object, most: int = PROMPT) -> str:
    """The same, for an element or an attribute."""
    return html.escape(legible(text, most))


def bidi(text: object, most: int = PROMPT) -> str:
    """The same as an element: what is written to the left moves nothing beside it."""
    return f"<bdi>{escaped(text, most)}</bdi>"


def within(weight: int, parts: Iterable[str]) -> Iterator[str]:
    """As many of these pieces of a page as weigh no more together, in bytes."""
    for part in parts:
        weight -= len(part.encode())
        if weight < 0:
            return
        yield part


MARK = '<meta name="generator" content="imagen_nb '


def head(title: str, style: Path, images: str) -> str:
    """Everything before the page's own content, with the style inside it.

    Only this very style applies, no script runs, and pictures load from `images` alone, which are
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
        f'{MARK}{__version__}">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escaped(title)}</title>\n<style>{text}</style>\n</head>\n<body>\n<main>\n"
    )


END = "</main>\n</body>\n</html>\n"
