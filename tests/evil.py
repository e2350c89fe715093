"""Prompts that are not meant well, and what a page made of them may be."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

EVIL = {
    "an element": "<img src=x onerror=alert(1)>",
    "the end of an attribute": "\" onload=alert(1) x='",
    "the end of a script": "</script><script>alert(1)</script>",
    "the end of JSON": "\"]}');--",
    "a template": "{{7*7}} ${7*7} <%= 7 %> {prompt!r}",
    "Markdown": "![x](http://evil.example/x.png) [a](javascript:alert(1))",
    "TeX": "$\\href{javascript:alert(1)}{x}$ \\(x\\)",
    "right to left": "\u202eevil\u202c \u2067gnp.exe\u2069 \u05d0\u05d1\u05d2",
    "very long": "<b>" + "x" * 10_000,
    "emoji": "a \U0001f6a4 with \U0001f468\u200d\U0001f469\u200d\U0001f467",
    "a NUL": "a\0boat",
    "lines": "a\nboat\r\n<br>\u2028at sea",
    "escapes": "\x1b[2J\x1b]0;evil\x07\x9b31m red",
}
_ELEMENTS = {
    "div", "img", "br", "small", "bdi", "figure", "figcaption", "table", "thead", "tbody", "tr",
    "th", "td", "code", "b", "style", "p",
}  # fmt: skip
_ATTRIBUTES = {"src", "alt", "style", "title", "class", "border", "scoped"}
_STEERING = {*"\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"}


@dataclass
class Page(HTMLParser):
    """The texts of a page, and whatever is in it that none of ours has."""

    page: str
    texts: list[str] = field(default_factory=list)
    alts: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.foreign += [tag] if tag not in _ELEMENTS else []
        self.foreign += [f"{tag} {name}" for name in given if name not in _ATTRIBUTES]
        source = given.get("src") or "data:image/webp"
        self.foreign += [source] if not source.startswith("data:image/webp") else []
        self.alts += [given["alt"] or ""] if "alt" in given else []

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def steers(text: str, lines: bool = False) -> list[str]:
    """Characters of the text that move a cursor, colour a terminal or turn what is beside them."""
    allowed = "\n" if lines else ""
    control = [c for c in text if (ord(c) < 32 or 127 <= ord(c) < 160) and c not in allowed]
    return control + [c for c in text if c in _STEERING]
