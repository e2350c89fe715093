"""`imagen db migrate` and `imagen db status`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imagen_nb.cli import options
from imagen_nb.errors import UsageError
from imagen_nb.system.terminal import print_notice, print_table

if TYPE_CHECKING:
    from imagen_nb.cloud.migrate import Migration

app = typer.Typer(help="Prepare the database of your Supabase.")

DatabaseUrlOption = Annotated[
    str | None,
    typer.Option(
        help="What Supabase's dashboard shows under Connect; $SUPABASE_DB_URL, which no"
        " other user of this machine sees."
    ),
]


@app.command()
def migrate(
    database_url: DatabaseUrlOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only list what would be applied.")
    ] = False,
    config: options.ConfigOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Apply the migrations that are missing."""
    from imagen_nb.cloud import migrate as database

    url = _required_database_url(database_url, config)
    migrations = database.apply_migrations(url, dry_run=dry_run, tell=print_notice)
    state = "pending" if dry_run else "applied"
    if as_json or migrations:
        _print_migrations([(one, state) for one in migrations], as_json)
    else:
        print("nothing to do: every migration is applied")


@app.command()
def status(
    database_url: DatabaseUrlOption = None,
    config: options.ConfigOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """List the migrations: applied, pending, or altered since they were applied."""
    from imagen_nb.cloud import migrate as database

    states = database.migration_states(_required_database_url(database_url, config))
    _print_migrations(states, as_json)


def _required_database_url(database_url: str | None, config: Path | None) -> str:
    settings = options.load_command_settings(
        config, supabase={"database_url": database_url}
    )
    if settings.supabase.database_url is None:
        raise UsageError(
            "no database URL: set $SUPABASE_DB_URL to what Supabase's dashboard shows"
            " under Connect, Session pooler (with the database's password), or give"
            " --database-url"
        )
    return settings.supabase.database_url.get_secret_value()


def _print_migrations(states: Iterable[tuple[Migration, str]], as_json: bool) -> None:
    rows = [
        {"version": migration.version, "name": migration.name, "state": state}
        for migration, state in states
    ]
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        print_table(("version", "name", "state"), [tuple(row.values()) for row in rows])
