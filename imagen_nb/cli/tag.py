"""`imagen tag`: labels on pictures."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from imagen_nb.cli import options
from imagen_nb.cli.options import settings_of
from imagen_nb.errors import UsageError, safe
from imagen_nb.system.terminal import complain


def tag(
    what: Annotated[
        list[str],
        typer.Argument(
            help="Ids (8 digits or more), PNGs or sidecars; - reads them from stdin."
        ),
    ],
    add: Annotated[
        list[str] | None, typer.Option(help="A tag to add; may be repeated.")
    ] = None,
    remove: Annotated[
        list[str] | None, typer.Option(help="A tag to take away; may be repeated.")
    ] = None,
    rating: Annotated[str | None, typer.Option(help="1 to 5, or none.")] = None,
    keeper: Annotated[
        bool, typer.Option("--keeper", help="Tag it keeper, not reject.")
    ] = False,
    reject: Annotated[
        bool, typer.Option("--reject", help="Tag it reject, not keeper.")
    ] = False,
    output: options.Folder = None,
    config: options.Config = None,
    as_json: options.Json = False,
) -> None:
    """Add tags to pictures or take them away, here and in the cloud."""
    from imagen_nb.storage.tags import (
        KEEPER,
        REJECT,
        TagChange,
        make_rating_change,
        make_tag_change,
    )
    from imagen_nb.studio.studio import Studio

    stars = make_rating_change(_stars(rating)) if rating is not None else TagChange()
    marks = [name for name, wanted in ((KEEPER, keeper), (REJECT, reject)) if wanted]
    added = (*(add or ()), *stars.added, *marks)
    removed = (*(remove or ()), *stars.removed)
    make_tag_change(
        added, [name for name in removed if name not in added]
    )  # or all is refused
    named = [line for one in what for line in (_lines() if one == "-" else [one])]
    with Studio(
        settings_of(config, output={"dir": output}), background=False
    ) as studio:
        ids = studio.lookup.ids(named)
        if added:
            studio.tag(ids, *added)
        if removed:
            studio.untag(ids, *removed)
        if studio.copies():
            report = studio.sync(pictures=[])
            if report.trouble:
                complain(f"cloud sync: {report.trouble}; `imagen sync` sends the tags")
        show(ids, studio.lookup.tags_of(ids), as_json)


def _lines() -> list[str]:
    return [line.strip() for line in sys.stdin if line.strip()]


def _stars(text: str) -> int | None:
    if text == "none":
        return None
    if not text.isdigit():
        raise UsageError(f"--rating must be 1 to 5, or none, not {text}")
    return int(text)


def show(ids: list[str], tags: dict[str, tuple[str, ...]], as_json: bool) -> None:
    """Each picture with the tags that it has now."""
    if as_json:
        print(json.dumps([{"id": id, "tags": tags.get(id)} for id in ids], indent=2))
        return
    for id in ids:
        print(id, safe(", ".join(tags[id])) if id in tags else "(of another machine)")
