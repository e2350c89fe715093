"""Errors: one tree, each message one line that says what happened, to what, and what to do.

ImagenError
├── UsageError (also a ValueError)   a bad argument
│   └── ConfigError                  a bad configuration file or value
├── BackendError                     weights missing, cannot load, cannot draw
├── StorageError                     folder not writable, disk full, torn file
├── CloudError                       Supabase cannot be reached, refuses, or rejects a picture
└── Cancelled                        the user stopped the drawing
"""

from __future__ import annotations

import traceback
from itertools import takewhile
from pathlib import Path

_PACKAGE = str(Path(__file__).parent)
_SHOWN = 2000  # letters of a message in a notebook: it may quote a prompt without end
_MAGICS = (
    "run_line_magic",
    "run_cell_magic",
)  # of IPython, which call a magic for the user


class ImagenError(Exception):
    """Base of every error imagen_nb raises on purpose. `exit_code` is what the command returns.

    A notebook shows the message and the user's own line, not the way through this package, which
    `traceback.print_exc()` still has.
    """

    exit_code = 1

    def _render_traceback_(self) -> list[str]:
        """What IPython shows of it."""
        frames = traceback.extract_tb(self.__traceback__)
        own = [
            *takewhile(lambda frame: not frame.filename.startswith(_PACKAGE), frames)
        ]
        said = [f"\x1b[31m{type(self).__name__}\x1b[39m: {safe(str(self)[:_SHOWN])}"]
        if (
            own and own[-1].name not in _MAGICS
        ):  # there the cell itself is what was said
            said.append(f"line {own[-1].lineno}: {safe(own[-1].line or '')}")
        return said


class UsageError(ImagenError, ValueError):
    """A bad argument: nothing was drawn and nothing written."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration that cannot be used; the message names file, line and key where known."""


class BackendError(ImagenError):
    """A backend cannot load or draw."""


class StorageError(ImagenError):
    """A picture, sidecar or catalog cannot be written or read."""


class CloudError(ImagenError):
    """Something about the copy in the cloud. No picture is lost: it waits in the outbox."""


class Cancelled(ImagenError):  # noqa: N818 - it is no fault
    """Drawing was cancelled; pictures finished before stay kept."""


def safe(text: str) -> str:
    """The text on one line, control and formatting characters replaced."""
    return "".join(
        char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text
    )
