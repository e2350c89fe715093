"""Judges what the embedded FLUX draws, without the generator's help.

    python probe.py train --run RUN [--steps 5000]      # a classifier, on drawn scenes
    python probe.py judge --run RUN --model FOLDER --output FOLDER [--prompts 600]

The classifier sees a picture only: object, its colour, surroundings come from three heads; the
position is measured as the centre of mass of the patches it finds covered by the object. `judge`
first measures the probe itself on fresh drawn scenes, then the model on held-out combinations.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from pathlib import Path
from random import Random

import checkpoints
import drawing
import numpy as np
import scenes
import torch
from diffusers import FluxPipeline
from optimiser import Muon, rate_factor, split_parameters
from PIL import Image, ImageDraw
from scenes import Scene
from torch import Tensor, nn
from torch.nn import functional
from train_vae import to_tensor
from vocabulary import COLOURS, OBJECTS, PLACES, POSITIONS, SKIES

from imagen_nb.backends.tiny import FLUX_TINY

SURROUNDINGS = (
    *(f"{place} {sky}" for place in PLACES for sky in SKIES),
    *(f"plain {colour}" for colour in COLOURS),
)
HEADS = {
    "object": tuple(OBJECTS),
    "colour": tuple(COLOURS),
    "surroundings": SURROUNDINGS,
}
DEFAULTS = FLUX_TINY.defaults
SETTINGS = {
    "num_inference_steps": DEFAULTS.steps,
    "guidance_scale": DEFAULTS.guidance,
    "max_sequence_length": DEFAULTS.max_sequence_length,
}


class Probe(nn.Module):
    """(B, 3, 128, 128) in -1…1 -> class scores by head, and covered patches (B, 8, 8)."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 24, 48, 96, 128)
        stages = itertools.pairwise(widths)
        self.stages = nn.ModuleList(
            nn.ModuleList([down(a, b), same(b), same(b)]) for a, b in stages
        )
        self.covered = nn.Conv2d(widths[-1], 1, 1)
        sizes = {name: len(classes) for name, classes in HEADS.items()}
        self.heads = nn.ModuleDict(
            {name: nn.Linear(3 * widths[-1], size) for name, size in sizes.items()}
        )

    def forward(self, pictures: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        x = pictures
        for shrink, first, second in self.stages:
            x = shrink(x)
            x = x + second(first(x))
        covered = self.covered(x)
        weight = covered.sigmoid()
        inside = (x * weight).sum((2, 3)) / (weight.sum((2, 3)) + 0.1)
        pooled = torch.cat([x.mean((2, 3)), x.amax((2, 3)), inside], dim=1)
        return {name: head(pooled) for name, head in self.heads.items()}, covered[:, 0]


def down(a: int, b: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(a, b, 3, 2, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU()
    )


def same(width: int) -> nn.Sequential:
    kernel = nn.Conv2d(width, width, 3, 1, 1, bias=False)
    return nn.Sequential(kernel, nn.BatchNorm2d(width), nn.ReLU())


def single_scene(rng: Random) -> Scene:
    while len((scene := scenes.random_scene(rng)).things) != 1 or scene.count != 1:
        pass
    return scene


def labels(scene: Scene) -> list[int]:
    thing = scene.things[0]
    said = (thing.kind, thing.shown_colour, scene.surroundings)
    return [
        classes.index(word) for classes, word in zip(HEADS.values(), said, strict=True)
    ]


def soften(pictures: Tensor) -> Tensor:
    """Blur and noise on half of the pictures: what a decoder adds must not mislead the probe."""
    blurred = functional.avg_pool2d(
        functional.pad(pictures, (1, 1, 1, 1), mode="replicate"), 3, 1
    )
    share = torch.rand(len(pictures), 1, 1, 1) * (
        torch.rand(len(pictures), 1, 1, 1) < 0.5
    )
    noise = torch.randn_like(pictures) * 0.06 * torch.rand(len(pictures), 1, 1, 1)
    return torch.lerp(pictures, blurred, share) + noise


def train(run: Path, steps: int, mixed: bool, size: int = 32) -> None:
    torch.manual_seed(0)
    probe = Probe().to(memory_format=torch.channels_last)
    matrices, others = split_parameters([probe])
    precision = torch.bfloat16 if mixed else torch.float32
    optimisers = [
        Muon(matrices, lr=0.02, decay=0.01, dtype=precision),
        torch.optim.AdamW(others, lr=2e-3),
    ]
    rates = [optimiser.param_groups[0]["lr"] for optimiser in optimisers]
    started = time.monotonic()
    for step in range(steps):
        rng = Random(f"probe {step}")
        chosen = [single_scene(rng) for _ in range(size)]
        drawn = [drawing.picture_and_coverage(scene, rng) for scene in chosen]
        pictures = soften(to_tensor([np.asarray(picture) for picture, _ in drawn]))
        covered = torch.from_numpy(np.stack([share for _, share in drawn]))
        truth = torch.tensor([labels(scene) for scene in chosen]).T
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            scores, found = probe(
                pictures.contiguous(memory_format=torch.channels_last)
            )
        loss = functional.binary_cross_entropy_with_logits(found.float(), covered)
        for score, wanted in zip(scores.values(), truth, strict=True):
            loss = loss + functional.cross_entropy(
                score.float(), wanted, label_smoothing=0.02
            )
        probe.zero_grad()
        loss.backward()
        for optimiser, rate in zip(optimisers, rates, strict=True):
            optimiser.param_groups[0]["lr"] = rate * rate_factor(step, steps)
            optimiser.step()
        if (step + 1) % 250 == 0:
            print(
                f"{step + 1} loss {loss.item():.3f} {time.monotonic() - started:.0f} s",
                flush=True,
            )
            checkpoints.save(run / "probe.pt", probe.state_dict())
    checkpoints.save(run / "probe.pt", probe.state_dict())


def trained_probe(run: Path) -> Probe:
    probe = Probe()
    probe.load_state_dict(checkpoints.load(run / "probe.pt"))  # type: ignore[arg-type]
    return probe.eval()


@torch.no_grad()
def verdicts(probe: Probe, pictures: list[Image.Image]) -> list[dict[str, str]]:
    """What the probe sees in each picture: object, colour, surroundings, position."""
    seen = []
    for start in range(0, len(pictures), 64):
        part = to_tensor(
            [np.asarray(picture) for picture in pictures[start : start + 64]]
        )
        scores, covered = probe(part)
        words = [
            [classes[i] for i in scores[name].argmax(1)]
            for name, classes in HEADS.items()
        ]
        places = [measured_position(found) for found in covered.sigmoid()]
        names = (*HEADS, "position")
        seen += [
            dict(zip(names, row, strict=True))
            for row in zip(*words, places, strict=True)
        ]
    return seen


def measured_position(covered: Tensor) -> str:
    """The named position nearest to the centre of mass of the covered patches (8, 8)."""
    weight = covered * (covered > 0.2)
    axis = (torch.arange(8) + 0.5) / 8
    total = weight.sum() + 1e-6
    x, y = (weight.sum(0) * axis).sum() / total, (weight.sum(1) * axis).sum() / total

    def distance(name: str) -> float:
        return float((POSITIONS[name][0] - x) ** 2 + (POSITIONS[name][1] - y) ** 2)

    return min(POSITIONS, key=distance)


def wanted(scene: Scene) -> dict[str, str]:
    thing = scene.things[0]
    position = scene.position or "center"
    surroundings = scene.surroundings
    return dict(
        zip(
            (*HEADS, "position"),
            (thing.kind, thing.shown_colour, surroundings, position),
            strict=True,
        )
    )


def accuracy(chosen: list[Scene], seen: list[dict[str, str]]) -> dict[str, float]:
    """Share of pictures in which each part is as asked."""
    right = [
        {part: saw[part] == word for part, word in wanted(scene).items()}
        for scene, saw in zip(chosen, seen, strict=True)
    ]
    return {part: sum(row[part] for row in right) / len(right) for part in right[0]}


def judge(run: Path, model: Path, output: Path, count: int) -> None:
    probe, rng = trained_probe(run), Random("judge")
    drawn_scenes = [single_scene(rng) for _ in range(2000)]
    drawn = [drawing.picture(scene, rng) for scene in drawn_scenes]
    report = {"probe on drawn scenes": accuracy(drawn_scenes, verdicts(probe, drawn))}
    asked: list[Scene] = []
    while len(asked) < count:
        scene = single_scene(rng)
        asked += [scene] if scenes.held_out(scene) else []
    prompts = [scenes.caption(scene, rng) for scene in asked]
    pictures = generate(model, prompts)
    seen = verdicts(probe, pictures)
    report["model on held-out combinations"] = accuracy(asked, seen)
    for style in ("flat", "sketch", "pixel", "photo"):
        rows = [
            (a, b)
            for a, b in zip(asked, seen, strict=True)
            if (a.style or "flat") == style
        ]
        report[f"  of these, {style} ({len(rows)})"] = accuracy(
            *map(list, zip(*rows, strict=True))
        )
    output.mkdir(parents=True, exist_ok=True)
    print(json.dumps(report, indent=2))
    (output / "probe.json").write_text(json.dumps(report, indent=2) + "\n")
    misses = [saw != wanted(scene) for scene, saw in zip(asked, seen, strict=True)]
    sheet(prompts, pictures, misses).save(
        output / "tiny-flux-samples.png", optimize=True
    )


@torch.inference_mode()
def generate(model: Path, prompts: list[str]) -> list[Image.Image]:
    pipeline = FluxPipeline.from_pretrained(model, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    pictures: list[Image.Image] = []
    for start in range(0, len(prompts), 8):
        part = prompts[start : start + 8]
        noise = [torch.Generator().manual_seed(start + i) for i in range(len(part))]
        pictures += pipeline(
            part, width=128, height=128, generator=noise, **SETTINGS
        ).images
    return pictures


def sheet(
    prompts: list[str], pictures: list[Image.Image], misses: list[bool]
) -> Image.Image:
    """The first 48 pictures, and the first 16 that the probe calls wrong, framed in red."""
    wrong = [i for i, miss in enumerate(misses) if miss][:16]
    shown = [*range(48), *wrong]
    page = Image.new("RGB", (8 * 136, -(-len(shown) // 8) * 164), "white")
    pen = ImageDraw.Draw(page)
    for place, i in enumerate(shown):
        x, y = place % 8 * 136, place // 8 * 164
        if misses[i]:
            pen.rectangle((x + 1, y + 1, x + 134, y + 134), fill="red")
        page.paste(pictures[i], (x + 4, y + 4))
        pen.text((x + 4, y + 136), prompts[i][:23], fill="black")
        pen.text((x + 4, y + 149), prompts[i][23:46], fill="black")
    return page


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stage", choices=("train", "judge"))
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--bf16", action="store_true", help="as in train_flow.py")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--prompts", type=int, default=600)
    options = parser.parse_args()
    if options.stage == "train":
        train(options.run, options.steps, options.bf16)
    else:
        judge(options.run, options.model, options.output, options.prompts)
