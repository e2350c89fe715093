"""`imagen verify`: whether pictures are as they were made, and what they say of that."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagen_nb.cli import options
from imagen_nb.errors import StorageError, printable
from imagen_nb.system.terminal import print_notice

if TYPE_CHECKING:
    from imagen_nb.storage.verification import Verification


def verify(
    files: Annotated[
        list[str],
        typer.Argument(
            help="Pictures or sidecars, anybody's; - reads them from stdin."
        ),
    ],
    trust: Annotated[
        Path | None,
        typer.Option(
            help="Certificates (PEM) of authorities that may vouch for signers.",
            callback=options.expand_option,
        ),
    ] = None,
    as_json: options.JsonOption = False,
) -> None:
    """Check pictures: content credentials (C2PA), record, sidecar and sha256.

    A line for each: good, not there, not checked, or changed. Exit code 1 when anything
    is changed, or cannot be read.
    """
    from imagen_nb.storage.credentials_reading import load_authorities

    trusted = load_authorities(trust) if trust else ""
    found = [_verified(Path(one), trusted) for one in options.with_stdin_lines(files)]
    if as_json:
        print(json.dumps([_facts(one) for one in found if one], indent=2))
    for one in found:
        if one and not as_json:
            for check in one.checks:
                print(printable(f"{one.path.name}: {check}"))
    if not all(one and one.holds for one in found):
        raise typer.Exit(1)


def _verified(path: Path, trusted: str) -> Verification | None:
    """Return what is found out; None, and a line on stderr, for what cannot be read."""
    from imagen_nb.storage.verification import verify_picture

    try:
        return verify_picture(path, trusted)
    except StorageError as error:
        print_notice(str(error))
        return None


def _facts(one: Verification) -> dict[str, Any]:
    return {
        "file": str(one.path),
        "holds": one.holds,
        "checks": [asdict(check) for check in one.checks],
        "credentials": asdict(one.credentials) if one.credentials else None,
    }
