"""The kinds of files that pictures are: PNG, which is drawn, and what is adopted."""

from __future__ import annotations

import os
import re

SUFFIXES = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp"}
_BEGINNINGS = {  # by what the first twelve bytes are
    re.compile(rb"\x89PNG\r\n\x1a\n"): "image/png",
    re.compile(rb"\xff\xd8\xff"): "image/jpeg",
    re.compile(rb"RIFF....WEBP", re.DOTALL): "image/webp",
}


def media_type_of(data: bytes) -> str | None:
    """Return what kind of picture a file is by its first bytes; None for no picture.

    Example:
        >>> media_type_of(Path("2026-05-11-a-boat-11.png").read_bytes())
        'image/png'
    """
    return next(
        (kind for begin, kind in _BEGINNINGS.items() if begin.match(data)), None
    )


def media_type_of_name(name: str) -> str:
    """Return what kind of picture a file is by its suffix; PNG for any other suffix."""
    suffix = os.path.splitext(name)[1]
    return next((kind for kind, one in SUFFIXES.items() if one == suffix), "image/png")
