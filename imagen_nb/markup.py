"""Untrusted text as HTML: one line, cut, and nothing that reaches beyond itself."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator

PROMPT = 300  # letters of a prompt that are shown
# JupyterLab, and nbclassic, make formulas of $…$ in any text, and links of \href in them.
NO_FORMULAS = 'class="mathjax_ignore tex2jax_ignore"'
_JOINERS = "\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}"  # scripts and emoji need them
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
