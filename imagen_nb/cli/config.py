"""`imagen config init`, `validate`, `show` and `provenance`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imagen_nb.cli import options
from imagen_nb.errors import ConfigError, printable
from imagen_nb.system.terminal import print_notice, print_table

if TYPE_CHECKING:
    from imagen_nb.config.settings import Settings

app = typer.Typer(help="Write, check and show the configuration.")

ConfigFileOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="The file; ~/.config/imagen.yaml.",
        callback=options.expand_option,
    ),
]


@app.command()
def init(
    config: ConfigFileOption = None,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite a file that is there.")
    ] = False,
) -> None:
    """Write a commented configuration file."""
    from imagen_nb.config.settings import config_path
    from imagen_nb.config.yaml_file import write_template

    path = config or config_path()
    write_template(path, force=force)
    print(path)


@app.command()
def validate(
    config: ConfigFileOption = None,
    online: Annotated[
        bool,
        typer.Option(
            "--online", help="Also sign in, and check table, bucket and policies."
        ),
    ] = False,
) -> None:
    """Check the configuration file: each problem with its line, key and what is expected."""
    from imagen_nb.cloud.check import configuration_warnings
    from imagen_nb.config.older_names import older_names_in
    from imagen_nb.config.settings import config_path, load_settings
    from imagen_nb.config.settings import validate_file as find_problems
    from imagen_nb.storage.credentials import signer_of

    path = config or config_path()
    problems = find_problems(path)
    for problem in problems:
        print(printable(str(problem)), file=sys.stderr)
    if problems:
        raise typer.Exit(1)
    settings = load_settings(path=path)
    for note in older_names_in(path):
        print_notice(str(note))
    if signer := signer_of(settings.provenance):
        signer.require_ready()
    for warning in configuration_warnings(settings, path):
        print_notice(warning)
    print(f"{path}: good")
    if online:
        print_server_findings(settings)


def print_server_findings(settings: Settings) -> None:
    """Ask the server and print what it says, a line a finding.

    Raises `typer.Exit` with code 1 when something is wrong.
    """
    from imagen_nb.cloud.check import check_server

    good = True
    for finding in check_server(settings):
        print(f"{finding.what}: {'wrong' if finding.trouble else 'good'}")
        if finding.trouble:
            good = False
            missing = f" (missing: {finding.migration})" if finding.migration else ""
            print_notice(f"{finding.what}: {finding.trouble}{missing}")
    if not good:
        raise typer.Exit(1)


@app.command()
def show(config: ConfigFileOption = None, as_json: options.JsonOption = False) -> None:
    """Show every value in force and where it came from; secrets are masked."""
    rows = list(options.load_command_settings(config).shown())
    if as_json:
        values = [{"key": k, "value": v, "source": s} for k, v, s in rows]
        print(json.dumps(values, indent=2))
        return
    print_table(("key", "value", "source"), rows)


@app.command()
def provenance(
    config: ConfigFileOption = None,
    name: Annotated[
        str | None,
        typer.Option(help="Who signs, as verifiers show it; anything of your own."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace key and certificate.")
    ] = False,
) -> None:
    """Make a key and a certificate, and sign every picture from now on (C2PA).

    They are written beside the configuration file, which names them.
    """
    from imagen_nb.config import certificate
    from imagen_nb.config.settings import config_path
    from imagen_nb.config.yaml_edit import settings_lines, write_settings

    path = config or config_path()
    files = certificate.certificate_files(path)
    if not force:
        certificate.require_no_other_certificate(path, files)
    certificate.make_certificate(files, name or certificate.USUAL_SIGNER, force=force)
    for made in (files.certificate, files.private_key):
        print(made)
    try:
        write_settings(path, files.settings())
    except ConfigError:
        print(settings_lines(files.settings()), end="")
        raise
    print(path)
    print_notice(
        "pictures are signed from now on; verifiers say: signed, not by a trusted"
        " authority, as the certificate is self-made. Keep the key to yourself"
    )
