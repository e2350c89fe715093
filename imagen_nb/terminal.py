"""What the command shows: text made safe for terminals, tables, and pictures where they can be."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image


def safe(text: str) -> str:
    """The text on one line, control and formatting characters replaced."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def complain(message: str) -> None:
    """One line on stderr, as every error and notice of the command is."""
    print(f"imagen: {safe(message)}", file=sys.stderr, flush=True)


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table on stdout; plain columns when stdout is no terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in header:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(safe(cell)) for cell in row))
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def show_picture(image: Image, choice: str) -> None:
    """The picture on stderr, as the terminal best can; `choice`: auto (terminals only), on, off."""
    if choice == "off" or (choice == "auto" and not sys.stderr.isatty()):
        return
    from rich.console import Console
    from textual_image.renderable import Image as Renderable  # asks the terminal what it can

    Console(stderr=True).print(Renderable(image, width=48, height="auto"))
