"""Makes the embedder's training pictures: scenes drawn by code, and by the embedded FLUX.

    python make_data.py code --run RUN [--chunks 160]
    python make_data.py flux --run RUN [--chunks 24]

Writes RUN/code/0000.npz … and RUN/flux/0000.npz …, 256 pictures each: `pictures` (N, 64, 64, 3)
bytes, `scenes` as JSON. Neighbours differ by one part of the scene. What is there is kept: a
broken-off run goes on, and more chunks can be asked for later.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from random import Random

import drawing
import numpy as np
import scenes
import torch
import world
from PIL import Image
from scenes import Scene, Thing

CHUNK = 256
SIDE = 64
DRAWN_AT_ONCE = 16

Draw = Callable[[list[Scene], Random], list[Image.Image]]


def chunk_scenes(rng: Random) -> list[Scene]:
    chosen: list[Scene] = []
    while len(chosen) < CHUNK:
        scene = scenes.training_scene(rng)
        chosen += [scene, world.training_sibling(scene, rng)]
    return chosen


def draw_by_code(chosen: list[Scene], rng: Random) -> list[Image.Image]:
    return [drawing.picture(scene, rng) for scene in chosen]


def draw_by_flux(chosen: list[Scene], rng: Random) -> list[Image.Image]:
    prompts = [scenes.caption(scene, rng) for scene in chosen]
    return flux_pictures(prompts, [rng.randrange(2**31) for _ in prompts])


@torch.inference_mode()
def flux_pictures(prompts: list[str], seeds: list[int]) -> list[Image.Image]:
    """What the embedded FLUX draws with its default settings."""
    from diffusers import FluxPipeline

    from imagen_nb.backends.tiny import FLUX_TINY, WEIGHTS

    pipeline = FluxPipeline.from_pretrained(WEIGHTS, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    defaults, pictures = FLUX_TINY.defaults, []
    for start in range(0, len(prompts), DRAWN_AT_ONCE):
        part = slice(start, start + DRAWN_AT_ONCE)
        pictures += pipeline(
            prompts[part],
            width=defaults.width,
            height=defaults.height,
            num_inference_steps=defaults.steps,
            guidance_scale=defaults.guidance,
            max_sequence_length=defaults.max_sequence_length,
            generator=[torch.Generator().manual_seed(seed) for seed in seeds[part]],
        ).images
    return pictures


def small(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def scene_of(said: dict[str, object]) -> Scene:
    """The scene of its JSON."""
    things = tuple(Thing(**thing) for thing in said["things"])  # type: ignore[attr-defined]
    return Scene(**{**said, "things": things})  # type: ignore[arg-type]


def load_chunks(run: Path) -> tuple[np.ndarray, list[Scene], np.ndarray]:
    """All pictures that are there, their scenes, and which of them the FLUX drew."""
    pictures, said, by_flux = [], [], []
    for kind in ("code", "flux"):
        for path in sorted((run / kind).glob("*.npz")):
            with np.load(path) as chunk:
                pictures.append(chunk["pictures"])
                said += [scene_of(json.loads(str(one))) for one in chunk["scenes"]]
            by_flux += [kind == "flux"] * len(pictures[-1])
    return np.concatenate(pictures), said, np.array(by_flux)


def make(folder: Path, kind: str, chunks: range, draw: Draw) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in chunks:
        path = folder / f"{number:04d}.npz"
        if path.exists():
            continue
        started, rng = time.monotonic(), Random(f"embedder {kind} {number}")
        chosen = chunk_scenes(rng)
        pictures = np.stack([small(picture) for picture in draw(chosen, rng)])
        said = np.array([json.dumps(asdict(scene)) for scene in chosen])
        partial = path.with_suffix(".partial.npz.tmp")
        with partial.open("wb") as file:
            np.savez(file, pictures=pictures, scenes=said)
        os.replace(partial, path)
        print(f"{path.name} {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=("code", "flux"))
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--chunks", type=int, default=None)
    options = parser.parse_args()
    torch.set_num_threads(1)
    by_code = options.kind == "code"
    last = options.first + (options.chunks or (160 if by_code else 24))
    make(
        options.run / options.kind,
        options.kind,
        range(options.first, last),
        draw_by_code if by_code else draw_by_flux,
    )
