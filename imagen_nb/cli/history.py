"""`imagen history`: what was made, as a table or for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagen_nb.cli import options
from imagen_nb.cli.filters import HistoryFilters, with_filter_options
from imagen_nb.cli.options import load_command_settings
from imagen_nb.errors import UsageError
from imagen_nb.system.terminal import (
    complain,
    print_table,
    shows_pictures,
    small_picture,
)

if TYPE_CHECKING:
    import pandas as pd

_DEFAULT_TABLE_ROWS = 20  # rows of a table unless told
_ROWS_PER_JSON_CHUNK = 10_000  # rows that are JSON at one time


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
    preview: options.PreviewOption = None,
    output: options.FolderOption = None,
    config: options.ConfigOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """List the pictures ever made, newest first."""
    from imagen_nb.studio.studio import Studio

    settings = load_command_settings(
        config, output={"dir": output}, preview=preview.value if preview else None
    )
    chosen = HistoryFormat.json if as_json else format
    if chosen is HistoryFormat.parquet and sys.stdout.isatty():
        raise UsageError("parquet is no text: add > history.parquet")
    with Studio(settings, background=False) as studio:
        if chosen is HistoryFormat.table:
            most = _DEFAULT_TABLE_ROWS if filters.limit is None else filters.limit
            found = filters.history(
                studio, limit=most + 1 if filters.limit is None else most
            )
            print_history(found.iloc[:most], shows_pictures(settings.preview))
            if len(found) > most:
                complain(f"the newest {most} are shown: --limit N shows more")
            return
        _PRINTERS[chosen](filters.history(studio, sidecar=sidecar))


def print_history(frame: pd.DataFrame, pictures: bool) -> None:
    """A line a picture, with a thumbnail where the terminal can show it."""
    names = (
        "made",
        "prompt",
        "backend",
        "size",
        "seed",
        "steps",
        "tags",
        "cloud",
        "id",
    )
    rows = [_table_cells(row) for row in frame.to_dict("records")]
    if pictures:
        cells = [small_picture(path) for path in frame["local_path"]]
        print_table(
            ("", *names), [(cell, *row) for cell, row in zip(cells, rows, strict=True)]
        )
    else:
        print_table(names, rows)


def _table_cells(row: Mapping[Any, Any]) -> tuple[str, ...]:
    from imagen_nb.frames.values import plain

    made = plain(row["created_at"])
    prompt = row["prompt"] if len(row["prompt"]) <= 60 else row["prompt"][:59] + "…"
    width, height, seed, steps = (
        _number_or_empty(row[name]) for name in ("width", "height", "seed", "steps")
    )
    return (
        f"{made.to_pydatetime().astimezone():%Y-%m-%d %H:%M}" if made else "", prompt,
        row["backend"], f"{width}×{height}" if width else "", seed, steps, ", ".join(row["tags"]),
        row["cloud"], row["id"][:8],
    )  # fmt: skip


def _number_or_empty(value: Any) -> str:
    """Its digits; nothing where another program wrote none."""
    from imagen_nb.frames.values import plain

    found = plain(value)
    return "" if found is None else str(found)


def json_rows(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """The rows as JSON values: times in ISO 8601, what is missing as None."""
    for start in range(0, len(frame), _ROWS_PER_JSON_CHUNK):
        chunk = frame.iloc[start : start + _ROWS_PER_JSON_CHUNK]
        times = [moment.isoformat() for moment in chunk["created_at"].astype(object)]
        plain = chunk.assign(created_at=times).astype(object).where(chunk.notna(), None)
        yield from plain.to_dict("records")  # type: ignore[misc]


def _print_json_array(frame: pd.DataFrame) -> None:
    for number, row in enumerate(json_rows(frame)):
        print(
            "," if number else "[",
            json.dumps(row, indent=2),
            sep="\n" if not number else "",
        )
    print("]" if len(frame) else "[]")


def _print_json_lines(frame: pd.DataFrame) -> None:
    for row in json_rows(frame):
        print(json.dumps(row))


def _with_json_texts(frame: pd.DataFrame) -> pd.DataFrame:
    """Lists and records as JSON text."""
    from imagen_nb.frames.schema import as_json

    texts: dict[str, Any] = {name: as_json(frame[name]) for name in ("tags", "sidecar")}
    return frame.assign(**texts)


def _print_csv(frame: pd.DataFrame) -> None:
    _with_json_texts(frame).to_csv(sys.stdout, index=False)


def _print_parquet(frame: pd.DataFrame) -> None:
    _with_json_texts(frame).assign(tags=frame["tags"]).to_parquet(
        sys.stdout.buffer, index=False
    )


def _print_ids(frame: pd.DataFrame) -> None:
    for id in frame["id"]:
        print(id)


_PRINTERS: dict[HistoryFormat, Callable[[Any], None]] = {
    HistoryFormat.csv: _print_csv,
    HistoryFormat.json: _print_json_array,
    HistoryFormat.jsonl: _print_json_lines,
    HistoryFormat.parquet: _print_parquet,
    HistoryFormat.ids: _print_ids,
}
