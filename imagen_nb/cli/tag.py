"""`imagen tag`: labels on pictures."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from imagen_nb.cli import options
from imagen_nb.cli.completion import complete_id, complete_tag
from imagen_nb.cli.options import load_command_settings
from imagen_nb.errors import UsageError, printable
from imagen_nb.system.terminal import print_notice

if TYPE_CHECKING:
    from imagen_nb.storage.tags import TagChange


def tag(
    what: Annotated[
        list[str],
        typer.Argument(
            help="Ids (8 digits or more), PNGs or sidecars; - reads them from stdin.",
            autocompletion=complete_id,
        ),
    ],
    add: Annotated[
        list[str] | None,
        typer.Option(
            help="A tag to add; may be repeated.", autocompletion=complete_tag
        ),
    ] = None,
    remove: Annotated[
        list[str] | None,
        typer.Option(
            help="A tag to take away; may be repeated.", autocompletion=complete_tag
        ),
    ] = None,
    rating: Annotated[str | None, typer.Option(help="1 to 5, or none.")] = None,
    keeper: Annotated[
        bool, typer.Option("--keeper", help="Tag it keeper, not reject.")
    ] = False,
    reject: Annotated[
        bool, typer.Option("--reject", help="Tag it reject, not keeper.")
    ] = False,
    output: options.FolderOption = None,
    config: options.ConfigOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Add tags to pictures or take them away, here and in the cloud."""
    from imagen_nb.studio.studio import Studio

    change = requested_change(add, remove, rating, keeper, reject)
    pictures: list[str] = []
    for one in what:
        pictures += _stdin_lines() if one == "-" else [one]
    settings = load_command_settings(config, output={"dir": output})
    with Studio(settings, background=False) as studio:
        ids = studio.lookup.ids(pictures)
        studio.retag(ids, change)
        if studio.copies():
            report = studio.sync(pictures=[])
            if report.trouble:
                print_notice(
                    f"cloud sync: {report.trouble}; `imagen sync` sends the tags"
                )
        print_tags(ids, studio.lookup.tags_of(ids), as_json)


def requested_change(
    add: Sequence[str] | None,
    remove: Sequence[str] | None,
    rating: str | None,
    keeper: bool,
    reject: bool,
) -> TagChange:
    """Return all that the options ask for as one change.

    Raises `UsageError` for what the library refuses, such as a tag that is both added
    and removed.
    """
    from imagen_nb.storage.tags import KEEPER, REJECT, TagChange, make_rating_change
    from imagen_nb.storage.tags import make_tag_change as validated_change

    stars = TagChange() if rating is None else make_rating_change(_parse_rating(rating))
    added = [*(add or ()), *stars.added]
    if keeper:
        added.append(KEEPER)
    if reject:
        added.append(REJECT)
    return validated_change(added, [*(remove or ()), *stars.removed])


def _stdin_lines() -> list[str]:
    return [line.strip() for line in sys.stdin if line.strip()]


def _parse_rating(text: str) -> int | None:
    if text == "none":
        return None
    if not text.isdecimal():  # as int() takes it: not ²
        raise UsageError(f"--rating must be 1 to 5, or none, not {text}")
    return int(text)


def print_tags(ids: list[str], tags: dict[str, tuple[str, ...]], as_json: bool) -> None:
    """Print each picture with the tags that it has now."""
    if as_json:
        print(json.dumps([{"id": id, "tags": tags.get(id)} for id in ids], indent=2))
        return
    for id in ids:
        print(
            id, printable(", ".join(tags[id])) if id in tags else "(of another machine)"
        )
