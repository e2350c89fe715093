"""Whether the notebook that shows what we draw is dark."""

from __future__ import annotations

import os
import re
from pathlib import Path

from imagen_nb.system.terminal import in_notebook

_LIGHT = ("white", "black")
_DARK = ("#111111", "#e0e0e0")  # as JupyterLab Dark's page and its text

# Of JupyterLab and Notebook 7, in the user's settings.
_THEME_FILE = "@jupyterlab/apputils-extension/themes.jupyterlab-settings"
_THEME = re.compile(r'^\s*"theme"\s*:\s*"([^"]*)"', re.MULTILINE)
_ADAPTIVE = re.compile(r'^\s*"adaptive-theme"\s*:\s*true', re.MULTILINE)

_told: bool | None = None  # by the page that spoke last


def tell_theme(dark: bool) -> None:
    """Note what a page says of itself: that it is dark, or is not."""
    global _told
    _told = dark


def is_dark() -> bool:
    """Return whether this is a notebook's kernel, and the notebook's page is dark.

    As far as is known: from the last page that told, else from JupyterLab's settings on
    this machine. A theme that follows the system's counts as light.
    """
    if not in_notebook():
        return False
    return _theme_of_settings() if _told is None else _told


def paper_and_ink() -> tuple[str, str]:
    """Return the colours of a page, and of lines and texts on it, for this notebook."""
    return _DARK if is_dark() else _LIGHT


def _theme_of_settings() -> bool:
    """Read a file of JSON with comments, of which two keys matter."""
    try:
        text = (_settings_folder() / _THEME_FILE).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    theme = _THEME.search(text)
    return bool(theme and "dark" in theme[1].lower() and not _ADAPTIVE.search(text))


def _settings_folder() -> Path:
    """Return where JupyterLab keeps them, as its `get_user_settings_dir` does."""
    named = os.environ.get("JUPYTERLAB_SETTINGS_DIR")
    if named:
        return Path(named)
    from jupyter_core.paths import jupyter_config_dir

    return Path(jupyter_config_dir(), "lab", "user-settings")
