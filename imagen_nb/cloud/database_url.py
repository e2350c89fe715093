"""The URL of a database, which holds a password: read, and spoken of without it."""

from __future__ import annotations

import re

from pydantic import SecretStr

from imagen_nb.errors import CloudError
from imagen_nb.system.secret_text import scrubbed

_UNREADABLE_URL = (
    "the database URL cannot be read: it looks like postgresql://user:password@host:5432/postgres, "
    "and in the password @ is written %40, / %2F, : %3A, % %25"
)


def parse_database_url(url: str) -> dict[str, str]:
    """The parts of the URL. Raises `CloudError` when it is none.

    No message of libpq about them passes: they may quote the password.
    """
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    scheme, _, rest = url.partition("://")
    authority = re.split("[/?]", rest, maxsplit=1)[0]
    escaped = (
        authority.count("@") == rest.count("@") <= 1
    )  # else one belongs to the password
    if scheme not in ("postgresql", "postgres") or not escaped:
        raise CloudError(_UNREADABLE_URL)
    try:
        found = {name: str(value) for name, value in conninfo_to_dict(url).items()}
    except (psycopg.Error, ValueError):
        raise CloudError(_UNREADABLE_URL) from None
    if not re.fullmatch(r"[\d,]*", found.get("port", "")):
        raise CloudError(_UNREADABLE_URL)
    return found


def explain_connection_error(said: str, address: dict[str, str]) -> str:
    """Why there is no connection, without the password."""
    secrets = [SecretStr(address.get("password", ""))]
    reason = first_line(scrubbed(said, secrets)).removeprefix("connection failed: ")
    if "password authentication failed" in said:
        reason += ": Supabase's dashboard resets it under Database, Settings"
    elif re.fullmatch(r"db\.\w+\.supabase\.co", address.get("host", "")):
        reason += ": that address needs IPv6; the one of the session pooler does not"
    return f"the database cannot be reached: {reason}"


def first_line(text: str) -> str:
    """The first line of what a library says, on one line."""
    return " ".join((text.strip().splitlines() or ["no reason given"])[0].split())
