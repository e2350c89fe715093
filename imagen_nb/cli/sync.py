"""`imagen sync`: send what waits for the cloud, or list it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagen_nb.cli import options
from imagen_nb.cli.options import settings_of
from imagen_nb.system.terminal import complain, print_table

if TYPE_CHECKING:
    from imagen_nb.cloud.sync_report import SyncReport
    from imagen_nb.storage.catalog import CatalogEntry
    from imagen_nb.studio.studio import Studio


def sync(
    include_private: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID",
            help="Send this picture too, made with the cloud off; may be repeated.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List what waits; send nothing.")
    ] = False,
    timeout: Annotated[
        float | None, typer.Option(help="Stop after so many seconds.")
    ] = None,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Read back what the cloud has, and compare."),
    ] = False,
    output: options.Folder = None,
    config: options.Config = None,
    as_json: options.Json = False,
) -> None:
    """Copy pictures and tags that wait to your Supabase; `--verify` reads the copies back."""
    from imagen_nb.studio.studio import Studio
    from imagen_nb.system.progress import counting

    settings = settings_of(config, output={"dir": output})
    with Studio(settings, background=False) as studio:
        if dry_run:
            list_waiting(waiting_rows(studio), as_json)
            return
        with counting("syncing") as progress:
            report = studio.sync(
                timeout, include_private=include_private or (), progress=progress
            )
        wrong: Sequence[str] = ()
        copies = None
        if verify:
            with counting("verifying") as progress:
                wrong = studio.verify(progress=progress)
            copies = studio.catalog().counts()["synced"]
        say(report, wrong, copies, as_json)
    if report.trouble or report.failed or wrong:
        raise typer.Exit(1)


def waiting_rows(studio: Studio) -> list[dict[str, Any]]:
    """What a sync would send, a row a picture: those that wait, then those whose tags do.

    `path` and `state` are None where this machine does not have the picture.
    """
    from imagen_nb.storage.tags import combine_queued_tags, load_queued_tags

    catalog = studio.catalog()
    changes = load_queued_tags(catalog)
    rows = {str(entry.record.id): _row(entry) for entry in studio.waiting()}
    rows |= {
        str(one.record.id): _row(one)
        for one in catalog.get_many(changes.keys() - rows.keys())
    }
    elsewhere = {"path": None, "state": None, "error": None}
    for id in [*rows, *(id for id in changes if id not in rows)]:
        change = combine_queued_tags(changes.get(id, ()))
        more = {"add": [*change.added], "remove": [*change.removed]}
        rows[id] = {"id": id, **rows.get(id, elsewhere), **more}
    return [*rows.values()]


def _row(entry: CatalogEntry) -> dict[str, Any]:
    return {
        "path": str(entry.path),
        "state": entry.cloud_state,
        "error": entry.cloud_error,
    }


def list_waiting(rows: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    """Print what a sync would send."""
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    print_table(
        ("id", "picture", "state", "tags", "last error"),
        [
            (
                row["id"],
                row["path"] or "",
                row["state"] or "",
                _signed(row),
                row["error"] or "",
            )
            for row in rows
        ],
    )


def _signed(row: Mapping[str, Any]) -> str:
    return ", ".join(
        [*(f"+{tag}" for tag in row["add"]), *(f"-{tag}" for tag in row["remove"])]
    )


def say(
    report: SyncReport, wrong: Sequence[str], copies: int | None, as_json: bool
) -> None:
    """What a sync did: figures on stdout, what went wrong on stderr.

    `copies`: how many were read back; None when none were to be.
    """
    if as_json:
        facts = {
            "synced": report.synced,
            "failed": [{"id": id, "error": why} for id, why in report.failed],
            "pending": report.pending,
            "tagged": report.tagged,
            "trouble": report.trouble,
            "seconds": round(report.seconds, 3),
            **({} if copies is None else {"verified": copies, "wrong": list(wrong)}),
        }
        print(json.dumps(facts, indent=2))
        return
    print(report.summary)
    if copies is not None:
        print(
            f"{copies - len(wrong)} of {copies} copies, read back by signed URLs,"
            " are byte for byte the pictures here"
        )
    for line in (*(f"{id}: {why}" for id, why in report.failed), *wrong):
        complain(line)
    if report.trouble:
        complain(f"cloud sync: {report.trouble}")
