"""`imagen find` and `imagen embed`: pictures by meaning and by look."""

from __future__ import annotations

import functools
import json
from typing import Annotated

import typer

from imagen_nb.cli import options
from imagen_nb.cli.completion import complete_id
from imagen_nb.cli.history import (
    HistoryFormat,
    print_data,
    print_history,
    require_printable,
)
from imagen_nb.cli.options import (
    HistoryFilters,
    load_command_settings,
    preview_choice,
    with_filter_options,
)
from imagen_nb.system.terminal import can_show_pictures

_DEFAULT_ROWS = 20


@functools.partial(with_filter_options, left_out=("limit",))
def find(
    filters: HistoryFilters,
    what: Annotated[
        str | None,
        typer.Argument(
            help="Words, the id of a picture (8 digits or more), or an image's file.",
            autocompletion=complete_id,
        ),
    ] = None,
    n: Annotated[
        int, typer.Option("--n", "-n", min=1, help="How many at most.")
    ] = _DEFAULT_ROWS,
    without: Annotated[
        str | None, typer.Option(help="Words for what should not be seen.")
    ] = None,
    like: Annotated[
        list[str] | None,
        typer.Option(
            help="What is looked for as well: words, an id or a file; may be repeated.",
            autocompletion=complete_id,
        ),
    ] = None,
    unlike: Annotated[
        list[str] | None,
        typer.Option(
            help="What should not be seen, likewise; may be repeated.",
            autocompletion=complete_id,
        ),
    ] = None,
    embedder: options.EmbedderOption = None,
    format: Annotated[
        HistoryFormat,
        typer.Option(help="For people (table), programs, or `imagen tag -` (ids)."),
    ] = HistoryFormat.table,
    raw_csv: options.RawCsvOption = False,
    preview: options.PreviewOption = None,
    no_preview: options.NoPreviewOption = False,
    output: options.FolderOption = None,
    config: options.ConfigOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """List the pictures that are most like what is looked for, the best first.

    By what is seen in them, not by the words of their prompts. The score tells by how
    many standard deviations a picture lies above the average of all: 0 is an ordinary
    one.
    """
    from imagen_nb.studio.studio import Studio

    shown = preview_choice(preview, no_preview)
    settings = load_command_settings(config, output={"dir": output}, preview=shown)
    chosen = HistoryFormat.json if as_json else format
    require_printable(chosen)
    conditions = filters.conditions()
    del conditions["limit"]
    with Studio(settings, background=False) as studio:
        frame = studio.find(
            what,
            n,
            without=without,
            like=like or (),
            unlike=unlike or (),
            embedder=embedder,
            **conditions,
        )
    if chosen is HistoryFormat.table:
        print_history(frame, can_show_pictures(settings.preview))
    else:
        print_data(frame, chosen, raw_csv)


def embed(
    embedder: options.EmbedderOption = None,
    output: options.FolderOption = None,
    config: options.ConfigOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Look at all pictures that were not looked at yet, so that `imagen find` is quick.

    What is done stays after Ctrl-C; a second call goes on from there.
    """
    from imagen_nb.studio.studio import Studio

    settings = load_command_settings(config, output={"dir": output})
    with Studio(settings, background=False) as studio:
        model = studio.embedder(embedder).model
        count = studio.embed(embedder=embedder)
    if as_json:
        print(json.dumps({"embedded": count, "model": model}))
    else:
        pictures = "picture" if count == 1 else "pictures"
        print(f"{count} {pictures} looked at by {model}")
