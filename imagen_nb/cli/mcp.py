"""`imagen mcp`: the pictures as tools for agents, over the Model Context Protocol."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from imagen_nb.cli import options
from imagen_nb.cli.options import load_command_settings
from imagen_nb.errors import UsageError
from imagen_nb.system.terminal import print_notice


def mcp(
    draw: Annotated[
        bool, typer.Option("--draw", help="Let agents draw and tag, not only look.")
    ] = False,
    backend: options.BackendOption = None,
    max_pictures: Annotated[
        int, typer.Option(min=1, help="Of one sweep, with --draw.")
    ] = 16,
    max_side: Annotated[
        int, typer.Option(min=1, help="Pixels of a side, with --draw.")
    ] = 1024,
    max_steps: Annotated[
        int, typer.Option(min=1, help="Denoising steps, with --draw.")
    ] = 50,
    output: options.FolderOption = None,
    cloud_sync: options.CloudSyncOption = None,
    config: options.ConfigOption = None,
) -> None:
    """Serve pictures as tools for agents (MCP, over stdin and stdout), until stdin ends."""
    from imagen_nb.studio.agents.drawing import DrawingBounds
    from imagen_nb.studio.studio import Studio

    try:
        from imagen_nb.studio.agents.server import serve
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "mcp":
            raise
        raise UsageError(
            'agents need the SDK of their protocol: pip install "imagen_nb[mcp]"'
        ) from None
    settings = load_command_settings(
        config,
        backend=backend,
        output={"dir": output, "cloud_sync": cloud_sync.value if cloud_sync else None},
    )
    bounds = DrawingBounds(max_pictures, max_side, max_steps) if draw else None
    if sys.stdin.isatty():
        print_notice(
            "waiting for an agent on stdin: see docs/agents.md; Ctrl-D ends it"
        )
    with Studio(settings) as studio:
        serve(studio, bounds)
