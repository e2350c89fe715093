"""Terminals: safe text, notices, tables, a spinner, pictures where they can be shown."""

from __future__ import annotations

import codecs
import io
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imagen_nb.errors import printable
from imagen_nb.system.markup import escaped_html
from imagen_nb.system.thumbnails import image_read_errors

if TYPE_CHECKING:
    from PIL.Image import Image
    from rich.console import Console, RichCast
    from rich.text import Text

_QUIET_STYLE = "color:var(--jp-ui-font-color2,#616161)"  # as labels of JupyterLab
_COLUMN_GAP = 2  # characters between two columns
_MAX_FULL_WIDTH = 10_000  # characters; no cell is measured beyond


def print_notice(message: str) -> None:
    """Tell one line: quietly in a notebook, else on stderr, as errors of the command are.

    What a notebook gets on stderr looks like an error there.
    """
    line = f"imagen: {printable(message)}"
    if in_notebook():
        _show_quietly(line)
    else:
        print(line, file=sys.stderr, flush=True)


def _show_quietly(line: str) -> None:
    from IPython.display import display

    page = f'<small style="{_QUIET_STYLE}">{escaped_html(line, len(line))}</small>'
    output = {"text/plain": line, "text/html": page}
    display(output, raw=True)  # type: ignore[no-untyped-call]


def counted_pictures(count: int) -> str:
    """Return "1 picture", "2 pictures" and so on."""
    return f"{count} {'picture' if count == 1 else 'pictures'}"


def accept_any_text() -> None:
    """Let stdout and stderr print any text: path bytes as they were, the rest as ?."""
    codecs.register_error("imagen", _encode_unprintable)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="imagen")


def _encode_unprintable(error: UnicodeError) -> tuple[bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    codes = map(ord, error.object[error.start : error.end])
    escaped = (
        code - 0xDC00 if 0xDC80 <= code <= 0xDCFF else ord("?") for code in codes
    )
    return bytes(escaped), error.end


def abandon_stdout() -> None:
    """Drop what stdout holds but cannot write; Python would fail on it at its exit."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def print_table(
    header: Sequence[str], rows: Iterable[Sequence[str | RichCast]]
) -> None:
    """Print a table on stdout; plain columns when stdout is no terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in header:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(c)) if isinstance(c, str) else c for c in row))
    Console(width=None if sys.stdout.isatty() else 200).print(table)


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column of `print_fitted_table`.

    `rank`: where a table is too wide, the columns of the highest rank are left out
    first; one of rank 0 never is. `cut_to`: to how many characters its texts may be
    cut then; None: they are never cut.
    """

    heading: str
    rank: int = 0
    cut_to: int | None = None


def print_fitted_table(
    columns: Sequence[TableColumn], rows: Sequence[Sequence[str | RichCast]]
) -> None:
    """Print a table on stdout, no text of which goes on in a second line.

    On a terminal columns are left out, and texts cut, until it fits.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    headings = [Text(column.heading, "bold") for column in columns]
    texts = [
        [Text(printable(c)) if isinstance(c, str) else c for c in row] for row in rows
    ]
    cells = [*zip(headings, *texts, strict=True)]
    widths = [_full_width(console, column) for column in cells]
    if sys.stdout.isatty():
        widths = fitted_widths(columns, widths, console.width)
    else:
        console.width = _table_width(widths, range(len(widths)))
    table = Table(box=None, pad_edge=False, show_header=False)
    for width in filter(None, widths):
        table.add_column(width=width, no_wrap=True, overflow="ellipsis")
    shown = [column for column, width in zip(cells, widths, strict=True) if width]
    for row in zip(*shown, strict=True):
        table.add_row(*row)
    console.print(table)


def _full_width(console: Console, cells: Sequence[RichCast | Text]) -> int:
    """Return in how many characters none of the cells is cut."""
    from rich.measure import Measurement

    wide = console.options.update(max_width=_MAX_FULL_WIDTH)
    return max(Measurement.get(console, wide, cell).maximum for cell in cells)


def fitted_widths(
    columns: Sequence[TableColumn], widths: Sequence[int], available: int
) -> list[int]:
    """Return the widths with which a table fits; 0 for a column that is left out.

    Args:
        columns: as they stand side by side.
        widths: in characters, of all their texts.
        available: how wide the table may be, the gaps between columns included.
    """
    least = [
        min(width, column.cut_to or width)
        for column, width in zip(columns, widths, strict=True)
    ]
    shown = sorted(range(len(columns)), key=lambda at: columns[at].rank)
    while columns[shown[-1]].rank and _table_width(least, shown) > available:
        shown.pop()
    fitted = [0] * len(columns)
    left = available - _table_width(least, shown)
    for at in shown:  # what there is room for goes to the lowest ranks first
        more = max(0, min(left, widths[at] - least[at]))
        fitted[at] = least[at] + more
        left -= more
    return fitted


def _table_width(widths: Sequence[int], shown: Sequence[int]) -> int:
    return sum(widths[at] for at in shown) + _COLUMN_GAP * (len(shown) - 1)


def can_show_pictures(choice: str) -> bool:
    """Tell whether to show pictures; `choice`: on, off, auto (a terminal that can be asked)."""
    if choice != "auto":
        return choice == "on"
    if os.environ.get("TERM") == "dumb" or "NO_COLOR" in os.environ:
        return False
    streams = (sys.stdin, sys.stdout, sys.stderr)  # asking goes through all three
    if not all(stream is not None and stream.isatty() for stream in streams):
        return False
    columns = os.get_terminal_size(sys.stdout.fileno()).columns
    return columns > 0  # 0: nobody looks at it


def table_thumbnail(path: str | None) -> RichCast | str:
    """Return a picture for a cell of a table; "" when it is not on this machine."""
    from PIL import Image

    if not isinstance(path, str) or not os.path.exists(path):
        return ""
    try:
        with Image.open(path) as file:
            return _terminal_image(file.convert("RGB"), 12)
    except image_read_errors():
        return ""


def _terminal_image(image: Image, width: int) -> RichCast:
    import logging

    logging.getLogger("textual_image").setLevel(logging.CRITICAL)  # of plain terminals
    # The import asks the terminal what it can show.
    from textual_image.renderable import Image as Renderable

    made: RichCast = Renderable(image, width=width, height="auto")
    return made


def print_picture(image: Image) -> None:
    """Print the picture on stderr as the terminal best can: pixels, cells, characters."""
    try:
        from rich.console import Console

        Console(stderr=True).print(_terminal_image(image, 48))
    except Exception as error:  # an odd terminal fails no command: the picture is kept
        print_notice(
            f"no preview: this terminal cannot be asked what it shows ({error!r})"
        )


def stderr_is_terminal() -> bool:
    """Tell whether somebody sees what is written to stderr at once."""
    return sys.stderr is not None and sys.stderr.isatty()


@contextmanager
def spinner(what: str) -> Iterator[None]:
    """Say on a terminal's stderr what is waited for, beside a spinner that turns.

    The line is gone afterwards. Nothing is written where stderr is no terminal.
    """
    if not stderr_is_terminal():
        yield
        return
    from rich.console import Console
    from rich.live import Live
    from rich.spinner import Spinner

    # rich's own `status` would send what is printed to stdout meanwhile to stderr.
    live = Live(
        Spinner("dots", what),
        console=Console(stderr=True),
        refresh_per_second=12.5,
        transient=True,
        redirect_stdout=False,
    )
    live.start(
        refresh=True
    )  # at once: importing torch leaves other threads little time
    try:
        yield
    finally:
        live.stop()


def in_notebook() -> bool:
    """Tell whether this is a notebook's kernel, without importing IPython."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return getattr(shell, "kernel", None) is not None
