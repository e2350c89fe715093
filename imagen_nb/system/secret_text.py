"""Secrets as text: read without the white space of files, and taken out of what libraries say."""

from __future__ import annotations

import html
import json
import re
import unicodedata
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from pydantic import SecretStr

_BACKSLASHES = (
    r"(?:\\|%5C)*+"  # any number, and no other number tried: it takes no time
)


def bare(text: str) -> str:
    """The text without white space around it.

    Raises `ValueError`, which does not quote it, for a control character that is left: no header
    can hold one, and what reads headers would name all of the value.
    """
    inside = text.strip()
    if any(unicodedata.category(letter) == "Cc" for letter in inside):
        raise ValueError("a control character")
    return inside


def scrubbed(said: object, secrets: Iterable[SecretStr | None]) -> str:
    """What a library says, with … for each secret in it, however that is quoted there."""
    text = str(said)
    values = {
        secret.get_secret_value().strip().replace("\\", "")
        for secret in secrets
        if secret
    }
    for value in sorted(values - {""}, key=len, reverse=True):  # one may hold another
        pattern = _BACKSLASHES.join(map(_quoted, value))
        text = re.sub(
            pattern, "…", text, flags=re.IGNORECASE
        )  # escapes are %2f and %2F
    return text


def _quoted(letter: str) -> str:
    """What matches a letter as it is, or by repr of text or bytes, in JSON, HTML or a URL.

    It may have any number of backslashes where there are some: text quoted twice has more.
    """
    data = letter.encode(errors="surrogatepass")
    ways = {letter, repr(letter)[1:-1], repr(data)[2:-1], json.dumps(letter)[1:-1]}
    ways |= {quote(data, safe=""), quote_plus(data), html.escape(letter)}
    parts = [
        [re.escape(part) for part in way.lstrip("\\").split("\\")]
        for way in sorted(ways)
    ]
    return f"(?:{'|'.join(map(_BACKSLASHES.join, parts))})"
