"""`imagen jobs`: what other machines draw for this user, or have drawn."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from imagen_nb.cli import options
from imagen_nb.cli.options import load_command_settings
from imagen_nb.errors import UsageError
from imagen_nb.system.terminal import TableColumn, print_fitted_table, print_notice

if TYPE_CHECKING:
    import pandas as pd

    from imagen_nb.storage.jobs import WorkerSeen
    from imagen_nb.studio.studio import Studio

_SHOWN = 20  # unless -n says another number
_OPEN = ("waiting", "drawing")
_JOBS_COLUMNS = (
    TableColumn("id"),
    TableColumn("state"),
    TableColumn("prompt", rank=1, cut_to=20),
    TableColumn("backend", rank=4),
    TableColumn("machine", rank=3),
    TableColumn("drawn", rank=5),
    TableColumn("asked for", rank=6),
    TableColumn("error", rank=2, cut_to=20),
)

app = typer.Typer()

StateOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Only waiting, drawing, done, failed or cancelled; may be repeated."
    ),
]
NumberOption = Annotated[
    int, typer.Option("-n", "--number", help="At most so many, the newest.")
]
RowsJsonOption = Annotated[
    bool, typer.Option("--json", help="Print the rows as JSON, for programs.")
]


@app.callback(invoke_without_command=True)
def jobs_group(
    context: typer.Context,
    state: StateOption = None,
    number: NumberOption = _SHOWN,
    config: options.ConfigOption = None,
    as_json: RowsJsonOption = False,
) -> None:
    """Jobs that your other machines draw: without a command they are listed."""
    command = context.invoked_subcommand
    if command is None:
        list_jobs(state, number, config, as_json)
    elif state or config or as_json or number != _SHOWN:
        raise UsageError(f"options stand after {command}: imagen jobs {command} …")


@app.command("list")
def list_jobs(
    state: StateOption = None,
    number: NumberOption = _SHOWN,
    config: options.ConfigOption = None,
    as_json: RowsJsonOption = False,
) -> None:
    """List jobs, the newest first, and the machines that draw them."""
    from imagen_nb.studio.studio import Studio

    with Studio(load_command_settings(config), background=False) as studio:
        frame = studio.jobs(state or None, limit=number)
        boxes = studio.boxes()
    if as_json:
        print(frame.to_json(orient="records", indent=2, date_format="iso"))
        return
    print_jobs(frame)
    print_boxes(boxes)


def print_jobs(frame: pd.DataFrame) -> None:
    """Print a line a job."""
    print_fitted_table(_JOBS_COLUMNS, [_cells(row) for row in frame.to_dict("records")])


def _cells(row: Mapping[Any, Any]) -> tuple[str, ...]:
    from imagen_nb.frames.schema import plain_value
    from imagen_nb.storage.record import short_id

    asked = plain_value(row["created_at"])
    return (
        short_id(row["id"]),
        row["state"],
        row["prompt"],
        plain_value(row["backend"]) or "",
        plain_value(row["worker"]) or "",
        f"{row['progress']:.0%}",
        f"{asked.to_pydatetime().astimezone():%Y-%m-%d %H:%M}" if asked else "",
        plain_value(row["error"]) or "",
    )


def print_boxes(boxes: Sequence[WorkerSeen]) -> None:
    """Print on stderr when each machine that draws was last heard of."""
    from imagen_nb.studio.elsewhere.boxes import describe_box

    for box in boxes:
        print_notice(f"{describe_box(box)}, draws {', '.join(box.backends)}")


@app.command()
def cancel(
    id: Annotated[
        list[str] | None,
        typer.Argument(help="Ids (8 digits or more); - reads them from stdin."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Cancel all that are not finished.")
    ] = False,
    config: options.ConfigOption = None,
    as_json: RowsJsonOption = False,
) -> None:
    """Cancel jobs that wait or are being drawn."""
    from imagen_nb.studio.studio import Studio

    if bool(id) == everything:
        raise UsageError("name jobs to cancel, or give --all")
    with Studio(load_command_settings(config), background=False) as studio:
        chosen = _open_jobs(studio, options.with_stdin_lines(id) if id else None)
        cancelled = studio.job_queue().cancel(chosen)
    if as_json:
        print(json.dumps(sorted(map(str, cancelled))))
    else:
        print(f"{len(cancelled)} of {len(chosen)} jobs cancelled")


def _open_jobs(studio: Studio, named: Sequence[str] | None) -> list[UUID]:
    """Return the unfinished jobs of these ids, or of their beginnings; None names all.

    Raises `UsageError` for what is the beginning of none, or of several.
    """
    waiting = [job.id for job in studio.job_queue().newest(_OPEN)]
    return waiting if named is None else [_the_one(text, waiting) for text in named]


def _the_one(text: str, ids: Sequence[UUID]) -> UUID:
    found = [id for id in ids if str(id).startswith(text.lower())]
    if len(found) == 1 and len(text) >= 8:
        return found[0]
    raise UsageError(
        f"{text!r:.60} is the id of {'several' if found else 'no'} unfinished jobs:"
        " give 8 digits or more of one (`imagen jobs list`)"
    )


@app.command()
def prune(
    older: Annotated[
        str, typer.Option(help="Delete jobs that ended so long ago, like 30d.")
    ],
    config: options.ConfigOption = None,
    as_json: RowsJsonOption = False,
) -> None:
    """Delete finished jobs from the queue; their pictures stay."""
    from imagen_nb.frames.moments import parse_moment
    from imagen_nb.studio.studio import Studio

    before = parse_moment("--older", older)
    age = datetime.now(UTC) - before
    if age.total_seconds() < 0:
        raise UsageError(f"--older must be a time that is over, not {older}")
    with Studio(load_command_settings(config), background=False) as studio:
        pruned = studio.job_queue().prune(int(age.total_seconds()))
    print(json.dumps({"pruned": pruned}) if as_json else f"{pruned} jobs deleted")
