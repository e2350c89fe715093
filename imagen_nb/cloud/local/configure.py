"""Writes the local Supabase into imagen.yaml."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from imagen_nb.cloud.local.state import LocalSupabase
from imagen_nb.config.yaml_edit import load_written_values, write_settings
from imagen_nb.errors import ConfigError

_SUPABASE_GROUP = "supabase"
_SIGN_IN_KEYS = ("supabase.email", "supabase.password")  # they would go first


def yaml_lines(supabase: LocalSupabase) -> str:
    """Return the lines of imagen.yaml that name this Supabase, with its secret key."""
    return (
        f"{_SUPABASE_GROUP}:\n  url: {supabase.url}\n  key: {supabase.service_key}\n"
        f"owner_user_id: {supabase.user_id}\n"
    )


def write_to_config(
    path: Path, supabase: LocalSupabase, *, force: bool = False
) -> None:
    """Name the local Supabase in a configuration file, which gets mode 0600.

    Raise ConfigError if it names another Supabase (unless `force`), or cannot be
    edited.
    """
    group = load_written_values(path).get(_SUPABASE_GROUP)
    other = group.get("url") if isinstance(group, dict) else None
    if other and not _is_local_url(str(other)) and not force:
        raise ConfigError(
            f"{path} names another Supabase already: add --force to replace it"
        )
    values = {
        "supabase.url": supabase.url,
        "supabase.key": supabase.service_key,
        "owner_user_id": supabase.user_id,
    }
    write_settings(path, values, removed=_SIGN_IN_KEYS)


def _is_local_url(url: str) -> bool:
    return urlsplit(url).hostname in ("127.0.0.1", "localhost")
