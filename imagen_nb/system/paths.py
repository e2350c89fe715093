"""Paths as people write them."""

from __future__ import annotations

import os
from pathlib import Path

from imagen_nb.errors import UsageError


def expand_user(path: Path | str) -> Path:
    """Return the path with ~ resolved. Raise `UsageError` for an unknown user's home."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UsageError(f"{path}: there is no such home folder") from None


def user_folder(variable: str, usual: str) -> Path:
    """Return imagen's folder in a base folder of the user: $`variable`, or `usual`."""
    return expand_user(os.environ.get(variable) or usual) / "imagen"


def cache_folder() -> Path:
    """Return $XDG_CACHE_HOME/imagen or ~/.cache/imagen: for what can be fetched again."""
    return user_folder("XDG_CACHE_HOME", "~/.cache")


def portable_path(path: Path) -> str:
    """Return the path for a record: from ~ below the user's home, so it names nobody."""
    try:
        home = Path.home()
    except RuntimeError:  # a user without one
        return str(path)
    if not path.is_relative_to(home):
        return str(path)
    return f"~/{path.relative_to(home).as_posix()}"


def absolute_path(path: Path | str) -> Path:
    """Return the path from the root, without ~ and `..`.

    Raise `UsageError` for a NUL character or an unknown user's home.
    """
    if "\0" in str(path):
        raise UsageError(f"a path cannot hold a NUL character: {str(path)!r}")
    return Path(os.path.abspath(expand_user(path)))
