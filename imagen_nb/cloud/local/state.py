"""The state of a local Supabase in its folder: keys, port, the server's process."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path

from imagen_nb.errors import CloudError, UsageError
from imagen_nb.system.atomic import is_temporary, write_private
from imagen_nb.system.paths import user_folder

LOCAL_EMAIL = "me@localhost.test"
_STATE_FILE = "state.json"
_OWN_NAMES = {_STATE_FILE, ".lock", "server.log", "database", "objects"}


@dataclass(frozen=True, slots=True)
class LocalSupabase:
    """A local Supabase: where it is, and how to get in. Its repr shows no secret.

    `anon_key` is a publishable key, `service_key` a secret one; `user_id` is who signs
    in with `email` and `password`. `database_url` is None for the embedded PostgreSQL.
    """

    url: str
    anon_key: str = field(repr=False)
    service_key: str = field(repr=False)
    email: str
    password: str = field(repr=False)
    user_id: str
    database_url: str | None = field(repr=False)
    folder: Path


@dataclass(frozen=True, slots=True)
class SavedState:
    """The contents of the state file. `pid`: the server's when it was last started."""

    port: int = 0
    jwt_secret: str = field(
        default_factory=lambda: secrets.token_urlsafe(48), repr=False
    )
    anon_key: str = field(
        default_factory=lambda: f"sb_publishable_{secrets.token_urlsafe(24)}",
        repr=False,
    )
    service_key: str = field(
        default_factory=lambda: f"sb_secret_{secrets.token_urlsafe(24)}", repr=False
    )
    email: str = LOCAL_EMAIL
    password: str = field(default_factory=lambda: secrets.token_urlsafe(18), repr=False)
    database_url: str | None = field(default=None, repr=False)
    user_id: str = ""
    pid: int | None = None

    @property
    def url(self) -> str:
        """The address of the API."""
        return f"http://127.0.0.1:{self.port}"

    def to_supabase(self, folder: Path) -> LocalSupabase:
        """Return what others may know of it."""
        return LocalSupabase(
            self.url,
            self.anon_key,
            self.service_key,
            self.email,
            self.password,
            self.user_id,
            self.database_url,
            folder,
        )


def default_folder() -> Path:
    """Return $XDG_DATA_HOME/imagen/supabase, or that below ~/.local/share."""
    return user_folder("XDG_DATA_HOME", "~/.local/share") / "supabase"


def claim_folder(folder: Path) -> Path:
    """Return the folder, made if need be. Raise UsageError if it holds something else.

    Another start may be writing the first state at this moment, or have died over it:
    its temporary file is not something else.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        others = {
            name for name in os.listdir(folder) if not is_temporary(name)
        } - _OWN_NAMES
    except OSError as error:
        raise UsageError(
            f"{folder}: {error.strerror}: choose another --folder"
        ) from None
    if others and not (folder / _STATE_FILE).exists():
        raise UsageError(
            f"{folder} holds something else already: choose another --folder"
        )
    folder.chmod(0o700)
    return folder


def load_state(folder: Path) -> SavedState | None:
    """Return the folder's state, or None if nothing was started in it yet.

    Raise CloudError if the state file cannot be read.
    """
    try:
        return SavedState(
            **json.loads((folder / _STATE_FILE).read_text(encoding="utf-8"))
        )
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError):
        raise CloudError(
            f"{folder / _STATE_FILE} cannot be read: "
            "remove it, and new keys will be made"
        ) from None


def save_state(folder: Path, state: SavedState) -> None:
    """Write the state so that only the user can read it."""
    write_private(folder / _STATE_FILE, json.dumps(asdict(state), indent=2).encode())
