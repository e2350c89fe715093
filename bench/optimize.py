"""A search by `im.optimize` / a grid with as many pictures, on the embedded FLUX.

python bench/optimize.py [--runs 10] [--trials 32] [--size 96] [--chance]

In each run one object in one colour is wanted, and words, steps and scheduler may vary. The score
asks the embedder `tiny`, which looks at the picture only, how sure it is of colour and object: the
logarithm of its share for them among all 12 colours × 24 objects. Each side draws the same number
of pictures, of the same seeds. Then both sides' best settings draw 8 pictures of new seeds, and the
higher mean wins.

The grid is what one would write down: two values each (the ends of a range, two of the choices), of
as many settings as there is room for, in an order that chance decides; the others keep one value.
"""

from __future__ import annotations

import argparse
import functools
import math
import statistics
import tempfile
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import numpy as np

from imagen_nb import Picture, Studio
from imagen_nb.backends.tiny import FLUX_TINY
from imagen_nb.frames.plugins.embedders import make_embedder

COLOURS = (
    *("red", "orange", "yellow", "green", "blue", "purple"),
    *("pink", "brown", "black", "white", "gray", "cyan"),
)
OBJECTS = (
    *("lighthouse", "house", "tree", "boat", "mountain", "moon", "sun", "star"),
    *("heart", "circle", "square", "triangle", "ring", "flower", "cat", "fish"),
    *("bird", "car", "rocket", "cactus", "snowman", "balloon", "mushroom", "castle"),
)
WORDS = {
    "size": ("small", "medium", "large"),
    "place": ("left", "right", "top", "bottom", "center"),
    "ground": ("sea", "meadow", "snow", "desert", "city", "cliff"),
    "sky": ("day", "night", "storm", "sunset"),
    "style": ("flat", "sketch", "pixel art", "photo"),
}
TEMPLATE = "a {size} {wanted} {place}, {ground} {sky}, {style}"
STEPS = (1, 6)
SCHEDULERS = ("euler", "euler-karras", "euler-exponential", "unipc", "dpm++")
CHOICES = {**WORDS, "scheduler": SCHEDULERS}
SHARPNESS = 30.0  # of the embedder's shares: what its cosines are multiplied by
SEEDS, NEW_SEEDS = range(2), range(1000, 1008)


@functools.cache
def captions() -> Any:
    """The vectors of all captions: (288, 256)."""
    texts = [f"a {colour} {thing}" for colour in COLOURS for thing in OBJECTS]
    return make_embedder("tiny").embed_texts(texts)


def certainty(colour: str, thing: str) -> Callable[[Picture], float]:
    """Return what measures how surely a picture shows this: log of a share, 0 at most."""
    wanted = COLOURS.index(colour) * len(OBJECTS) + OBJECTS.index(thing)

    def measured(picture: Picture) -> float:
        vector = make_embedder("tiny").embed_images([picture.image])[0]
        scores = SHARPNESS * (captions() @ vector)
        return float(scores[wanted] - np.logaddexp.reduce(scores))

    return measured


def prompt_of(wanted: str, words: Mapping[str, str]) -> str:
    return TEMPLATE.format(wanted=wanted, **words)


class Run:
    """One task: what is wanted, and who finds the better settings for it."""

    def __init__(self, studio: Studio, number: int, trials: int, size: int) -> None:
        self.random = Random(f"optimize {number}")
        colour, thing = self.random.choice(COLOURS), self.random.choice(OBJECTS)
        self.wanted = f"{colour} {thing}"
        self.score = certainty(colour, thing)
        self.studio, self.number, self.trials = studio, number, trials
        self.common = {"size": (size, size), "progress": False}

    def drawn(self, settings: Mapping[str, Any], seeds: range) -> float:
        """Return the mean score of pictures with these settings."""
        words = {name: settings[name] for name in WORDS}
        pictures = self.studio.sweep(
            prompt_of(self.wanted, words),
            seeds=seeds,
            steps=settings["steps"],
            scheduler=settings["scheduler"],
            **self.common,
        )
        return statistics.fmean(map(self.score, pictures))

    def by_search(self) -> float:
        groups = {name: "{" + "|".join(words) + "}" for name, words in WORDS.items()}
        space = {
            "prompt": prompt_of(self.wanted, groups),
            "steps": STEPS,
            "scheduler": [*SCHEDULERS],
        }
        study = self.studio.optimize(
            space,
            score=self.score,
            trials=self.trials,
            seeds=SEEDS,
            name=f"bench-{self.number}",
            **self.common,
        )
        frame = study.frame()
        assert len(frame) == self.trials
        best = study.best
        pictures = self.studio.sweep(
            best["prompt"],
            seeds=NEW_SEEDS,
            steps=int(best["steps"]),
            scheduler=best["scheduler"],
            **self.common,
        )
        return statistics.fmean(map(self.score, pictures))

    def by_grid(self) -> float:
        """Two values of as many settings as fit; the others keep one."""
        values = {name: self.random.sample(each, 2) for name, each in CHOICES.items()}
        values |= {"steps": [*STEPS]}
        fixed = {name: self.random.choice(each) for name, each in CHOICES.items()}
        fixed |= {"steps": FLUX_TINY.defaults.steps}
        varied = self.random.sample([*values], int(math.log2(self.trials)))
        grid: list[dict[str, Any]] = [fixed]
        for name in varied:
            grid = [each | {name: value} for each in grid for value in values[name]]
        return self._best_of(grid)

    def by_chance(self) -> float:
        return self._best_of([self._random_settings() for _ in range(self.trials)])

    def _random_settings(self) -> dict[str, Any]:
        chosen = {name: self.random.choice(each) for name, each in CHOICES.items()}
        return {**chosen, "steps": self.random.randint(*STEPS)}

    def _best_of(self, tried: list[dict[str, Any]]) -> float:
        assert len(tried) == self.trials
        best = max(tried, key=lambda settings: self.drawn(settings, SEEDS))
        return self.drawn(best, NEW_SEEDS)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--trials", type=int, default=32, help="a power of 2")
    parser.add_argument("--size", type=int, default=96, help="pixels of a side")
    parser.add_argument("--chance", action="store_true", help="settings at random, too")
    given = parser.parse_args()
    folder = tempfile.mkdtemp("imagen-bench")
    settings = {"backend": FLUX_TINY.name, "output": {"dir": folder}}
    others = ("grid", "chance") if given.chance else ("grid",)
    print(f"{given.trials * len(SEEDS)} pictures a side; mean log share on new seeds")
    print(f"{'wanted':>20}" + "".join(f"{side:>9}" for side in ("search", *others)))
    wins = dict.fromkeys(others, 0)
    with Studio(settings, background=False) as studio:
        for number in range(given.runs):
            run = Run(studio, number, given.trials, given.size)
            found = {"search": run.by_search(), "grid": run.by_grid()}
            if given.chance:
                found["chance"] = run.by_chance()
            for side in others:
                wins[side] += found["search"] > found[side]
            numbers = "".join(f"{number:9.3f}" for number in found.values())
            print(f"{run.wanted:>20}{numbers}", flush=True)
    for side, won in wins.items():
        goal = " (goal ≥ 8 of 10)" if side == "grid" else ""
        print(
            f"the search is better than the {side} in {won} of {given.runs} runs{goal}"
        )


if __name__ == "__main__":
    main()
