"""Checks the built documentation site: its links lead somewhere, and it needs no network.

    python tools/check_site.py build/docs    what is wrong, a line each; exit code 1 if anything is

Links to other hosts are not followed: a page may name them, and nothing may be loaded from them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_LOADED = {  # what a browser fetches by itself, and the attribute that says from where
    **dict.fromkeys(("script", "img", "iframe", "source", "audio", "video"), "src"),
    "link": "href",
    "object": "data",
}
_LOADING_RELATIONS = {"stylesheet", "icon", "preload", "preconnect", "dns-prefetch"}
_REMOTE_IN_CSS = re.compile(r"(?:@import\s+|url\()[\"']?(?:https?:)?//[^\"')\s]+")
_REMOTE_IN_JS = re.compile(r"https?://[\w.-]*(?:cdn|unpkg|jsdelivr|fonts)[\w.-]*")


class Page(HTMLParser):
    """What a page loads, links to, and can be linked to by."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.anchors = {""}  # its top

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        relations = set(values.get("rel", "").split())
        address = values.get(_LOADED.get(tag, ""))
        if address and (tag != "link" or relations & _LOADING_RELATIONS):
            self.loads.append(address)
        if tag == "a" and "href" in values:
            self.links.append(values["href"])


def load_pages(site: Path) -> dict[Path, Page]:
    """Every page of the site, parsed."""
    pages = {}
    for file in sorted(site.rglob("*.html")):
        pages[file] = page = Page()
        page.feed(file.read_text(encoding="utf-8"))
    return pages


def is_remote(address: str) -> bool:
    return address.startswith("//") or urlsplit(address).scheme in ("http", "https")


def check_loads(site: Path, pages: dict[Path, Page]) -> Iterator[str]:
    """A line for each thing that would be fetched from another host, or is not there."""
    for file, page in pages.items():
        for address in page.loads:
            where = file.relative_to(site)
            if is_remote(address):
                yield f"{where} loads {address} from another host"
            elif not address.startswith("data:"):
                yield from _check_link(site, file, address, pages)
    for pattern, kind in ((_REMOTE_IN_CSS, "css"), (_REMOTE_IN_JS, "js")):
        for file in sorted(site.rglob(f"*.{kind}")):
            for found in pattern.findall(file.read_text(encoding="utf-8")):
                yield f"{file.relative_to(site)} names {found}"


def check_links(site: Path, pages: dict[Path, Page]) -> Iterator[str]:
    """A line for each link within the site that leads nowhere."""
    for file, page in pages.items():
        for address in page.links:
            if not urlsplit(address).scheme and not is_remote(address):
                yield from _check_link(site, file, address, pages)


def _check_link(
    site: Path, file: Path, address: str, pages: dict[Path, Page]
) -> Iterator[str]:
    parts = urlsplit(address)
    target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
    where = file.relative_to(site)
    if not target.is_file():
        yield f"{where} links to {address}, which is not there"
    elif target in pages and unquote(parts.fragment) not in pages[target].anchors:
        yield f"{where} links to {address}, which has no such part"


def check_search(site: Path) -> Iterator[str]:
    """A line if the search cannot work from files: its index must come as a script."""
    page = (site / "search.html").read_text(encoding="utf-8")
    if "searchindex.js" not in page or not (site / "searchindex.js").is_file():
        yield "search.html does not load its index as a script: it needs a server"


def check(site: Path) -> list[str]:
    """Everything that is wrong with the site, a line each."""
    site = site.resolve()
    pages = load_pages(site)
    problems = [*check_loads(site, pages), *check_links(site, pages)]
    return [*dict.fromkeys([*problems, *check_search(site)])]


def main() -> int:
    """The exit code: 1 if anything is wrong."""
    problems = check(Path(sys.argv[1]))
    print("\n".join(problems) or "the site is whole, and needs no network")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
