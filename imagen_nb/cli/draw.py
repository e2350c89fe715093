"""`imagen generate`, `imagen sweep` and `imagen reproduce`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagen_nb.cli import options
from imagen_nb.cli.completion import complete_id
from imagen_nb.cli.options import Switch, load_command_settings
from imagen_nb.errors import UsageError
from imagen_nb.system.terminal import can_show_pictures, print_notice, print_picture

if TYPE_CHECKING:
    from imagen_nb.config.settings import Settings
    from imagen_nb.storage.picture import Picture
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
    tag: options.TagOption = None,
    output: options.OutputOption = None,
    again: options.AgainOption = False,
    config: options.ConfigOption = None,
    no_cloud: options.NoCloudOption = False,
    cloud_sync: options.CloudSyncOption = None,
    preview: options.PreviewOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Draw a picture and keep it with all that is needed to draw it again."""
    from imagen_nb.studio.studio import Studio

    text = prompt_or_stdin(prompt)
    settings = load_drawing_settings(config, cloud_sync, preview)
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
    **arguments: Any,
) -> Pictures:
    """Draw `count` pictures of one prompt, with consecutive seeds, as the options say.

    `arguments`: options that `Studio.generate` calls by the same name. Raises
    `UsageError` for a count out of range, and what `Studio.generate` does.
    """
    from imagen_nb.request import random_seed

    if not 1 <= count <= MAX_PICTURES:
        raise UsageError(f"--count must be from 1 to {MAX_PICTURES}, not {count}")
    first = random_seed() if seed is None else seed
    return studio.repeat(
        prompt,
        range(first, first + count),
        tags=tag or (),
        cloud=cloud_choice(no_cloud),
        **lora_options(lora),
        **arguments,
    )


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
    as_json: options.JsonOption = False,
) -> None:
    """Draw every combination, keep each picture, and a contact sheet with labelled axes."""
    from imagen_nb.request.sweep_syntax import parse_floats, parse_ints, parse_sizes
    from imagen_nb.studio.studio import Studio

    settings = load_drawing_settings(config, cloud_sync, preview)
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
    tag: options.TagOption = None,
    output: options.OutputOption = None,
    config: options.ConfigOption = None,
    no_cloud: options.NoCloudOption = False,
    cloud_sync: options.CloudSyncOption = None,
    preview: options.PreviewOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Draw a picture again and compare it with the first one, pixel by pixel."""
    from imagen_nb.studio.studio import Studio

    settings = load_drawing_settings(config, cloud_sync, preview)
    cloud = cloud_choice(no_cloud)
    with Studio(settings, background=False) as studio:
        picture = studio.reproduce(what, tags=tag or (), cloud=cloud, output=output)
        if as_json:
            copy_to_cloud(studio, [picture], cloud)
            print(json.dumps(_comparison_as_json(picture), indent=2))
        else:
            print_drawn(studio, [picture], cloud, as_json)
            print(f"identical: {_describe_identical(picture)}")
        if can_show_pictures(settings.preview):
            print_picture(picture.image)


def note_pictures_of_today(
    pictures: Sequence[Picture], began: datetime, again: bool
) -> None:
    """Say on stderr which pictures of today were given instead of being drawn.

    `began`: when the command began; what is older was not drawn by it.
    """
    old = [picture for picture in pictures if picture.record.created_at < began]
    if again or not old:
        return
    which = f"{len(old)} of {len(pictures)} pictures" if len(old) > 1 else old[0].path
    print_notice(f"drawn today already: {which} (--again draws anew)")


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
    config: Path | None, sync: Switch | None, preview: Switch | None
) -> Settings:
    """Load the settings in force for a command that draws."""
    output = {"cloud_sync": sync.value if sync else None}
    return load_command_settings(
        config, output=output, preview=preview.value if preview else None
    )


def cloud_choice(no_cloud: bool) -> bool | None:
    """Return `cloud` as `Studio.generate` takes it: None is as configured."""
    return False if no_cloud else None


def print_drawn(
    studio: Studio,
    pictures: Sequence[Picture],
    cloud: bool | None,
    as_json: bool,
    sheet: Path | None = None,
) -> None:
    """Print what was drawn: paths for people and pipes, whole records for programs.

    Paths come first and at once; then what the cloud has, as soon as it has it. One
    record is an object, several are an array, as are those of a sweep (with a `sheet`).
    """
    if not as_json:
        for picture in pictures:
            print(picture.path)
            print(f"sidecar: {picture.sidecar_path}")
        if sheet:
            print(f"contact sheet: {sheet}")
        sys.stdout.flush()
    copy_to_cloud(studio, pictures, cloud)
    if as_json:
        rows = [_picture_as_json(picture) for picture in pictures]
        print(json.dumps(rows if len(rows) > 1 or sheet else rows[0], indent=2))
        return
    for picture in pictures:
        entry = picture.catalog_entry()
        if entry and entry.cloud == "synced":
            id, path = entry.record.id, entry.record.storage_path
            print(f"cloud: imagen.images.id={id} storage_path={path}")


def copy_to_cloud(
    studio: Studio, pictures: Sequence[Picture], cloud: bool | None
) -> None:
    """Try to copy the pictures where that is configured, and say what failed."""
    if not studio.copies(cloud):
        return
    result = studio.sync(pictures=pictures)
    reasons = [result.trouble, *(reason for _, reason in result.unsent)]
    for reason in filter(None, reasons):
        print_notice(
            f"cloud sync: {reason}; the picture is kept, `imagen sync` tries again"
        )


def _picture_as_json(picture: Picture) -> dict[str, object]:
    """Return the record by the catalog, or as it was drawn if its entry is gone."""
    kept = picture.catalog_entry() or picture
    return {**kept.record.snapshot(), "path": str(kept.path), "cloud": kept.cloud}


def _describe_identical(picture: Picture) -> str:
    if picture.identical is None:
        return "unknown: there is no first picture to compare with"
    if picture.identical:
        return "yes"
    return f"no: {'; '.join(picture.differs) or 'nothing recorded is why'}"


def _comparison_as_json(picture: Picture) -> dict[str, object]:
    return {
        **picture.record.snapshot(),
        "path": str(picture.path),
        "cloud": picture.cloud,
        "identical": picture.identical,
        "differs": list(picture.differs),
    }
