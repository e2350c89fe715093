"""`imagen supabase start`, `stop` and `status`: a Supabase on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imagen_nb.cli import options
from imagen_nb.system.terminal import print_notice, print_table

if TYPE_CHECKING:
    from imagen_nb.cloud.local import LocalSupabase

app = typer.Typer(
    help="Run a Supabase of your own on this machine, to try and test with."
)

SupabaseFolderOption = Annotated[
    Path | None,
    typer.Option(
        help="Where its data are, instead of ~/.local/share/imagen/supabase.",
        callback=options.expand_option,
    ),
]


@app.command()
def start(
    database_url: Annotated[
        str | None,
        typer.Option(
            help="A PostgreSQL of yours, as its superuser, instead of the embedded one."
        ),
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Instead of any free one.", min=1, max=65535)
    ] = None,
    configure: Annotated[
        bool, typer.Option("--configure", help="Write it into the configuration file.")
    ] = False,
    config: options.ConfigOption = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Replace another Supabase in the configuration file."
        ),
    ] = False,
    folder: SupabaseFolderOption = None,
) -> None:
    """Start it, or find it running, and print what to put into the configuration."""
    from imagen_nb.cloud import local
    from imagen_nb.cloud.local.configure import yaml_lines

    running = local.status(folder)
    supabase = local.start(
        folder, database_url=database_url, port=port, tell=print_notice
    )
    print_notice(f"Supabase {'runs' if running else 'started'} at {supabase.url}")
    if configure:
        _write_configuration(supabase, config, force)
    else:
        print(yaml_lines(supabase), end="")


@app.command()
def stop(folder: SupabaseFolderOption = None) -> None:
    """Stop it; its data stay."""
    from imagen_nb.cloud import local

    print("stopped" if local.stop(folder) else "it was not running")


@app.command()
def status(
    folder: SupabaseFolderOption = None, as_json: options.JsonOption = False
) -> None:
    """Say whether it runs, and where. Exit code 1 when it does not."""
    from imagen_nb.cloud import local

    supabase = local.status(folder)
    facts = _public_facts(supabase) if supabase else {"running": False}
    if as_json:
        print(json.dumps(facts, indent=2))
    elif supabase:
        rows = [(key, str(value)) for key, value in facts.items()]
        print_table(("key", "value"), rows)
    else:
        print("not running: `imagen supabase start`")
    if not supabase:
        raise typer.Exit(1)


def _public_facts(supabase: LocalSupabase) -> dict[str, str | bool]:
    """Return all but the secrets, which stand in the folder's state.json."""
    return {
        "running": True,
        "url": supabase.url,
        "email": supabase.email,
        "owner_user_id": supabase.user_id,
        "database": "PostgreSQL" if supabase.database_url else "embedded",
        "folder": str(supabase.folder),
    }


def _write_configuration(
    supabase: LocalSupabase, config: Path | None, force: bool
) -> None:
    from imagen_nb.cloud.local.configure import write_to_config
    from imagen_nb.config.settings import config_path

    path = config or config_path()
    write_to_config(path, supabase, force=force)
    print(path)
