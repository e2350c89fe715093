"""`imagen generate`, `imagen sweep` and `imagen reproduce`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagen_nb.cli import options
from imagen_nb.cli.completion import complete_id
from imagen_nb.cli.drawn import (
    comparison_as_json,
    copy_to_cloud,
    describe_identical,
    note_pictures_of_today,
    print_drawn,
)
from imagen_nb.cli.options import Switch, load_command_settings, preview_choice
from imagen_nb.errors import UsageError
from imagen_nb.system.terminal import can_show_pictures, print_picture

if TYPE_CHECKING:
    from imagen_nb.config.settings import Settings
    from imagen_nb.studio.pictures import Pictures
    from imagen_nb.studio.studio import Studio

MAX_PICTURES = 10_000  # of one `imagen generate`
_MAX_PREVIEWS = 4  # pictures that a terminal shows after they were drawn


def generate(
    prompt: options.PromptArgument,
    seed: options.SeedOption = None,
    steps: options.StepsOption = None,
    width: options.SideOption = None,
    height: options.SideOption = None,
    guidance: options.GuidanceOption = None,
    count: options.CountOption = 1,
    backend: options.BackendOption = None,
    lora: options.LoraOption = None,
    init_image: options.InitImageOption = None,
    mask: options.MaskOption = None,
    strength: options.StrengthOption = None,
    negative_prompt: options.NegativePromptOption = None,
    true_cfg: options.TrueCfgOption = None,
    scheduler: options.SchedulerOption = None,
    preset: options.PresetOption = None,
    tag: options.TagOption = None,
    output: options.OutputOption = None,
    again: options.AgainOption = False,
    config: options.ConfigOption = None,
    no_cloud: options.NoCloudOption = False,
    cloud_sync: options.CloudSyncOption = None,
    preview: options.PreviewOption = None,
    no_preview: options.NoPreviewOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """Draw a picture and keep it with all that is needed to draw it again."""
    from imagen_nb.studio.studio import Studio

    text = prompt_or_stdin(prompt)
    settings = load_drawing_settings(config, cloud_sync, preview, no_preview)
    began = datetime.now(UTC)
    with Studio(settings, background=False) as studio:
        pictures = draw_seeds(
            studio,
            text,
            seed=seed,
            count=count,
            lora=lora,
            tag=tag,
            no_cloud=no_cloud,
            preset=preset,
            config=config,
            backend=backend,
            steps=steps,
            width=width,
            height=height,
            guidance=guidance,
            init_image=init_image,
            mask=mask,
            strength=strength,
            negative_prompt=negative_prompt,
            true_cfg=true_cfg,
            scheduler=scheduler,
            output=output,
            again=again,
            progress=progress_choice(as_json),
        )
        note_pictures_of_today(pictures, began, again)
        print_drawn(studio, pictures, cloud_choice(no_cloud), as_json)
        if can_show_pictures(settings.preview):
            for picture in pictures[:_MAX_PREVIEWS]:
                print_picture(picture.image)


def draw_seeds(
    studio: Studio,
    prompt: str,
    *,
    seed: int | None,
    count: int,
    lora: list[str] | None,
    tag: list[str] | None,
    no_cloud: bool,
    preset: str | None = None,
    config: Path | None = None,
    **arguments: Any,
) -> Pictures:
    """Draw `count` pictures of one prompt, with consecutive seeds, as the options say.

    `preset`: a name of those beside the configuration file `config`; what is given wins
    over it. `arguments`: options that `Studio.generate` calls by the same name. Raises
    `UsageError` for a count out of range or an unknown preset, and what
    `Studio.generate` does.
    """
    from imagen_nb.request import random_seed

    if not 1 <= count <= MAX_PICTURES:
        raise UsageError(f"--count must be from 1 to {MAX_PICTURES}, not {count}")
    first = random_seed() if seed is None else seed
    given = {**arguments, "tags": tag or (), **lora_options(lora)}
    return studio.repeat(
        prompt,
        range(first, first + count),
        cloud=cloud_choice(no_cloud),
        **(with_preset(preset, config, given) if preset is not None else given),
    )


def with_preset(
    name: str, config: Path | None, given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the arguments with a preset's settings for those that were not given.

    Its tags come first. Raises `UsageError` if there is no such preset.
    """
    from imagen_nb.config.presets import named_preset, presets_path

    said = named_preset(presets_path(config), name).arguments()
    if given.get("init_image") is None:
        said.pop("strength", None)
    own = {name: value for name, value in given.items() if value is not None}
    return {**said, **own, "tags": (*said.get("tags", ()), *given["tags"])}


def sweep(
    prompt: options.PromptsArgument,
    seeds: options.SeedsOption = None,
    steps: options.StepsListOption = None,
    guidance: options.GuidanceListOption = None,
    size: options.SizesOption = None,
    backend: options.BackendOption = None,
    lora: options.LoraOption = None,
    init_image: options.InitImageOption = None,
    mask: options.MaskOption = None,
    strength: options.StrengthListOption = None,
    negative_prompt: options.NegativePromptOption = None,
    true_cfg: options.TrueCfgListOption = None,
    scheduler: options.SchedulerListOption = None,
    tag: options.TagOption = None,
    output: options.OutputOption = None,
    again: options.AgainOption = False,
    config: options.ConfigOption = None,
    no_cloud: options.NoCloudOption = False,
    cloud_sync: options.CloudSyncOption = None,
    preview: options.PreviewOption = None,
    no_preview: options.NoPreviewOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """Draw every combination, keep each picture, and a contact sheet with labelled axes."""
    from imagen_nb.request.sweep_syntax import parse_floats, parse_ints, parse_sizes
    from imagen_nb.studio.studio import Studio

    settings = load_drawing_settings(config, cloud_sync, preview, no_preview)
    began = datetime.now(UTC)
    with Studio(settings, background=False) as studio:
        pictures = studio.sweep(
            [prompt_or_stdin(text) for text in prompt],
            seeds=parse_ints(seeds) if seeds is not None else None,
            steps=parse_ints(steps) if steps is not None else None,
            guidance=parse_floats(guidance) if guidance is not None else None,
            size=parse_sizes(size) if size is not None else None,
            backend=backend,
            tags=tag or (),
            cloud=cloud_choice(no_cloud),
            output=output,
            again=again,
            progress=progress_choice(as_json),
            init_image=init_image,
            mask=mask,
            strength=parse_floats(strength) if strength is not None else None,
            negative_prompt=negative_prompt,
            true_cfg=parse_floats(true_cfg) if true_cfg is not None else None,
            scheduler=scheduler.split(",") if scheduler is not None else None,
            **lora_options(lora),
        )
        note_pictures_of_today(pictures, began, again)
        sheet = pictures.save_contact_sheet()
        print_drawn(studio, pictures, cloud_choice(no_cloud), as_json, sheet)
        if can_show_pictures(settings.preview):
            print_picture(pictures.contact_sheet())


def reproduce(
    what: Annotated[
        str,
        typer.Argument(
            help="An id (8 digits or more of it), a PNG, or a sidecar.",
            autocompletion=complete_id,
        ),
    ],
    backend: Annotated[
        str | None,
        typer.Option(help="remote: another machine draws it; else this one does."),
    ] = None,
    tag: options.TagOption = None,
    output: options.OutputOption = None,
    config: options.ConfigOption = None,
    no_cloud: options.NoCloudOption = False,
    cloud_sync: options.CloudSyncOption = None,
    preview: options.PreviewOption = None,
    no_preview: options.NoPreviewOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """Draw a picture again and compare it with the first one, pixel by pixel."""
    from imagen_nb.studio.studio import Studio

    settings = load_drawing_settings(config, cloud_sync, preview, no_preview)
    cloud = cloud_choice(no_cloud)
    with Studio(settings, background=False) as studio:
        picture = studio.reproduce(
            what,
            backend=backend,
            tags=tag or (),
            cloud=cloud,
            output=output,
            progress=progress_choice(as_json),
        )
        if as_json:
            copy_to_cloud(studio, [picture], cloud)
            print(json.dumps(comparison_as_json(picture), indent=2))
        else:
            print_drawn(studio, [picture], cloud, as_json)
            print(f"identical: {describe_identical(picture)}")
        if can_show_pictures(settings.preview):
            print_picture(picture.image)


def lora_options(loras: Sequence[str] | None) -> dict[str, Any]:
    """Return the backend's option for `--lora`; none for backends that take none."""
    from imagen_nb.backends.flux.loras import parse_lora

    return {"loras": [*map(parse_lora, loras)]} if loras else {}


def prompt_or_stdin(prompt: str) -> str:
    """Return the prompt, or what standard input says for -.

    Raises `UsageError` for what cannot be a prompt.
    """
    from imagen_nb.request.validation import checked_prompt

    try:
        return checked_prompt(sys.stdin.read().strip() if prompt == "-" else prompt)
    except UnicodeDecodeError as error:
        raise UsageError(f"standard input is not text in {error.encoding}") from None


def load_drawing_settings(
    config: Path | None, sync: Switch | None, preview: Switch | None, no_preview: bool
) -> Settings:
    """Load the settings in force for a command that draws."""
    output = {"cloud_sync": sync.value if sync else None}
    shown = preview_choice(preview, no_preview)
    return load_command_settings(config, output=output, preview=shown)


def cloud_choice(no_cloud: bool) -> bool | None:
    """Return `cloud` as `Studio.generate` takes it: None is as configured."""
    return False if no_cloud else None


def progress_choice(as_json: bool) -> bool | None:
    """Return `progress` as `Studio.generate` takes it: programs are shown none."""
    return False if as_json else None
