"""The head of a page of HTML that runs nothing and loads as little as can be."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from imagen_nb._version import __version__
from imagen_nb.markup import escaped

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
