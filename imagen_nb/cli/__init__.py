"""The command `imagen`: each command is a few lines over one library call.

Other rooms use:
    magic: `load_magics` and `unload_magics`, for `%load_ext imagen_nb`
"""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from imagen_nb._version import __version__
from imagen_nb.cli import config, db, jobs, supabase
from imagen_nb.cli.adopt import adopt
from imagen_nb.cli.batch import batch
from imagen_nb.cli.delete import delete, restore
from imagen_nb.cli.doctor import doctor
from imagen_nb.cli.draw import generate, reproduce, sweep
from imagen_nb.cli.find import embed, find
from imagen_nb.cli.history import history, report
from imagen_nb.cli.mcp import mcp
from imagen_nb.cli.models import bench_gpu, models
from imagen_nb.cli.status import reindex, status
from imagen_nb.cli.sync import sync
from imagen_nb.cli.tag import tag
from imagen_nb.cli.train_lora import train_lora
from imagen_nb.cli.verify import verify
from imagen_nb.cli.vote import vote, votes
from imagen_nb.cli.work import work
from imagen_nb.errors import ImagenError
from imagen_nb.system.terminal import abandon_stdout, accept_any_text, print_notice

EXIT_INTERRUPTED = 130  # what shells say of a command that Ctrl-C ended

app = typer.Typer(
    name="imagen",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(generate)
app.command()(sweep)
app.command()(batch)
app.command()(adopt)
app.command()(history)
app.command()(find)
app.command()(embed)
app.command()(report)
app.command()(reproduce)
app.command()(tag)
app.command()(vote)
app.command()(votes)
app.command()(delete)
app.command()(restore)
app.command()(train_lora)
app.command()(models)
app.command()(bench_gpu)
app.command()(mcp)
app.command()(sync)
app.command()(work)
app.command()(doctor)
app.command()(status)
app.command()(reindex)
app.command()(verify)
app.add_typer(config.app, name="config")
app.add_typer(jobs.app, name="jobs")
app.add_typer(db.app, name="db")
app.add_typer(supabase.app, name="supabase")


@app.callback(invoke_without_command=True)
def imagen(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version, and nothing else.")
    ] = False,
) -> None:
    """Draw pictures with a local FLUX pipeline, keep them, find them again."""
    if version:
        print(f"imagen_nb {__version__}")
        raise typer.Exit


def main(arguments: list[str] | None = None) -> None:
    """Run the command and exit.

    Exit code 0: done, 1: failed, 2: wrong usage, 130: interrupted.
    """
    accept_any_text()
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


# typer carries its own copy of click or uses the installed one: an exception of typer's
# has the base class of the right one.
ClickException: Any = next(
    base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException"
)


def run(arguments: list[str]) -> int:
    """Run the command and return its exit code; every failure is one line on stderr.

    Example:
        >>> run(["status", "--json"])
    """
    code = _run_app(arguments)
    if code == EXIT_INTERRUPTED:
        print_notice("interrupted; pictures finished before are kept")
    return code


def _run_app(arguments: list[str]) -> int:
    try:
        result = app(arguments or ["--help"], prog_name="imagen", standalone_mode=False)
        sys.stdout.flush()
    except ImagenError as error:
        print_notice(str(error))
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):  # some versions of typer return the code
        return EXIT_INTERRUPTED
    except ClickException as error:
        print_notice(" ".join(error.format_message().split()))
        return 2
    except BrokenPipeError:  # whoever read our output is gone: there is nobody to tell
        abandon_stdout()
        return 1
    except OSError as error:
        abandon_stdout()
        print_notice(_describe_os_error(error))
        return 1
    return result if isinstance(result, int) else 0


def _describe_os_error(error: OSError) -> str:
    """Describe an error that storage did not report: mostly a full or closed stdout."""
    if error.errno is None:
        return str(error)
    return f"{error.filename or 'the result cannot be written'}: {error.strerror}"
