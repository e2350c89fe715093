"""`imagen history` and `imagen report`: what was made, as a table, data or a page."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagen_nb.cli import options
from imagen_nb.cli.options import (
    HistoryFilters,
    load_command_settings,
    preview_choice,
    with_filter_options,
)
from imagen_nb.errors import UsageError
from imagen_nb.system.csv_text import frame_as_csv
from imagen_nb.system.terminal import (
    TableColumn,
    can_show_pictures,
    print_fitted_table,
    print_notice,
    table_thumbnail,
)

if TYPE_CHECKING:
    import pandas as pd

    from imagen_nb.studio.studio import Studio

_DEFAULT_TABLE_ROWS = 20
_MAX_COLUMN_CHARS = 60  # of a prompt
_PICTURE_COLUMN = TableColumn("", rank=2)
_SCORE_COLUMN = TableColumn("score", rank=1)
_HISTORY_COLUMNS = (
    TableColumn("id"),
    TableColumn("made", rank=3),
    TableColumn("prompt", rank=1, cut_to=20),
    TableColumn("backend", rank=9),
    TableColumn("size", rank=6),
    TableColumn("seed", rank=4),
    TableColumn("steps", rank=7),
    TableColumn("tags", rank=5, cut_to=12),
    TableColumn("cloud", rank=8, cut_to=12),
)


class HistoryFormat(StrEnum):
    """How to print rows."""

    table = "table"
    csv = "csv"
    json = "json"
    jsonl = "jsonl"
    parquet = "parquet"
    ids = "ids"


@with_filter_options
def history(
    filters: HistoryFilters,
    format: Annotated[
        HistoryFormat,
        typer.Option(help="For people (table), programs, or `imagen tag -` (ids)."),
    ] = HistoryFormat.table,
    sidecar: Annotated[
        bool, typer.Option("--sidecar", help="The whole records too; not in a table.")
    ] = False,
    raw_csv: options.RawCsvOption = False,
    preview: options.PreviewOption = None,
    no_preview: options.NoPreviewOption = False,
    output: options.FolderOption = None,
    config: options.ConfigOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """List the pictures ever made, newest first."""
    from imagen_nb.studio.studio import Studio

    shown = preview_choice(preview, no_preview)
    settings = load_command_settings(config, output={"dir": output}, preview=shown)
    chosen = HistoryFormat.json if as_json else format
    require_printable(chosen)
    with Studio(settings, background=False) as studio:
        if chosen is HistoryFormat.table:
            _print_newest(studio, filters, can_show_pictures(settings.preview))
        else:
            print_data(filters.history(studio, sidecar=sidecar), chosen, raw_csv)


def require_printable(format: HistoryFormat) -> None:
    """Raise `UsageError` if this format is no text, and would go to a terminal."""
    if format is HistoryFormat.parquet and sys.stdout.isatty():
        raise UsageError("parquet is no text: add > history.parquet")


def print_data(frame: pd.DataFrame, format: HistoryFormat, raw_csv: bool) -> None:
    """Print rows in a format for programs. `raw_csv`: see `options.RawCsvOption`."""
    if format is HistoryFormat.csv:
        _print_csv(frame, raw_csv)
    else:
        _PRINTERS[format](frame)


@with_filter_options
def report(
    filters: HistoryFilters,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="The page; an earlier report is replaced, nothing else is.",
        ),
    ] = Path("report.html"),
    title: Annotated[str, typer.Option(help="What stands above it.")] = "Pictures",
    pictures: Annotated[
        int,
        typer.Option(min=0, help="How many are shown, the newest; 0 for figures only."),
    ] = 1000,
    folder: Annotated[
        Path | None,
        typer.Option(
            help="Pictures of this folder, not the configured one.",
            callback=options.expand_option,
        ),
    ] = None,
    config: options.ConfigOption = None,
) -> None:
    """Write figures, tables and thumbnails of the pictures as one HTML page."""
    from imagen_nb.analysis.report.page import write_report
    from imagen_nb.studio.studio import Studio

    settings = load_command_settings(config, output={"dir": folder})
    with Studio(settings, background=False) as studio:
        frame = filters.history(studio)
        path = write_report(frame, output, studio, title, pictures)
    print(path)
    if frame.empty:
        print_notice("no pictures pass these filters: the page is empty")


def _print_newest(studio: Studio, filters: HistoryFilters, pictures: bool) -> None:
    """Print a table; without --limit, of the newest rows and whether there are more."""
    if filters.limit is not None:
        print_history(filters.history(studio), pictures)
        return
    rows = _DEFAULT_TABLE_ROWS
    frame = filters.history(studio, limit=rows + 1)
    print_history(frame.iloc[:rows], pictures)
    if len(frame) > rows:
        print_notice(f"the newest {rows} are shown: --limit N shows more")


def print_history(frame: pd.DataFrame, pictures: bool) -> None:
    """Print a line a picture, with its score if it has one.

    `pictures`: with a thumbnail beside each id.
    """
    columns = list(_HISTORY_COLUMNS)
    rows: list[list[Any]] = [[*_table_cells(row)] for row in frame.to_dict("records")]
    if "score" in frame.columns:
        scores = [f"{score:.2f}" for score in frame["score"]]
        _insert_column(columns, rows, _SCORE_COLUMN, scores)
    if pictures:
        thumbnails = [table_thumbnail(path) for path in frame["local_path"]]
        _insert_column(columns, rows, _PICTURE_COLUMN, thumbnails)
    print_fitted_table(columns, rows)


def _insert_column(
    columns: list[TableColumn],
    rows: list[list[Any]],
    column: TableColumn,
    cells: Sequence[Any],
) -> None:
    """Put a column behind the first one."""
    columns.insert(1, column)
    for row, cell in zip(rows, cells, strict=True):
        row.insert(1, cell)


def _table_cells(row: Mapping[Any, Any]) -> tuple[str, ...]:
    from imagen_nb.frames.schema import plain_value
    from imagen_nb.storage.record import short_id

    made = plain_value(row["created_at"])
    prompt = row["prompt"]
    if len(prompt) > _MAX_COLUMN_CHARS:
        prompt = prompt[: _MAX_COLUMN_CHARS - 1] + "…"
    width, height = _number_or_empty(row["width"]), _number_or_empty(row["height"])
    return (
        short_id(row["id"]),
        f"{made.to_pydatetime().astimezone():%Y-%m-%d %H:%M}" if made else "",
        prompt,
        row["backend"],
        f"{width}×{height}" if width else "",
        _number_or_empty(row["seed"]),
        _number_or_empty(row["steps"]),
        ", ".join(row["tags"]),
        row["cloud"],
    )


def _number_or_empty(value: Any) -> str:
    """Return its digits; nothing where another program wrote none."""
    from imagen_nb.frames.schema import plain_value

    number = plain_value(value)
    return "" if number is None else str(number)


def _print_json_array(frame: pd.DataFrame) -> None:
    from imagen_nb.frames.schema import json_rows

    opening = "[\n"
    for row in json_rows(frame):
        print(opening + json.dumps(row, indent=2))
        opening = ","
    print("]" if len(frame) else "[]")


def _print_json_lines(frame: pd.DataFrame) -> None:
    from imagen_nb.frames.schema import json_rows

    for row in json_rows(frame):
        print(json.dumps(row))


def _with_json_texts(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with its lists and records as JSON text."""
    from imagen_nb.frames.schema import json_texts

    texts: dict[str, Any] = {
        name: json_texts(frame[name]) for name in ("tags", "sidecar")
    }
    return frame.assign(**texts)


def _print_csv(frame: pd.DataFrame, raw: bool = False) -> None:
    print(frame_as_csv(_with_json_texts(frame), raw=raw), end="")


def _print_parquet(frame: pd.DataFrame) -> None:
    table = _with_json_texts(frame).assign(tags=frame["tags"])
    table.to_parquet(sys.stdout.buffer, index=False)


def _print_ids(frame: pd.DataFrame) -> None:
    for id in frame["id"]:
        print(id)


_PRINTERS: dict[HistoryFormat, Callable[[Any], None]] = {
    HistoryFormat.json: _print_json_array,
    HistoryFormat.jsonl: _print_json_lines,
    HistoryFormat.parquet: _print_parquet,
    HistoryFormat.ids: _print_ids,
}
