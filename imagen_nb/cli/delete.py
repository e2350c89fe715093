"""`imagen delete` and `imagen restore`: pictures into the trash, and back."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from imagen_nb.cli import options
from imagen_nb.cli.options import load_command_settings
from imagen_nb.errors import UsageError, printable
from imagen_nb.system.terminal import counted_pictures, print_notice, print_table

if TYPE_CHECKING:
    from imagen_nb.cloud.client import Cloud
    from imagen_nb.storage.catalog import Catalog
    from imagen_nb.studio.studio import Studio

_MAX_ASKED = 5  # pictures in the question


def delete(
    what: options.PicturesArgument,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask; needed in a pipe.")
    ] = False,
    output: options.FolderOption = None,
    config: options.ConfigOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Delete pictures here and in the cloud; `imagen restore` undoes it for 30 days."""
    from imagen_nb.studio.deleting import ids_to_delete
    from imagen_nb.studio.studio import Studio

    is_asked = not yes
    if is_asked and ("-" in what or not sys.stdin.isatty()):
        raise UsageError(
            "nobody can be asked here whether to delete: say so with --yes"
        )
    pictures = options.with_stdin_lines(what)
    settings = load_command_settings(config, output={"dir": output})
    with Studio(settings, background=False) as studio:
        ids = ids_to_delete(pictures, *_known_places(studio))
        if is_asked and not _confirmed(_question(studio, ids)):
            print_notice("nothing is deleted")
            raise typer.Exit(1)
        count = studio.delete(ids)
        _tell_cloud(studio)
    _print_count("deleted", count, ids, as_json)
    if count:
        print_notice("`imagen restore` brings them back, for 30 days")


def _known_places(studio: Studio) -> tuple[list[Catalog], Cloud | None]:
    return studio.lookup.catalogs(), studio.lookup.reader()


def _confirmed(question: str) -> bool:
    """Ask on stderr, as stdout is for results."""
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _question(studio: Studio, ids: Sequence[str]) -> str:
    """Name the pictures: by their files, or those of another machine by their ids."""
    entries = studio.catalog().get_many(ids)
    names = {str(entry.record.id): entry.path.name for entry in entries}
    first = [printable(names.get(id, id)) for id in ids[:_MAX_ASKED]]
    if len(ids) > _MAX_ASKED:
        first.append(f"and {len(ids) - _MAX_ASKED} more")
    return f"Delete {', '.join(first)}?"


def restore(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            help="Ids (8 digits or more), or the paths that they had; - reads them from"
            " stdin. Without any, the trash is listed."
        ),
    ] = None,
    output: options.FolderOption = None,
    config: options.ConfigOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Bring deleted pictures back, or list those that can be."""
    from imagen_nb.studio.deleting import ids_to_restore
    from imagen_nb.studio.studio import Studio

    pictures = options.with_stdin_lines(what or ())
    settings = load_command_settings(config, output={"dir": output})
    with Studio(settings, background=False) as studio:
        if not what:
            _print_trash(studio, as_json)
            return
        ids = ids_to_restore(pictures, *_known_places(studio))
        count = studio.restore(ids)
        _tell_cloud(studio, ids)
    _print_count("restored", count, ids, as_json)


def _tell_cloud(studio: Studio, ids: Sequence[str] = ()) -> None:
    """Send what was deleted, or these pictures; say what the cloud did not take."""
    if not studio.copies():
        return
    report = studio.sync(pictures=ids)
    for reason in dict.fromkeys(why for _, why in report.unsent):
        print_notice(f"cloud sync: {reason}")
    if report.trouble:
        print_notice(f"cloud sync: {report.trouble}; `imagen sync` tries again")


def _print_count(done: str, count: int, ids: Sequence[str], as_json: bool) -> None:
    if as_json:
        print(json.dumps({done: count, "ids": [*ids]}, indent=2))
    else:
        print(f"{counted_pictures(count)} {done}")


def _print_trash(studio: Studio, as_json: bool) -> None:
    trash = studio.trash()
    if as_json:
        facts = [
            {
                "id": one.id,
                "name": one.name,
                "deleted_at": one.deleted_at.isoformat(),
                "prompt": one.record.prompt if one.record else None,
            }
            for one in trash
        ]
        print(json.dumps(facts, indent=2))
        return
    rows = [
        (
            one.id,
            f"{one.deleted_at:%Y-%m-%d %H:%M}",
            printable(one.name),
        )
        for one in trash
    ]
    print_table(("id", "deleted (UTC)", "picture"), rows)
