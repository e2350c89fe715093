"""`imagen report`: what was made, as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from imagen_nb.cli import options
from imagen_nb.cli.filters import HistoryFilters, with_filter_options
from imagen_nb.cli.options import load_command_settings
from imagen_nb.system.terminal import complain


@with_filter_options
def report(
    filters: HistoryFilters,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="The page; an earlier report is replaced, nothing else is.",
        ),
    ] = Path("report.html"),
    title: Annotated[str, typer.Option(help="What stands above it.")] = "Pictures",
    pictures: Annotated[
        int,
        typer.Option(min=0, help="How many are shown, the newest; 0 for figures only."),
    ] = 1000,
    folder: Annotated[
        Path | None,
        typer.Option(
            help="Pictures of this folder, not the configured one.",
            callback=options.expand_option,
        ),
    ] = None,
    config: options.ConfigOption = None,
) -> None:
    """Write figures, tables and thumbnails of the pictures as one HTML page."""
    from imagen_nb.analysis.report.page import write
    from imagen_nb.studio.studio import Studio

    with Studio(
        load_command_settings(config, output={"dir": folder}), background=False
    ) as studio:
        found = filters.history(studio)
        path = write(found, output, studio.reader(), title, pictures)
    print(path)
    if found.empty:
        complain("no pictures pass these filters: the page is empty")
