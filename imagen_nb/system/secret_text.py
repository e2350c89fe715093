"""Secrets as text: stripped when they are read, removed from what libraries say."""

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

_BACKSLASHES = r"(?:\\|%5C)*+"  # any number, possessive: backtracking would take long


def strip_secret(text: str) -> str:
    """Return the text without white space around it.

    Raise `ValueError`, which does not quote the text, for a control character inside: no
    header can hold one, and the library that refuses it would print the whole value.
    """
    inside = text.strip()
    if any(unicodedata.category(letter) == "Cc" for letter in inside):
        raise ValueError("a control character")
    return inside


def scrub_secrets(message: object, secrets: Iterable[SecretStr | None]) -> str:
    """Return a library's message with … for each secret, however it is quoted there."""
    text = str(message)
    values = {
        secret.get_secret_value().strip().replace("\\", "")
        for secret in secrets
        if secret
    }
    for value in sorted(values - {""}, key=len, reverse=True):  # one may hold another
        pattern = _BACKSLASHES.join(map(_quoted_forms, value))
        text = re.sub(pattern, "…", text, flags=re.IGNORECASE)  # %2f and %2F
    return text


def _quoted_forms(letter: str) -> str:
    """Return a pattern for a letter as it is, in repr of text or bytes, JSON, HTML, a URL.

    Where there are backslashes any number matches: text quoted twice has more.
    """
    data = letter.encode(errors="surrogatepass")
    ways = {letter, repr(letter)[1:-1], repr(data)[2:-1], json.dumps(letter)[1:-1]}
    ways |= {quote(data, safe=""), quote_plus(data), html.escape(letter)}
    parts = [
        [re.escape(part) for part in way.lstrip("\\").split("\\")]
        for way in sorted(ways)
    ]
    return f"(?:{'|'.join(map(_BACKSLASHES.join, parts))})"
