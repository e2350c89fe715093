"""The options that commands share, or would be lost in, each written once."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from imagen_nb.cli.completion import (
    complete_backend,
    complete_id,
    complete_preset,
    complete_scheduler,
    complete_tag,
)
from imagen_nb.errors import UsageError
from imagen_nb.system import paths

if TYPE_CHECKING:
    import pandas as pd

    from imagen_nb.config.settings import Settings
    from imagen_nb.studio.studio import Studio


class Switch(StrEnum):
    """auto, on or off."""

    auto = "auto"
    on = "on"
    off = "off"


def expand_option(path: Path | None) -> Path | None:
    """Return an option's path with a leading ~ resolved; None when it was not given."""
    return paths.expand_user(path) if path else None


def load_command_settings(config: Path | None, **arguments: Any) -> Settings:
    """Load the settings in force, with the command's own arguments on top."""
    from imagen_nb.config.settings import load_settings

    return load_settings(arguments, config)


def preview_choice(preview: Switch | None, no_preview: bool) -> str | None:
    """Return the setting `preview` that the two options ask for; None for neither.

    Raises `UsageError` where they contradict each other.
    """
    if not no_preview:
        return preview.value if preview else None
    if preview not in (None, Switch.off):
        raise UsageError(
            f"--no-preview and --preview {preview} contradict each other: leave one out"
        )
    return Switch.off.value


def with_stdin_lines(words: Iterable[str]) -> list[str]:
    """Return the words, with what stands on stdin, a line each, in the place of a -."""
    found: list[str] = []
    for word in words:
        found += _stdin_lines() if word == "-" else [word]
    return found


def _stdin_lines() -> list[str]:
    return [line.strip() for line in sys.stdin if line.strip()]


# Of nearly every command.
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        help="Configuration file instead of ~/.config/imagen.yaml.",
        callback=expand_option,
    ),
]
FolderOption = Annotated[
    Path | None,
    typer.Option(
        "--output", help="Instead of the configured folder.", callback=expand_option
    ),
]
PicturesArgument = Annotated[
    list[str],
    typer.Argument(
        help="Ids (8 digits or more), PNGs or sidecars; - reads them from stdin.",
        autocompletion=complete_id,
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print the records as JSON, for programs.")
]

EmbedderOption = Annotated[
    str | None,
    typer.Option(
        help="What looks at pictures: a name, a folder or a Hugging Face id; see"
        " docs/plugins.md.",
    ),
]

RawCsvOption = Annotated[
    bool,
    typer.Option(
        "--raw-csv",
        help="Keep cells that spreadsheets take for formulas as they are in CSV.",
    ),
]

# Of commands that draw.
AgainOption = Annotated[
    bool,
    typer.Option("--again", help="Draw even what was drawn today with these settings."),
]
BackendOption = Annotated[
    str | None,
    typer.Option(
        help="What draws: a name of `imagen models`, auto, or remote: another machine.",
        autocompletion=complete_backend,
    ),
]
CloudSyncOption = Annotated[
    Switch | None, typer.Option(help="Copy to the cloud: auto, on or off.")
]
InitImageOption = Annotated[
    str | None,
    typer.Option(
        help="Start from, or edit, this image: a file, or the id of a picture."
    ),
]
LoraOption = Annotated[
    list[str] | None,
    typer.Option(
        help="A LoRA, FILE.safetensors or FILE.safetensors:WEIGHT; may be repeated."
    ),
]
MaskOption = Annotated[
    str | None, typer.Option(help="An image as large, white where it is painted anew.")
]
NegativePromptOption = Annotated[
    str | None, typer.Option(help="What to lead away from; see --true-cfg.")
]
NoCloudOption = Annotated[
    bool, typer.Option("--no-cloud", help="Never copy these pictures to the cloud.")
]
NoPreviewOption = Annotated[
    bool,
    typer.Option(
        "--no-preview",
        help="Show no picture in the terminal, nor as it grows in a notebook.",
    ),
]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        help="Folder (or, for one picture, file) to keep it in.", callback=expand_option
    ),
]
PresetOption = Annotated[
    str | None,
    typer.Option(
        help="Settings by name, as the Panel saves them; options win over it.",
        autocompletion=complete_preset,
    ),
]
PreviewOption = Annotated[
    Switch | None,
    typer.Option(help="Show the picture in the terminal: auto, on or off."),
]
TagOption = Annotated[
    list[str] | None,
    typer.Option(
        help="A label to find it by; may be repeated.", autocompletion=complete_tag
    ),
]

# Of `imagen generate`: one value each.
PromptArgument = Annotated[
    str, typer.Argument(help="What to draw; - reads it from standard input.")
]
SeedOption = Annotated[
    int | None, typer.Option(help="0 to 2^53-1; the first one with --count.")
]
StepsOption = Annotated[int | None, typer.Option(help="Denoising steps.")]
SideOption = Annotated[int | None, typer.Option(help="Pixels.")]
GuidanceOption = Annotated[float | None, typer.Option(help="Guidance scale.")]
CountOption = Annotated[int, typer.Option(help="How many, of consecutive seeds.")]
StrengthOption = Annotated[
    float | None, typer.Option(help="How much of the image is drawn anew, 0.01 to 1.")
]
TrueCfgOption = Annotated[
    float | None,
    typer.Option(help="Scale of classifier-free guidance; above 1 is on."),
]
SchedulerOption = Annotated[
    str | None,
    typer.Option(
        help="Another than the model's own, like euler-karras, unipc.",
        autocompletion=complete_scheduler,
    ),
]

# Of `imagen sweep`: lists.
PromptsArgument = Annotated[
    list[str], typer.Argument(help="Prompts; {red|blue} stands for each in turn.")
]
SeedsOption = Annotated[str | None, typer.Option(help="Like 1..8 or 3,5,11.")]
StepsListOption = Annotated[str | None, typer.Option(help="Like 2,4,8.")]
GuidanceListOption = Annotated[str | None, typer.Option(help="Like 0,3.5.")]
SizesOption = Annotated[
    str | None, typer.Option(help="Like 128x128,192x128 (width x height).")
]
StrengthListOption = Annotated[str | None, typer.Option(help="Like 0.3,0.6,0.9.")]
TrueCfgListOption = Annotated[str | None, typer.Option(help="Like 1,2,4.")]
SchedulerListOption = Annotated[str | None, typer.Option(help="Like euler,unipc.")]


class HistorySourceOption(StrEnum):
    """Where to read pictures, or votes."""

    auto = "auto"
    cloud = "cloud"
    local = "local"
    merged = "merged"


@dataclass(frozen=True, slots=True)
class HistoryFilters:
    """Which pictures: the conditions of `Studio.history`, in its words."""

    since: Annotated[
        str | None, typer.Option(help="Like 7d, '2 weeks', yesterday, 2026-05-11.")
    ] = None
    until: Annotated[
        str | None, typer.Option(help="As --since; a day is included.")
    ] = None
    prompt: Annotated[
        str | None,
        typer.Option(help='Words that all must occur; "an exact phrase"; -without.'),
    ] = None
    backend: Annotated[
        list[str] | None,
        typer.Option(help="One of these.", autocompletion=complete_backend),
    ] = None
    model: Annotated[list[str] | None, typer.Option(help="One of these.")] = None
    tag: Annotated[
        list[str] | None,
        typer.Option(help="All of these.", autocompletion=complete_tag),
    ] = None
    any_tag: Annotated[
        list[str] | None,
        typer.Option(help="At least one of these.", autocompletion=complete_tag),
    ] = None
    seed: Annotated[str | None, typer.Option(help="Like 11 or 1..8,12.")] = None
    size: Annotated[str | None, typer.Option(help="Like 128x128,192x128.")] = None
    id: Annotated[
        list[str] | None,
        typer.Option(help="Only these.", autocompletion=complete_id),
    ] = None
    limit: Annotated[int | None, typer.Option(help="At most so many, the newest.")] = (
        None
    )
    source: Annotated[
        HistorySourceOption,
        typer.Option(help="cloud, local, merged, or auto: the cloud if it answers."),
    ] = HistorySourceOption.auto

    def history(self, studio: Studio, **arguments: Any) -> pd.DataFrame:
        """Return the history of what passes; `arguments` win over the filters."""
        return studio.history(**{**self.conditions(), **arguments})

    def conditions(self) -> dict[str, Any]:
        """Return the filters as arguments of `Studio.history`."""
        from imagen_nb.request.sweep_syntax import parse_ints

        return {
            "since": self.since,
            "until": self.until,
            "prompt": self.prompt,
            "backend": self.backend or None,
            "model": self.model or None,
            "tags": self.tag or None,
            "any_tags": self.any_tag or None,
            "seed": None if self.seed is None else parse_ints(self.seed),
            "size": self.size,
            "ids": self.id or None,
            "limit": self.limit,
            "source": self.source.value,
        }


def with_filter_options(
    command: Callable[..., None], *, left_out: Collection[str] = ()
) -> Callable[..., None]:
    """Return the command with the filters' options in place of its argument `filters`.

    They stand after its arguments without a default and before its other options, as in
    `imagen history --help`. `left_out`: filters that the command does not take.
    """
    own = inspect.signature(command, eval_str=True)

    @functools.wraps(command)
    def with_options(**arguments: Any) -> None:
        names = _filter_names(left_out)
        filters = HistoryFilters(**{name: arguments.pop(name) for name in names})
        command(filters=filters, **arguments)

    parameters = _with_filter_parameters(own, _filter_names(left_out))
    with_options.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {p.name: p.annotation for p in parameters}
    del with_options.__dict__["__wrapped__"]  # whose signature typer would read instead
    return with_options


def _filter_names(left_out: Collection[str]) -> list[str]:
    names = [field.name for field in fields(HistoryFilters)]
    return [name for name in names if name not in left_out]


def _with_filter_parameters(
    own: inspect.Signature, names: Collection[str]
) -> list[inspect.Parameter]:
    hints = get_type_hints(HistoryFilters, include_extras=True)
    keyword = inspect.Parameter.KEYWORD_ONLY
    filters = [
        inspect.Parameter(
            field.name, keyword, default=field.default, annotation=hints[field.name]
        )
        for field in fields(HistoryFilters)
        if field.name in names
    ]
    others = [p for p in own.parameters.values() if p.name != "filters"]
    required = [p for p in others if p.default is p.empty]
    optional = [p for p in others if p.default is not p.empty]
    return [p.replace(kind=keyword) for p in (*required, *filters, *optional)]
