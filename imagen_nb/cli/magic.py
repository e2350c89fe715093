"""%imagen and %%imagen: what `imagen generate` does, on the session's Studio, shown in the cell."""

from __future__ import annotations

import functools
import keyword
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from imagen_nb.cli import ClickException, app, draw
from imagen_nb.cli.completion import OptionCompleter
from imagen_nb.errors import UsageError

if TYPE_CHECKING:
    from imagen_nb.storage.picture import Picture
    from imagen_nb.studio.pictures import Pictures

MAGIC_NAME = "imagen"
OMITTED_OPTIONS = {  # of the command's options
    "config",  # a session has its configuration: im.configure
    "cloud_sync",  # likewise; --no-cloud is for single pictures
    "preview",  # of terminals; a notebook shows what it drew anyway
    "as_json",  # -o gives the Picture, whose .record is all of it
}
_WORD_PATTERN = re.compile(
    r"""(--?[\w-]+=)?(?:"([^"]*)"|'([^']*)')(?=\s|$)|(?:\{[^{}]*\}|\S)+"""
)
_PRICE_PATTERN = re.compile(r"\$(?=\d)")
_FLAG_PATTERN = re.compile(r"(--?[A-Za-z][\w-]*)(=?)")


def _imagen(
    prompt: Annotated[
        str,
        typer.Argument(
            help="What to draw: the rest of the line and, after %%imagen, the text of the cell, all"
            " its lines together. Quotation marks around the whole are optional."
        ),
    ],
    assign: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--assign",
            metavar="NAME",
            help="Give the Picture, or Pictures, this name.",
        ),
    ] = None,
) -> None:
    """Draw a picture, show it, and keep it with all that is needed to draw it again.

    {name} and $name on the line stand for variables; the text of a cell is as it is.
    """


@functools.cache
def magic_command() -> Any:
    """The magic's own arguments, then the options of `imagen generate`, as typer parses them."""
    own = typer.Typer(add_completion=False, rich_markup_mode=None)
    own.command(context_settings={"help_option_names": ["-h", "--help"]})(_imagen)
    made: Any = typer.main.get_command(own)
    commands: Any = typer.main.get_command(app)
    known = {"prompt", *OMITTED_OPTIONS}
    shared = [
        one for one in commands.commands["generate"].params if one.name not in known
    ]
    made.params = [*made.params, *shared]
    return made


class _Word(NamedTuple):
    """A word as it was typed, and without the quotation marks around it."""

    typed: str
    text: str

    @classmethod
    def all_of(cls, line: str) -> Iterator[_Word]:
        for found in _WORD_PATTERN.finditer(line):
            name, double, single = found.groups()
            quoted = double if double is not None else single
            yield cls(found[0], found[0] if quoted is None else (name or "") + quoted)


def command_arguments(line: str, cell: str, expand: Callable[[str], str]) -> list[str]:
    """The arguments of the command: flags first, then the prompt, if there is one.

    `expand` puts variables in. It is done here, after flags were told from the prompt, so that
    whatever text is in a variable can never become a flag.
    """
    flags: list[str] = []
    prompt: list[_Word] = []
    words = _Word.all_of(line)
    for word in words:
        flag = _FLAG_PATTERN.match(word.typed)
        if word.typed == "--":
            prompt += words
        elif not flag:
            prompt.append(word)
        elif flag[2]:
            flags.append(flag[0] + expand(word.text[flag.end() :]))
        else:
            value = next(words, None) if flag[1] in _flags_with_values() else None
            flags += [word.text, *([expand(value.text)] if value else [])]
    whole = len(prompt) == 1  # or else quotation marks belong to the prompt
    said = [expand(word.text if whole else word.typed) for word in prompt]
    lines = [line.strip() for line in cell.split("\n")]
    text = " ".join(filter(None, [*said, *lines]))
    return [*flags, "--", text] if text else flags


@functools.cache
def _flags_with_values() -> frozenset[str]:
    options = [one for one in magic_command().params if one.param_type_name == "option"]
    return frozenset(name for one in options if not one.is_flag for name in one.opts)


def run_magic(shell: Any, line: str, cell: str = "") -> Picture | Pictures | None:
    """Draw what the line and the cell say. Gives a Picture, or Pictures with a --count above 1."""
    given = command_arguments(line, cell, functools.partial(_expand_variables, shell))
    if not given:
        print(_short_help())
        return None
    try:
        options = magic_command().make_context(f"%{MAGIC_NAME}", given).params
    except typer.Exit:  # it printed its help
        return None
    except ClickException as error:
        raise UsageError(" ".join(error.format_message().split())) from None
    name = _validated_variable_name(options.pop("assign"))
    drawn = _draw_pictures(**options)
    if name:
        shell.push({name: drawn})
    return drawn


def _draw_pictures(
    prompt: str, again: bool, count: int, **options: Any
) -> Picture | Pictures:
    from imagen_nb.studio.default import studio

    began = datetime.now(UTC)
    pictures = draw.draw_seeds(studio(), prompt, again=again, count=count, **options)
    draw.note_pictures_of_today(pictures, began, again)
    return pictures[0] if count == 1 else pictures


def _validated_variable_name(name: str | None) -> str | None:
    if name is None or (name.isidentifier() and not keyword.iskeyword(name)):
        return name
    raise UsageError(f"-o takes a name for a variable, not {name!r}")


def _expand_variables(shell: Any, text: str) -> str:
    """The text with {name} and $name as IPython puts them in; unknown ones stay as they are."""
    from IPython.utils.text import DollarFormatter

    try:  # $5 is a price
        found: str = DollarFormatter().vformat(
            _PRICE_PATTERN.sub("$$", text), [], shell.user_ns
        )
    except Exception:  # whatever the user's own expression raises, as in any magic
        return text
    return found


def _short_help() -> str:
    return (
        f"%{MAGIC_NAME} a red boat at sunset --seed 11     draws a picture and shows it\n"
        f"%%{MAGIC_NAME} --count 4 -o boats                draws what the cell's text says\n"
        f"%{MAGIC_NAME} --help                             tells all options"
    )


def load_magics(shell: Any) -> None:
    """Register the magics and the completion of their options."""
    from IPython.core.magic import no_var_expand

    def imagen(line: str, cell: str = "") -> Picture | Pictures | None:
        return run_magic(shell, line, cell)

    imagen.__doc__ = f"{_imagen.__doc__}\n{_short_help()}"
    shell.register_magic_function(no_var_expand(imagen), "line_cell", MAGIC_NAME)
    shell.Completer.custom_matchers.append(OptionCompleter(MAGIC_NAME, magic_command))


def unload_magics(shell: Any) -> None:
    """Take them away again."""
    for kind in shell.magics_manager.magics.values():
        kind.pop(MAGIC_NAME, None)
    matchers = shell.Completer.custom_matchers
    matchers[:] = [one for one in matchers if not isinstance(one, OptionCompleter)]
