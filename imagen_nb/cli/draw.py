"""`imagen generate` and `imagen sweep`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagen_nb.cli import options
from imagen_nb.cli.options import Switch, settings_of
from imagen_nb.errors import UsageError
from imagen_nb.system.terminal import complain, show_picture, shows_pictures

if TYPE_CHECKING:
    from imagen_nb.config.settings import Settings
    from imagen_nb.storage.catalog import CatalogEntry
    from imagen_nb.storage.picture import Picture
    from imagen_nb.studio.pictures import Pictures
    from imagen_nb.studio.studio import Studio

Prompt = Annotated[
    str, typer.Argument(help="What to draw; - reads it from standard input.")
]
Again = Annotated[
    bool,
    typer.Option("--again", help="Draw even what was drawn today with these settings."),
]
MAX_COUNT = 10_000


def generate(
    prompt: Prompt,
    seed: Annotated[
        int | None, typer.Option(help="0 to 2^53-1; the first one with --count.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Denoising steps.")] = None,
    width: Annotated[int | None, typer.Option(help="Pixels.")] = None,
    height: Annotated[int | None, typer.Option(help="Pixels.")] = None,
    guidance: Annotated[float | None, typer.Option(help="Guidance scale.")] = None,
    count: Annotated[int, typer.Option(help="How many, of consecutive seeds.")] = 1,
    backend: options.Backend = None,
    lora: options.Lora = None,
    init_image: options.InitImage = None,
    mask: options.Mask = None,
    strength: Annotated[
        float | None,
        typer.Option(help="How much of the image is drawn anew, 0.01 to 1."),
    ] = None,
    negative_prompt: options.NegativePrompt = None,
    true_cfg: Annotated[
        float | None,
        typer.Option(help="Scale of classifier-free guidance; above 1 is on."),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(help="Another than the model's own, like euler-karras, unipc."),
    ] = None,
    tag: options.Tag = None,
    output: options.Output = None,
    again: Again = False,
    config: options.Config = None,
    no_cloud: options.NoCloud = False,
    cloud_sync: options.CloudSync = None,
    preview: options.Preview = None,
    as_json: options.Json = False,
) -> None:
    """Draw a picture and keep it with all that is needed to draw it again."""
    from imagen_nb.studio.studio import Studio

    text = read_prompt(prompt)
    settings = drawing_settings(config, cloud_sync, preview)
    cloud, began = False if no_cloud else None, datetime.now(UTC)
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
        say_what_was_there(pictures, began, again)
        report(studio, pictures, cloud, as_json)
        for picture in pictures[:4] if shows_pictures(settings.preview) else ():
            show_picture(picture.image)


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
    """Draw `count` pictures of one prompt, with consecutive seeds, as the command's options say.

    `arguments`: options that `Studio.generate` calls by the same name.
    """
    from imagen_nb.request import random_seed

    if not 1 <= count <= MAX_COUNT:
        raise UsageError(f"--count must be from 1 to {MAX_COUNT}, not {count}")
    first = random_seed() if seed is None else seed
    seeds = range(first, first + count)
    cloud = False if no_cloud else None
    return studio.repeat(
        prompt, seeds, tags=tag or (), cloud=cloud, **loras(lora), **arguments
    )


def sweep(
    prompt: Annotated[
        list[str], typer.Argument(help="Prompts; {red|blue} stands for each in turn.")
    ],
    seeds: Annotated[str | None, typer.Option(help="Like 1..8 or 3,5,11.")] = None,
    steps: Annotated[str | None, typer.Option(help="Like 2,4,8.")] = None,
    guidance: Annotated[str | None, typer.Option(help="Like 0,3.5.")] = None,
    size: Annotated[
        str | None, typer.Option(help="Like 128x128,192x128 (width x height).")
    ] = None,
    backend: options.Backend = None,
    lora: options.Lora = None,
    init_image: options.InitImage = None,
    mask: options.Mask = None,
    strength: Annotated[str | None, typer.Option(help="Like 0.3,0.6,0.9.")] = None,
    negative_prompt: options.NegativePrompt = None,
    true_cfg: Annotated[str | None, typer.Option(help="Like 1,2,4.")] = None,
    scheduler: Annotated[str | None, typer.Option(help="Like euler,unipc.")] = None,
    tag: options.Tag = None,
    output: options.Output = None,
    again: Again = False,
    config: options.Config = None,
    no_cloud: options.NoCloud = False,
    cloud_sync: options.CloudSync = None,
    preview: options.Preview = None,
    as_json: options.Json = False,
) -> None:
    """Draw every combination, keep each picture, and a contact sheet with labelled axes."""
    from imagen_nb.request.sweep_syntax import parse_floats, parse_ints, parse_sizes
    from imagen_nb.studio.studio import Studio

    settings = drawing_settings(config, cloud_sync, preview)
    cloud, began = False if no_cloud else None, datetime.now(UTC)
    with Studio(settings, background=False) as studio:
        pictures = studio.sweep(
            [read_prompt(text) for text in prompt],
            seeds=parse_ints(seeds) if seeds is not None else None,
            steps=parse_ints(steps) if steps is not None else None,
            guidance=parse_floats(guidance) if guidance is not None else None,
            size=parse_sizes(size) if size is not None else None,
            backend=backend,
            tags=tag or (),
            cloud=cloud,
            output=output,
            again=again,
            init_image=init_image,
            mask=mask,
            strength=parse_floats(strength) if strength is not None else None,
            negative_prompt=negative_prompt,
            true_cfg=parse_floats(true_cfg) if true_cfg is not None else None,
            scheduler=scheduler.split(",") if scheduler is not None else None,
            **loras(lora),
        )
        say_what_was_there(pictures, began, again)
        sheet = pictures.save_contact_sheet()
        report(studio, pictures, cloud, as_json, sheet)
        if shows_pictures(settings.preview):
            show_picture(pictures.contact_sheet())


def say_what_was_there(
    pictures: Sequence[Picture], began: datetime, again: bool
) -> None:
    """A line on stderr when pictures of today were given instead of being drawn."""
    old = [picture for picture in pictures if picture.record.created_at < began]
    if again or not old:
        return
    what = (
        str(old[0].path) if len(old) == 1 else f"{len(old)} of {len(pictures)} pictures"
    )
    complain(f"drawn today already: {what} (--again draws anew)")


def loras(named: Sequence[str] | None) -> dict[str, Any]:
    """The backend's option for `--lora`; none for backends that take none."""
    from imagen_nb.backends.flux.loras import parsed

    return {"loras": [*map(parsed, named)]} if named else {}


def read_prompt(prompt: str) -> str:
    """The prompt itself, or standard input for -. Raises `UsageError` for what is no prompt."""
    from imagen_nb.request.validation import checked_prompt

    try:
        return checked_prompt(sys.stdin.read().strip() if prompt == "-" else prompt)
    except UnicodeDecodeError as error:
        raise UsageError(f"standard input is not text in {error.encoding}") from None


def drawing_settings(
    config: Path | None, sync: Switch | None, preview: Switch | None
) -> Settings:
    """The settings in force for a command that draws."""
    output = {"cloud_sync": sync.value if sync else None}
    return settings_of(
        config, output=output, preview=preview.value if preview else None
    )


def report(
    studio: Studio,
    pictures: Sequence[Picture],
    cloud: bool | None,
    as_json: bool,
    sheet: Path | None = None,
) -> None:
    """What was drawn, on stdout: paths for people and pipes, whole records for programs.

    Paths come first and at once; then what the cloud has, as soon as it has it.
    """
    if not as_json:
        for picture in pictures:
            print(picture.path)
            print(f"sidecar: {picture.sidecar_path}")
        if sheet:
            print(f"contact sheet: {sheet}")
        sys.stdout.flush()
    entries = copied(studio, pictures, cloud)
    if as_json:
        rows = [
            {**entry.record.snapshot(), "path": str(entry.path), "cloud": entry.cloud}
            for entry in entries
        ]
        print(json.dumps(rows if len(rows) > 1 or sheet else rows[0], indent=2))
        return
    for entry in entries:
        if entry.cloud == "synced":
            record = entry.record
            print(
                f"cloud: imagen.images.id={record.id} storage_path={record.storage_path}"
            )


def copied(
    studio: Studio, pictures: Sequence[Picture], cloud: bool | None
) -> list[CatalogEntry]:
    """The pictures as the catalog knows them, once their copying was tried where it is wanted."""
    if studio.copies(cloud):
        result = studio.sync(pictures=pictures)
        for why in filter(None, [result.trouble, *(why for _, why in result.failed)]):
            complain(
                f"cloud sync: {why}; the picture is kept, `imagen sync` tries again"
            )
    return [
        entry
        for picture in pictures
        if (entry := picture.catalog.get(picture.record.id))
    ]


def reproduce(
    what: Annotated[
        str, typer.Argument(help="An id (8 digits or more of it), a PNG, or a sidecar.")
    ],
    tag: options.Tag = None,
    output: options.Output = None,
    config: options.Config = None,
    no_cloud: options.NoCloud = False,
    cloud_sync: options.CloudSync = None,
    preview: options.Preview = None,
    as_json: options.Json = False,
) -> None:
    """Draw a picture again and compare it with the first one, pixel by pixel."""
    from imagen_nb.studio.studio import Studio

    settings = drawing_settings(config, cloud_sync, preview)
    cloud = False if no_cloud else None
    with Studio(settings, background=False) as studio:
        picture = studio.reproduce(what, tags=tag or (), cloud=cloud, output=output)
        if as_json:
            copied(studio, [picture], cloud)
            print(json.dumps(_facts(picture), indent=2))
        else:
            report(studio, [picture], cloud, as_json)
            print(f"identical: {_said(picture)}")
        if shows_pictures(settings.preview):
            show_picture(picture.image)


def _said(picture: Picture) -> str:
    if picture.identical is None:
        return "unknown: there is no first picture to compare with"
    if picture.identical:
        return "yes"
    return f"no: {'; '.join(picture.differs) or 'nothing recorded is why'}"


def _facts(picture: Picture) -> dict[str, object]:
    known = {"path": str(picture.path), "cloud": picture.cloud}
    compared = {"identical": picture.identical, "differs": list(picture.differs)}
    return {**picture.record.snapshot(), **known, **compared}
