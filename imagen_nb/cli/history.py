"""`imagen history`: what was made, as a table or for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagen_nb.cli import options
from imagen_nb.cli.filters import Filters, filtered
from imagen_nb.cli.options import settings_of
from imagen_nb.errors import UsageError
from imagen_nb.system.terminal import (
    complain,
    print_table,
    shows_pictures,
    small_picture,
)

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 20  # rows of a table unless told
_CHUNK = 10_000  # rows that are JSON at one time


class Format(StrEnum):
    """How to print rows."""

    table = "table"
    csv = "csv"
    json = "json"
    jsonl = "jsonl"
    parquet = "parquet"
    ids = "ids"


@filtered
def history(
    filters: Filters,
    format: Annotated[
        Format,
        typer.Option(help="For people (table), programs, or `imagen tag -` (ids)."),
    ] = Format.table,
    sidecar: Annotated[
        bool, typer.Option("--sidecar", help="The whole records too; not in a table.")
    ] = False,
    preview: options.Preview = None,
    output: options.Folder = None,
    config: options.Config = None,
    as_json: options.Json = False,
) -> None:
    """List the pictures ever made, newest first."""
    from imagen_nb.studio.studio import Studio

    settings = settings_of(
        config, output={"dir": output}, preview=preview.value if preview else None
    )
    chosen = Format.json if as_json else format
    if chosen is Format.parquet and sys.stdout.isatty():
        raise UsageError("parquet is no text: add > history.parquet")
    with Studio(settings, background=False) as studio:
        if chosen is Format.table:
            most = SHOWN if filters.limit is None else filters.limit
            found = filters.history(
                studio, limit=most + 1 if filters.limit is None else most
            )
            print_history(found.iloc[:most], shows_pictures(settings.preview))
            if len(found) > most:
                complain(f"the newest {most} are shown: --limit N shows more")
            return
        _WRITERS[chosen](filters.history(studio, sidecar=sidecar))


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
    rows = [_line(row) for row in frame.to_dict("records")]
    if pictures:
        cells = [small_picture(path) for path in frame["local_path"]]
        print_table(
            ("", *names), [(cell, *row) for cell, row in zip(cells, rows, strict=True)]
        )
    else:
        print_table(names, rows)


def _line(row: Mapping[Any, Any]) -> tuple[str, ...]:
    from imagen_nb.frames.schema import plain_value

    made = plain_value(row["created_at"])
    prompt = row["prompt"] if len(row["prompt"]) <= 60 else row["prompt"][:59] + "…"
    width, height, seed, steps = (
        _number(row[name]) for name in ("width", "height", "seed", "steps")
    )
    return (
        f"{made.to_pydatetime().astimezone():%Y-%m-%d %H:%M}" if made else "", prompt,
        row["backend"], f"{width}×{height}" if width else "", seed, steps, ", ".join(row["tags"]),
        row["cloud"], row["id"][:8],
    )  # fmt: skip


def _number(value: Any) -> str:
    """Its digits; nothing where another program wrote none."""
    from imagen_nb.frames.schema import plain_value

    found = plain_value(value)
    return "" if found is None else str(found)


def rows_of(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """The rows as JSON values: times in ISO 8601, what is missing as None."""
    for start in range(0, len(frame), _CHUNK):
        chunk = frame.iloc[start : start + _CHUNK]
        times = [moment.isoformat() for moment in chunk["created_at"].astype(object)]
        plain = chunk.assign(created_at=times).astype(object).where(chunk.notna(), None)
        yield from plain.to_dict("records")  # type: ignore[misc]


def _json(frame: pd.DataFrame) -> None:
    for number, row in enumerate(rows_of(frame)):
        print(
            "," if number else "[",
            json.dumps(row, indent=2),
            sep="\n" if not number else "",
        )
    print("]" if len(frame) else "[]")


def _jsonl(frame: pd.DataFrame) -> None:
    for row in rows_of(frame):
        print(json.dumps(row))


def _flat(frame: pd.DataFrame) -> pd.DataFrame:
    """Lists and records as JSON text."""
    from imagen_nb.frames.schema import json_texts

    texts: dict[str, Any] = {
        name: json_texts(frame[name]) for name in ("tags", "sidecar")
    }
    return frame.assign(**texts)


def _csv(frame: pd.DataFrame) -> None:
    _flat(frame).to_csv(sys.stdout, index=False)


def _parquet(frame: pd.DataFrame) -> None:
    _flat(frame).assign(tags=frame["tags"]).to_parquet(sys.stdout.buffer, index=False)


def _ids(frame: pd.DataFrame) -> None:
    for id in frame["id"]:
        print(id)


_WRITERS: dict[Format, Callable[[Any], None]] = {
    Format.csv: _csv,
    Format.json: _json,
    Format.jsonl: _jsonl,
    Format.parquet: _parquet,
    Format.ids: _ids,
}
