"""Paths as people write them."""

from __future__ import annotations

import os
from pathlib import Path

from imagen_nb.errors import UsageError


def expanded(path: Path | str) -> Path:
    """The path with a leading ~ resolved. Raises `UsageError` for the home of nobody."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UsageError(f"{path}: there is no such home folder") from None


def user_folder(variable: str, usual: str) -> Path:
    """The folder of imagen in one of the user's base folders: $`variable`, or `usual`."""
    return expanded(os.environ.get(variable) or usual) / "imagen"


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/imagen, or ~/.cache/imagen: what can be fetched again."""
    return user_folder("XDG_CACHE_HOME", "~/.cache")


def portable(path: Path) -> str:
    """The path for a record: below the user's home from ~, so that it names nobody."""
    try:
        home = Path.home()
    except RuntimeError:  # a user without one
        return str(path)
    return (
        f"~/{path.relative_to(home).as_posix()}"
        if path.is_relative_to(home)
        else str(path)
    )


def absolute(path: Path | str) -> Path:
    """The path from the root, without ~ and .. in it. Raises `UsageError` for what is no path."""
    if "\0" in str(path):
        raise UsageError(f"a path cannot hold a NUL character: {str(path)!r}")
    return Path(os.path.abspath(expanded(path)))
