"""%imagen and %%imagen: `imagen generate` on the session's Studio, shown in the cell.

Its options and their values are completed in notebooks and in IPython's terminal.
"""

from __future__ import annotations

import functools
import keyword
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from imagen_nb.cli import ClickException, app, draw
from imagen_nb.cli.completion import (
    backend_choices,
    preset_choices,
    scheduler_choices,
    tag_choices,
)
from imagen_nb.cli.drawn import note_pictures_of_today
from imagen_nb.errors import ImagenError, UsageError

if TYPE_CHECKING:
    from IPython.core.completer import CompletionContext, SimpleMatcherResult

    from imagen_nb.storage.picture import Picture
    from imagen_nb.studio.pictures import Pictures

MAGIC_NAME = "imagen"
OMITTED_OPTIONS = {  # of the command's
    "config",  # a session has its configuration: im.configure
    "cloud_sync",  # likewise; --no-cloud is for single pictures
    "preview",  # of terminals; --no-preview is for the growing picture
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
            help="What to draw: the rest of the line and, after %%imagen, the text of"
            " the cell, all its lines together. Quotation marks around the whole are"
            " optional."
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
    """Return the magic's command as click has it: its own arguments, then those shared.

    Shared are the options of `imagen generate`, but for `OMITTED_OPTIONS`.
    """
    own = typer.Typer(add_completion=False, rich_markup_mode=None)
    own.command(context_settings={"help_option_names": ["-h", "--help"]})(_imagen)
    magic: Any = typer.main.get_command(own)
    imagen: Any = typer.main.get_command(app)
    left_out = {"prompt", *OMITTED_OPTIONS}
    options = imagen.commands["generate"].params
    shared = [option for option in options if option.name not in left_out]
    magic.params = [*magic.params, *shared]
    return magic


class _Word(NamedTuple):
    """A word as it was typed, and without the quotation marks around it."""

    typed: str
    text: str

    @classmethod
    def all_of(cls, line: str) -> Iterator[_Word]:
        for match in _WORD_PATTERN.finditer(line):
            name, double, single = match.groups()
            quoted = double if double is not None else single
            text = match[0] if quoted is None else (name or "") + quoted
            yield cls(match[0], text)


def command_arguments(line: str, cell: str, expand: Callable[[str], str]) -> list[str]:
    """Return the command's arguments: flags first, then the prompt, if there is one.

    `expand` puts variables in. It is called here, after flags were told from the
    prompt, so that whatever text is in a variable can never become a flag.

    Example:
        >>> command_arguments("a red boat --seed 3", "", str)
        ['--seed', '3', '--', 'a red boat']
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
            flags.append(word.text)
            value = next(words, None) if flag[1] in _flags_with_values() else None
            if value:
                flags.append(expand(value.text))
    text = _prompt_text(prompt, cell, expand)
    return [*flags, "--", text] if text else flags


def _prompt_text(words: list[_Word], cell: str, expand: Callable[[str], str]) -> str:
    """Return the words of the line, with variables put in, and the cell's lines."""
    whole = len(words) == 1  # or else quotation marks belong to the prompt
    from_line = [expand(word.text if whole else word.typed) for word in words]
    from_cell = [line.strip() for line in cell.split("\n")]
    return " ".join(filter(None, [*from_line, *from_cell]))


@functools.cache
def _flags_with_values() -> frozenset[str]:
    params = magic_command().params
    options = [param for param in params if param.param_type_name == "option"]
    return frozenset(
        name for option in options if not option.is_flag for name in option.opts
    )


def run_magic(shell: Any, line: str, cell: str = "") -> Picture | Pictures | None:
    """Draw what the line and the cell ask for.

    Returns a Picture, Pictures with a --count above 1, and None where only help was
    printed. Raises `UsageError` for what cannot be drawn, and what `Studio.generate`
    does.
    """
    arguments = command_arguments(
        line, cell, functools.partial(_expand_variables, shell)
    )
    if not arguments:
        print(_short_help())
        return None
    try:
        options = magic_command().make_context(f"%{MAGIC_NAME}", arguments).params
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
    prompt: str, again: bool, count: int, no_preview: bool, **options: Any
) -> Picture | Pictures:
    from imagen_nb.studio.default import studio

    began = datetime.now(UTC)
    pictures = draw.draw_seeds(
        studio(), prompt, again=again, count=count, previews=not no_preview, **options
    )
    note_pictures_of_today(pictures, began, again)
    return pictures[0] if count == 1 else pictures


def _validated_variable_name(name: str | None) -> str | None:
    if name is None or (name.isidentifier() and not keyword.iskeyword(name)):
        return name
    raise UsageError(f"-o takes a name for a variable, not {name!r}")


def _expand_variables(shell: Any, text: str) -> str:
    """Return the text with {name} and $name as IPython puts them in.

    Unknown ones stay as they are.
    """
    from IPython.utils.text import DollarFormatter

    try:
        escaped = _PRICE_PATTERN.sub("$$", text)  # $5 is a price
        expanded: str = DollarFormatter().vformat(escaped, [], shell.user_ns)
    except Exception:  # whatever the user's own expression raises, as in any magic
        return text
    return expanded


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
    completer = OptionCompleter(MAGIC_NAME, magic_command)
    shell.Completer.custom_matchers.append(completer)


def unload_magics(shell: Any) -> None:
    """Take them away again."""
    for magics in shell.magics_manager.magics.values():
        magics.pop(MAGIC_NAME, None)
    matchers = shell.Completer.custom_matchers
    matchers[:] = [one for one in matchers if not isinstance(one, OptionCompleter)]


class OptionCompleter:
    """A matcher of IPython's completer, for the options on the lines of one magic."""

    matcher_priority = 100  # before IPython's own, which take options for Python
    matcher_api_version = 2

    def __init__(self, magic: str, command: Callable[[], Any]) -> None:
        # IPython reads both names.
        self.matcher_identifier = self.__qualname__ = f"imagen_nb.{magic}"
        self._line = re.compile(rf"^\s*(?:\w+\s*=\s*)?%%?{magic}\s(?:.*\s)?(\S*)$")
        self._command = command

    def __call__(self, context: CompletionContext) -> SimpleMatcherResult:
        """Return what may stand at the cursor; nothing within the prompt."""
        from IPython.core.completer import SimpleCompletion

        match = self._line.match(context.text_until_cursor)
        word = match[1] if match else ""
        before = context.text_until_cursor[: match.start(1)].split() if match else []
        choices = sorted(self._choices(before, word)) if before else []
        flag, equals, begun = word.rpartition("=")
        completions = [
            SimpleCompletion(flag + equals + choice, type="param")
            for choice in choices
            if choice.startswith(begun)
        ]
        return {"completions": completions, "matched_fragment": word, "suppress": True}

    def _choices(self, before: list[str], word: str) -> Iterable[str]:
        """Return the values of the option that the word belongs to, or all options."""
        flag = word.partition("=")[0] if "=" in word else before[-1]
        choices_of_option = _CHOICES_OF_OPTION.get(flag)
        if choices_of_option:
            try:
                return choices_of_option()
            except ImagenError:  # a folder that cannot be read has nothing to offer
                return []
        if not word.startswith("-"):
            return []
        names = [name for param in self._command().params for name in param.opts]
        return [name for name in names if name.startswith("-")]


def _tag_choices() -> list[str]:
    """Return the tags of the session's folder."""
    from imagen_nb.storage.catalog import Catalog
    from imagen_nb.studio.default import studio
    from imagen_nb.system.paths import expand_user

    return tag_choices(Catalog(expand_user(studio().settings.output.dir)))


_CHOICES_OF_OPTION: dict[str, Callable[[], list[str]]] = {
    "--backend": backend_choices,
    "--preset": preset_choices,
    "--scheduler": scheduler_choices,
    "--tag": _tag_choices,
}
