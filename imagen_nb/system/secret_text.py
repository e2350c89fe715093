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

# Supabase's keys and tokens, Replicate's, what follows "Bearer", a password in an
# address, and all of a header that a library refused.
_KNOWN_KEYS = re.compile(
    r"\bsb_\w+?_\S+|\bsbp_\w+|\beyJ[\w-]+\.[\w-]+(?:\.[\w-]*)?|\br8_\w+"
    r"|(?<=\bBearer )\S+|(?<=://)[^\s/]*(?=@)|(?<=\bIllegal header value ).*",
    re.DOTALL,
)
_SECRET_WORDS = {
    "apikey",
    "bearer",
    "credential",
    "credentials",
    "jwt",
    "passphrase",
    "passwd",
    "password",
    "pwd",
    "secret",
    "token",
}
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


def is_secret_name(name: str) -> bool:
    """Return whether the last word of a parameter's name says that it is a secret."""
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower().split("_")
    words = [word for word in words if word]
    if not words:
        return False
    return words[-1] in _SECRET_WORDS or (words[-1] == "key" and len(words) > 1)


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


def scrub_known_keys(text: str) -> str:
    """Return a text with … for what looks like a key, whosever it is.

    For texts of older versions, whose secrets are not known any more.

    Example:
        >>> scrub_known_keys("the key sb_secret_abc is refused")
        'the key … is refused'
    """
    return _KNOWN_KEYS.sub("…", text)


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
