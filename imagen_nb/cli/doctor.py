"""`imagen doctor`: what works on this machine, and the line that mends what does not."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from imagen_nb.cli import options
from imagen_nb.errors import printable
from imagen_nb.system.terminal import print_table


def doctor(
    online: Annotated[
        bool, typer.Option("--online", help="Also sign in to your Supabase, and look.")
    ] = False,
    config: options.ConfigOption = None,
    output: options.FolderOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Check what works here, and say what mends the rest; exit code 1 if nothing can be drawn."""
    from imagen_nb.studio.checkup.run import run_checkup

    rows = [*run_checkup(config, output, online)]
    if as_json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        print_table(
            ("check", "state", "what"), [(r.name, r.state, r.what) for r in rows]
        )
        for row in rows:  # below the table, to be copied whole
            if row.mend:
                print(f"\n{row.name}: {printable(row.mend)}")
    if any(row.stops_drawing for row in rows):
        raise typer.Exit(1)
