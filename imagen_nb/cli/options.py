"""The options that commands share, each written once."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagen_nb.system import paths

if TYPE_CHECKING:
    from imagen_nb.config.settings import Settings


class Switch(StrEnum):
    """auto, on or off."""

    auto = "auto"
    on = "on"
    off = "off"


def expand_option(path: Path | None) -> Path | None:
    """An option's path with a leading ~ resolved, if the option is given."""
    return paths.expanded(path) if path else None


ConfigOption = Annotated[
    Path | None,
    typer.Option(
        help="Configuration file instead of ~/.config/imagen.yaml.",
        callback=expand_option,
    ),
]
BackendOption = Annotated[
    str | None, typer.Option(help="What draws: a name of `imagen models`, or auto.")
]
LoraOption = Annotated[
    list[str] | None,
    typer.Option(
        help="A LoRA, FILE.safetensors or FILE.safetensors:WEIGHT; may be repeated."
    ),
]
InitImageOption = Annotated[
    str | None,
    typer.Option(
        help="Start from, or edit, this image: a file, or the id of a picture."
    ),
]
MaskOption = Annotated[
    str | None, typer.Option(help="An image as large, white where it is painted anew.")
]
NegativePromptOption = Annotated[
    str | None, typer.Option(help="What to lead away from; see --true-cfg.")
]
TagOption = Annotated[
    list[str] | None, typer.Option(help="A label to find it by; may be repeated.")
]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        help="Folder (or, for one picture, file) to keep it in.", callback=expand_option
    ),
]
FolderOption = Annotated[
    Path | None,
    typer.Option(
        "--output", help="Instead of the configured folder.", callback=expand_option
    ),
]
NoCloudOption = Annotated[
    bool, typer.Option("--no-cloud", help="Never copy these pictures to the cloud.")
]
CloudSyncOption = Annotated[
    Switch | None, typer.Option(help="Copy to the cloud: auto, on or off.")
]
PreviewOption = Annotated[
    Switch | None,
    typer.Option(help="Show the picture in the terminal: auto, on or off."),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print the records as JSON, for programs.")
]


def load_command_settings(config: Path | None, **arguments: Any) -> Settings:
    """The settings in force, with the command's own arguments on top."""
    from imagen_nb.config.settings import load_settings

    return load_settings(arguments, config)
