"""Writes docs/cli.md from the command itself, so that it says what `--help` says.

python tools/cli_docs.py            write it
python tools/cli_docs.py --check    exit 1 when it is stale
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from imagen_nb.cli import app

PAGE = Path(__file__).parent.parent / "docs" / "cli.md"
WIDTH = 88
HEAD = """# The command `imagen`

Written by `python tools/cli_docs.py` from the command's own help; do not edit.

Results go to stdout, everything else to stderr; `--json` prints whole records, for programs. The
exit code is 0 when done, 1 when something failed (one line says what), 2 for wrong usage, 130 after
Ctrl-C.
"""


def commands(
    command: Any, parent: Any = None, name: str = "imagen"
) -> Iterator[tuple[str, Any]]:
    """Every command with its name, e.g. "imagen config init", and its context; groups first."""
    settings = {
        **command.context_settings,
        "terminal_width": WIDTH,
        "max_content_width": WIDTH,
    }
    context = command.context_class(command, info_name=name, parent=parent, **settings)
    yield context.command_path, context
    for part, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, context, part)


def all_commands() -> list[tuple[str, Any]]:
    """Every command of the app."""
    return list(commands(typer.main.get_command(app)))


def page() -> str:
    """The whole of docs/cli.md."""
    parts = [
        f"## {path}\n\n```console\n$ {path} --help\n{context.get_help().strip()}\n```\n"
        for path, context in all_commands()
    ]
    return "\n".join([HEAD, *parts])


def main() -> int:
    """Write the page, or say whether it is stale."""
    if "--check" in sys.argv[1:]:
        stale = not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page()
        if stale:
            print(
                f"{PAGE.name} is stale: run python tools/cli_docs.py", file=sys.stderr
            )
        return int(stale)
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
