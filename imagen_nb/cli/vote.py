"""`imagen vote` and `imagen votes`: which of two pictures is better."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagen_nb.cli import options
from imagen_nb.cli.completion import complete_id
from imagen_nb.cli.options import load_command_settings
from imagen_nb.errors import UsageError
from imagen_nb.system.csv_text import frame_as_csv
from imagen_nb.system.terminal import TableColumn, print_fitted_table, print_notice

if TYPE_CHECKING:
    import pandas as pd

    from imagen_nb.storage.votes import Vote, VoteOutcome
    from imagen_nb.studio.studio import Studio

_VOTES_SHOWN = 20  # in a table, unless -n says another number
_VOTES_TABLE = (
    TableColumn("id"),
    TableColumn("voted", rank=4),
    TableColumn("question", rank=2, cut_to=20),
    TableColumn("voter", rank=3, cut_to=12),
    TableColumn("left"),
    TableColumn("right"),
    TableColumn("outcome"),
)


class VotesFormat(StrEnum):
    """How to print votes."""

    table = "table"
    csv = "csv"
    json = "json"


def vote(
    left: Annotated[
        str | None,
        typer.Argument(
            help="The picture on the left: its id (8 digits or more), PNG or sidecar.",
            autocompletion=complete_id,
        ),
    ] = None,
    right: Annotated[
        str | None,
        typer.Argument(help="The other picture.", autocompletion=complete_id),
    ] = None,
    outcome: Annotated[
        str | None, typer.Argument(help="Which is better: left, right, tie, or skip.")
    ] = None,
    question: Annotated[
        str | None, typer.Option(help="What was asked, if not which is better.")
    ] = None,
    voter: Annotated[
        str | None, typer.Option(help="Who answers, if not who is logged in.")
    ] = None,
    file: Annotated[
        str | None,
        typer.Option(
            "--import",
            metavar="FILE",
            help="Keep the votes of this CSV file, as `imagen votes --format csv` writes"
            " it; - reads standard input.",
        ),
    ] = None,
    take_back: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="Take this vote back (8 digits or more of its id)."
        ),
    ] = None,
    output: options.FolderOption = None,
    config: options.ConfigOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Say which of two pictures is better; `imagen votes` lists what was said."""
    from imagen_nb.studio.studio import Studio

    pair = [word for word in (left, right, outcome) if word is not None]
    wanted = [bool(pair), file is not None, take_back is not None]
    if sum(wanted) != 1 or len(pair) not in (0, 3):
        raise UsageError(
            "give LEFT RIGHT and left, right, tie or skip; or --import FILE; or"
            " --take-back ID"
        )
    if not pair and (question is not None or voter is not None):
        raise UsageError("--question and --voter belong to LEFT RIGHT and an outcome")
    text = None if file is None else _read_votes(file)
    settings = load_command_settings(config, output={"dir": output})
    with Studio(settings, background=False) as studio:
        if text is not None:
            _import_votes(studio, text, as_json)
        elif take_back is not None:
            _print_vote(studio.unvote(take_back), as_json)
        else:
            _print_vote(_cast(studio, pair, question, voter), as_json)
        _send_to_cloud(studio)


def _cast(
    studio: Studio, pair: list[str], question: str | None, voter: str | None
) -> Vote:
    from imagen_nb.storage.votes import QUESTION

    left, right, outcome = pair
    chosen: VoteOutcome = outcome  # type: ignore[assignment]  # `vote` checks it
    asked = QUESTION if question is None else question
    return studio.vote(left, right, chosen, question=asked, voter=voter)


def _read_votes(file: str) -> str:
    from pathlib import Path

    from imagen_nb.storage.votes_csv import load_votes_text
    from imagen_nb.system.paths import expand_user

    if file == "-":
        return sys.stdin.read()
    return load_votes_text(expand_user(Path(file)))


def _import_votes(studio: Studio, text: str, as_json: bool) -> None:
    from imagen_nb.storage.votes_csv import parse_votes_csv

    votes = parse_votes_csv(text)
    new = studio.add_votes(votes)
    if as_json:
        print(json.dumps({"imported": new, "votes": len(votes)}))
    else:
        there = len(votes) - new
        print(f"{new} votes imported" + (f", {there} were there" if there else ""))


def _print_vote(vote: Vote, as_json: bool) -> None:
    print(vote.model_dump_json(indent=2) if as_json else vote.id)


def _send_to_cloud(studio: Studio) -> None:
    if not studio.copies():
        return
    report = studio.sync(pictures=[])
    if report.trouble:
        print_notice(f"cloud sync: {report.trouble}; `imagen sync` sends the votes")


def votes(
    question: Annotated[
        list[str] | None,
        typer.Option(help="Only votes on this question; may be repeated."),
    ] = None,
    voter: Annotated[
        list[str] | None,
        typer.Option(help="Only the votes of this voter; may be repeated."),
    ] = None,
    number: Annotated[
        int,
        typer.Option("-n", "--number", min=1, help="Rows of the table, the newest."),
    ] = _VOTES_SHOWN,
    source: Annotated[
        options.HistorySourceOption,
        typer.Option(help="cloud, local, merged, or auto: both if the cloud answers."),
    ] = options.HistorySourceOption.auto,
    format: Annotated[
        VotesFormat,
        typer.Option(
            help="For people (table), or all: csv, for `imagen vote --import`."
        ),
    ] = VotesFormat.table,
    raw_csv: options.RawCsvOption = False,
    output: options.FolderOption = None,
    config: options.ConfigOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """List the votes that were not taken back, of all your machines."""
    from imagen_nb.studio.studio import Studio

    settings = load_command_settings(config, output={"dir": output})
    chosen = VotesFormat.json if as_json else format
    with Studio(settings, background=False) as studio:
        frame = studio.votes(question or None, voter or None, source=source.value)
    if chosen is VotesFormat.csv:
        print(frame_as_csv(frame, raw=raw_csv), end="")
    elif chosen is VotesFormat.json:
        print_votes_json(frame)
    else:
        print_votes(frame.tail(number)[::-1])
        if len(frame) > number:
            print_notice(
                f"the newest {number} of {len(frame)} are shown: -n shows more"
            )


def print_votes_json(frame: pd.DataFrame) -> None:
    """Print votes as a list of JSON."""
    from imagen_nb.frames.schema import json_rows

    print(json.dumps([*json_rows(frame)], indent=2))


def print_votes(frame: pd.DataFrame) -> None:
    """Print a line a vote."""
    rows = [_vote_cells(row) for row in frame.to_dict("records")]
    print_fitted_table(_VOTES_TABLE, rows)


def _vote_cells(row: Mapping[Any, Any]) -> tuple[str, ...]:
    from imagen_nb.storage.record import short_id

    voted = row["created_at"].to_pydatetime().astimezone()
    return (
        short_id(row["id"]),
        f"{voted:%Y-%m-%d %H:%M}",
        row["question"],
        row["voter"],
        short_id(row["left"]),
        short_id(row["right"]),
        row["outcome"],
    )
