"""The command `imagen`: each command is a few lines over one library call."""

from __future__ import annotations

import sys
from typing import Any

import typer

from imagen_nb.cli import config, draw, look
from imagen_nb.errors import ImagenError
from imagen_nb.terminal import complain

app = typer.Typer(
    name="imagen",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Draw pictures with a local FLUX pipeline, keep them, find them again.",
)
app.command()(draw.generate)
app.command()(draw.sweep)
app.command()(look.models)
app.command()(look.status)
app.command()(look.reindex)
app.add_typer(config.app, name="config")


def main(arguments: list[str] | None = None) -> None:
    """Run the command. Exit code 0: done, 1: failed, 2: wrong usage, 130: interrupted."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


# typer carries its own copy of click or uses the installed one: the common base says which.
_Refused: Any = next(
    base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException"
)


def run(arguments: list[str]) -> int:
    """Run the command and give its exit code; every failure is one line on stderr."""
    try:
        result = app(arguments or ["--help"], prog_name="imagen", standalone_mode=False)
    except ImagenError as error:
        complain(str(error))
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        complain("interrupted; pictures finished before are kept")
        return 130
    except _Refused as error:
        complain(" ".join(error.format_message().split()))
        return 2
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output is gone; nothing is wrong with the pictures
        return 1
    return result if isinstance(result, int) else 0
