"""The URL of a database, which holds a password: parsed, and kept out of messages."""

from __future__ import annotations

import re

from pydantic import SecretStr

from imagen_nb.errors import CloudError
from imagen_nb.system.secret_text import scrub_secrets

_UNREADABLE_URL = (
    "the database URL cannot be read: it looks like "
    "postgresql://user:password@host:5432/postgres, "
    "and in the password @ is written %40, / %2F, : %3A, % %25"
)


def parse_database_url(url: str) -> dict[str, str]:
    """Return the parts of the URL, by libpq's names: host, port, user, password.

    Raise CloudError if it cannot be parsed. No message of libpq about it passes: they
    may quote the password.
    """
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    if not _is_escaped(url):
        raise CloudError(_UNREADABLE_URL)
    try:
        address = {name: str(value) for name, value in conninfo_to_dict(url).items()}
    except (psycopg.Error, ValueError):
        raise CloudError(_UNREADABLE_URL) from None
    if not re.fullmatch(r"[\d,]*", address.get("port", "")):
        raise CloudError(_UNREADABLE_URL)
    return address


def _is_escaped(url: str) -> bool:
    """Whether it is a URL of PostgreSQL without an @ that belongs to the password."""
    scheme, _, rest = url.partition("://")
    authority = re.split("[/?]", rest, maxsplit=1)[0]
    escaped = authority.count("@") == rest.count("@") <= 1
    return scheme in ("postgresql", "postgres") and escaped


def explain_connection_error(message: str, address: dict[str, str]) -> str:
    """Return why there is no connection, without the password.

    `message` is psycopg's, `address` what `parse_database_url` returned.
    """
    secrets = [SecretStr(address.get("password", ""))]
    reason = first_line(scrub_secrets(message, secrets)).removeprefix(
        "connection failed: "
    )
    if "password authentication failed" in message:
        reason += ": Supabase's dashboard resets it under Database, Settings"
    elif re.fullmatch(r"db\.\w+\.supabase\.co", address.get("host", "")):
        reason += ": that address needs IPv6; the one of the session pooler does not"
    return f"the database cannot be reached: {reason}"


def first_line(text: str) -> str:
    """Return the first line of a library's message, its white space collapsed."""
    lines = text.strip().splitlines() or ["no reason given"]
    return " ".join(lines[0].split())
