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

_PACKAGE_FOLDER = Path(__file__).parent
_MAX_MESSAGE_CHARS = 2000  # in a notebook: a message may quote an endless prompt
_MAGIC_RUNNERS = ("run_line_magic", "run_cell_magic")  # IPython's, between user and us


class ImagenError(Exception):
    """Base of every error that imagen_nb raises on purpose.

    `exit_code` is what the command returns. A notebook shows the message and the user's
    own line, not the way through this package, which `traceback.print_exc()` still has.

    Example:
        >>> try:
        ...     im.generate("a red boat", width=130)
        ... except im.ImagenError as error:
        ...     print(error)
    """

    exit_code = 1

    def _render_traceback_(self) -> list[str]:
        """Return the lines that IPython shows instead of a traceback."""
        frames = traceback.extract_tb(self.__traceback__)
        own = [*takewhile(lambda frame: not _is_ours(frame.filename), frames)]
        message = printable(str(self)[:_MAX_MESSAGE_CHARS])
        lines = [f"\x1b[31m{type(self).__name__}\x1b[39m: {message}"]
        if own and own[-1].name not in _MAGIC_RUNNERS:  # a magic is the cell itself
            lines.append(f"line {own[-1].lineno}: {printable(own[-1].line or '')}")
        return lines


class UsageError(ImagenError, ValueError):
    """A bad argument: nothing was drawn and nothing written.

    Example:
        >>> try:
        ...     im.generate("a red boat", steps=0)
        ... except im.UsageError as error:
        ...     print(error)
    """

    exit_code = 2


class ConfigError(UsageError):
    """A configuration that cannot be used; the message names file, line and key.

    Example:
        >>> try:
        ...     im.configure(steps="many")
        ... except im.ConfigError as error:
        ...     print(error)
    """


class BackendError(ImagenError):
    """A backend cannot load or draw.

    Example:
        >>> try:
        ...     im.generate("a boat", backend="flux", model="no/such-model")
        ... except im.BackendError as error:
        ...     print(error)
    """


class StorageError(ImagenError):
    """A picture, sidecar or catalog cannot be written or read.

    Example:
        >>> try:
        ...     im.Record.from_sidecar("{}")
        ... except im.StorageError as error:
        ...     print(error)
    """


class CloudError(ImagenError):
    """The copy in the cloud failed. No picture is lost: it waits in the outbox.

    Example:
        >>> try:
        ...     im.history(source="cloud")
        ... except im.CloudError as error:
        ...     print(error)
    """


class Cancelled(ImagenError):  # noqa: N818 - it is no fault
    """Drawing was cancelled; pictures finished before stay kept.

    Example:
        >>> try:
        ...     im.generate("a red boat")
        ... except im.Cancelled as error:
        ...     print("stopped by studio.cancel(), in another thread")
    """


def printable(text: str) -> str:
    """Return the text with control and formatting characters replaced, on one line."""
    return "".join(
        char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text
    )


def describe_mistake(error: Exception) -> str:
    """Return the type and place of an error that is a mistake of imagen_nb.

    Not its text, which may hold what was sent.
    """
    *_, last = traceback.extract_tb(error.__traceback__)
    place = f"{Path(last.filename).name}, line {last.lineno}"
    return f"an error of imagen_nb, {type(error).__name__} in {place}: please report it"


def _is_ours(filename: str) -> bool:
    """Tell whether a frame's file lies in this package, not in a folder named like it."""
    return Path(filename).is_relative_to(_PACKAGE_FOLDER)
