"""`imagen adopt`: take over pictures that other programs made."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imagen_nb.cli import options
from imagen_nb.cli.options import load_command_settings
from imagen_nb.errors import printable
from imagen_nb.system.terminal import counted_pictures, print_notice, print_table

if TYPE_CHECKING:
    from imagen_nb.studio.adopting import AdoptReport
    from imagen_nb.studio.studio import Studio


def adopt(
    what: Annotated[
        list[Path],
        typer.Argument(
            help="Folders, with those below them, or files: PNG, JPEG, WebP."
        ),
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell what is there and understood.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on with new files, until Ctrl-C.")
    ] = False,
    tag: options.TagOption = None,
    no_cloud: options.NoCloudOption = False,
    output: options.FolderOption = None,
    config: options.ConfigOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Take over pictures of A1111, ComfyUI, InvokeAI and others, with their settings."""
    from imagen_nb.studio.studio import Studio

    settings = load_command_settings(config, output={"dir": output})
    cloud = False if no_cloud else None
    paths = [options.expand_option(path) or path for path in what]
    with Studio(settings, background=watch) as studio:
        if watch:
            _watch(studio, paths, tag or [], cloud)
            return
        report = studio.adopt_files(paths, tags=tag or (), cloud=cloud, dry_run=dry_run)
    if as_json:
        print(json.dumps(_report_facts(report), indent=2))
        return
    _print_programs(report)
    print(_first_line(report, dry_run))
    for path, reason in report.refused:
        print_notice(printable(f"{path}: {reason}"))
    for text, count in report.not_understood.most_common():
        print_notice(printable(f"not understood, {counted_pictures(count)}: {text}"))
    if report.adopted and studio.copies(cloud):
        print_notice("`imagen sync` copies them to the cloud")


def _watch(
    studio: Studio, paths: list[Path], tags: list[str], cloud: bool | None
) -> None:
    """Adopt until Ctrl-C, which is the way to end it; a line for what came."""
    from threading import Event

    def tell(report: AdoptReport) -> None:
        if report.adopted or report.refused:
            print(printable(str(report)), flush=True)

    print_notice("watching; Ctrl-C ends it")
    with suppress(KeyboardInterrupt):
        studio.watch_folders(paths, tell, Event(), tags=tags, cloud=cloud)


def _print_programs(report: AdoptReport) -> None:
    rows = [
        (
            printable(program),
            str(count),
            str(count - report.silent[program]),
            str(report.silent[program]),
        )
        for program, count in report.programs.most_common()
    ]
    if rows:
        print_table(("program", "pictures", "with settings", "without"), rows)


def _first_line(report: AdoptReport, dry_run: bool) -> str:
    read = report.programs.total()
    if not dry_run:
        kept = f"{counted_pictures(len(report.adopted))} adopted"
    else:
        kept = f"{counted_pictures(read)} would be looked at"
    parts = [kept, f"{len(report.present)} there already"]
    parts += [f"{report.deleted} deleted before"] if report.deleted else []
    parts += [f"{len(report.refused)} refused", f"{report.others} other files"]
    return "; ".join(parts)


def _report_facts(report: AdoptReport) -> dict[str, object]:
    return {
        "adopted": report.adopted,
        "present": report.present,
        "deleted": report.deleted,
        "refused": [{"path": str(path), "reason": why} for path, why in report.refused],
        "others": report.others,
        "programs": dict(report.programs),
        "without_settings": dict(report.silent),
        "not_understood": dict(report.not_understood),
    }
