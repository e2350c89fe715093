"""`imagen sync`: send what waits for the cloud, or list it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagen_nb.cli import options
from imagen_nb.cli.options import load_command_settings
from imagen_nb.system.terminal import print_notice, print_table

if TYPE_CHECKING:
    from imagen_nb.cloud.sync_report import RepairReport, SyncReport
    from imagen_nb.storage.catalog import CatalogEntry
    from imagen_nb.storage.record import UnsentTag
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
    repair: Annotated[
        bool,
        typer.Option(
            "--repair", help="As --verify, and send again what is lost or another."
        ),
    ] = False,
    output: options.FolderOption = None,
    config: options.ConfigOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Copy pictures, tags and votes that wait to your Supabase; `--verify` reads copies back."""
    from imagen_nb.cloud.sync_report import RepairReport
    from imagen_nb.studio.studio import Studio
    from imagen_nb.system.progress import progress_bar

    settings = load_command_settings(config, output={"dir": output})
    with Studio(settings, background=False) as studio:
        if dry_run:
            print_waiting(waiting_rows(studio), as_json)
            return
        with progress_bar("syncing") as progress:
            report = studio.sync(
                timeout, include_private=include_private or (), progress=progress
            )
        copies = studio.catalog().counts()["synced"]
        checked = None
        if repair:
            with progress_bar("verifying") as progress:
                checked = studio.repair(progress=progress)
            report = replace(report + checked.sync, pending=checked.sync.pending)
        elif verify:
            with progress_bar("verifying") as progress:
                checked = RepairReport(left=tuple(studio.verify(progress=progress)))
        print_sync_report(report, checked, copies, as_json)
    if report.trouble or report.unsent or (checked and checked.left):
        raise typer.Exit(1)


def waiting_rows(studio: Studio) -> list[dict[str, Any]]:
    """Return what a sync would send: pictures that wait, then tags, then removals.

    A row has id, path, state, error, and the tags to add and to remove. `path`, `state`
    and `error` are None where this machine does not have the picture.
    """
    from imagen_nb.storage.removals import load_removals
    from imagen_nb.storage.tags import load_queued_tags

    catalog = studio.catalog()
    changes = load_queued_tags(catalog)
    rows = {str(entry.record.id): _entry_facts(entry) for entry in studio.waiting()}
    rows |= {
        str(one.record.id): _entry_facts(one)
        for one in catalog.get_many(changes.keys() - rows.keys())
    }
    elsewhere = {"path": None, "state": None, "error": None}
    for one in load_removals(catalog):
        rows[one.id] = {"path": None, "state": "to be removed", "error": one.error}
    return [
        {"id": id, **rows.get(id, elsewhere), **_tag_changes(changes.get(id, ()))}
        for id in dict.fromkeys((*rows, *changes))
    ]


def _tag_changes(waiting: Sequence[UnsentTag]) -> dict[str, list[str]]:
    from imagen_nb.storage.tags import combine_queued_tags

    change = combine_queued_tags(waiting)
    return {"add": [*change.added], "remove": [*change.removed]}


def _entry_facts(entry: CatalogEntry) -> dict[str, Any]:
    return {
        "path": str(entry.path),
        "state": entry.cloud_state,
        "error": entry.cloud_error,
    }


def print_waiting(rows: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    """Print what a sync would send."""
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    cells = [
        (
            row["id"],
            row["path"] or "",
            row["state"] or "",
            _signed_tags(row),
            row["error"] or "",
        )
        for row in rows
    ]
    print_table(("id", "picture", "state", "tags", "last error"), cells)


def _signed_tags(row: Mapping[str, Any]) -> str:
    added = [f"+{tag}" for tag in row["add"]]
    removed = [f"-{tag}" for tag in row["remove"]]
    return ", ".join([*added, *removed])


def print_sync_report(
    report: SyncReport, checked: RepairReport | None, copies: int, as_json: bool
) -> None:
    """Print what a sync did: figures on stdout, what went wrong on stderr.

    `checked`: what --verify or --repair found, of so many `copies`.
    """
    if as_json:
        facts = {
            "synced": report.synced,
            "failed": [{"id": id, "error": why} for id, why in report.failed],
            "postponed": [{"id": id, "error": why} for id, why in report.postponed],
            "pending": report.pending,
            "tagged": report.tagged,
            "votes": report.votes,
            "removed": report.removed,
            "unremoved": [{"id": id, "error": why} for id, why in report.unremoved],
            "trouble": report.trouble,
            "seconds": round(report.seconds, 3),
        }
        if checked:
            facts |= {"verified": copies, "wrong": list(checked.left)}
            facts |= {"repaired": list(checked.repaired)}
        print(json.dumps(facts, indent=2))
        return
    print(report.summary)
    if checked:
        print(
            f"{copies - len(checked.left)} of {copies} copies, read back by signed URLs,"
            " are byte for byte the pictures here"
        )
    lines = [f"{id}: {why}" for id, why in report.unsent]
    if checked:
        for line in checked.repaired:
            print(f"put right: {line}")
        lines += checked.left
    for line in lines:
        print_notice(line)
    if report.trouble:
        print_notice(f"cloud sync: {report.trouble}")
