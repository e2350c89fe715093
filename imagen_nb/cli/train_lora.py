"""`imagen train-lora`: a LoRA from an exported data set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from imagen_nb.cli import options
from imagen_nb.cli.draw import cloud_choice, progress_choice
from imagen_nb.cli.options import load_command_settings


def train_lora(
    folder: Annotated[
        Path,
        typer.Argument(
            help="A data set that `df.imagen.export` wrote: imagefolder or kohya.",
            callback=options.expand_option,
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            help="schnell, dev, klein, tiny, a folder or a Hugging Face id; the"
            " configured backend's unless given.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="The LoRA, a new .safetensors file; by default named as the folder.",
            callback=options.expand_option,
        ),
    ] = None,
    steps: Annotated[
        int, typer.Option(help="How often the weights are changed.")
    ] = 1000,
    rank: Annotated[int, typer.Option(help="Of the LoRA's matrices.")] = 16,
    learning_rate: Annotated[
        float, typer.Option(help="The highest one, after the first steps.")
    ] = 1e-4,
    batch: Annotated[int, typer.Option(help="Pictures in a step.")] = 1,
    size: Annotated[
        int | None,
        typer.Option(
            help="Pixels of a square with the area that pictures are brought to, at"
            " most; the model's own."
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Of weights, noise and the order of pictures.")
    ] = 0,
    checkpoint_every: Annotated[
        int, typer.Option(help="Steps after which what is learnt is kept.")
    ] = 250,
    preview_every: Annotated[
        int, typer.Option(help="Steps after which previews are drawn; 0 for none.")
    ] = 0,
    preview_prompt: Annotated[
        list[str] | None,
        typer.Option(
            help="What previews show, instead of two captions; may be repeated."
        ),
    ] = None,
    tag: options.TagOption = None,
    config: options.ConfigOption = None,
    no_cloud: options.NoCloudOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """Train a LoRA on pictures of the history, to draw with `--lora`.

    After Ctrl-C, or when the process died, the same command goes on from the last
    checkpoint.
    """
    from imagen_nb.studio.studio import Studio

    lora = output or Path(f"{folder.name}.safetensors")
    settings = load_command_settings(config)
    with Studio(settings, background=False) as studio:
        path = studio.train_lora(
            folder,
            lora,
            model=model,
            steps=steps,
            rank=rank,
            learning_rate=learning_rate,
            batch=batch,
            size=size,
            seed=seed,
            checkpoint_every=checkpoint_every,
            preview_every=preview_every,
            preview_prompts=preview_prompt or (),
            tags=tag or (),
            cloud=cloud_choice(no_cloud),
            progress=progress_choice(as_json),
        )
    print(json.dumps({"lora": str(path)}) if as_json else path)
