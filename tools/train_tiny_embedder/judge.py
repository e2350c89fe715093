"""Judges the embedder `tiny` on pictures of scenes that no training saw.

    python judge.py [--scenes 500] [--keep FILE] [--json]

The embedded FLUX draws each scene twice, from one prompt and two seeds. The scenes are of
combinations of object, colour and surroundings that were held out, and all mean something else.
Text → picture: is a prompt's own picture the nearest of the first drawings, or among the nearest
five? Picture → picture: is the other drawing among the nearest five of all other pictures? A few
words ("boat", "red boat", "night"): of how many of the nearest five pictures are they true?
`--keep` keeps the drawings in a file for the next time.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from pathlib import Path
from random import Random

import numpy as np
import scenes
import world
from make_data import flux_pictures
from PIL import Image
from scenes import Scene

from imagen_nb.frames.plugins.tiny_embedder.embedder import TinyEmbedder, tiny_embedder

NEAR = 5
Report = dict[str, dict[str, float]]

WANTED = {"text → picture @1": 90, "text → picture @5": 98, "picture → picture @5": 95}
KINDS = {
    "one object": lambda scene: len(scene.things) == 1 and scene.count == 1,
    "two or three of a kind": lambda scene: scene.count > 1,
    "two objects": lambda scene: bool(scene.relation),
    "no object": lambda scene: not scene.things,
}


def asked_for(count: int) -> tuple[list[Scene], list[str], list[str]]:
    """Scenes, the prompts to draw and look for, and each in other words."""
    rng = Random("judge of the embedder")
    chosen = world.held_out_scenes(rng, count)
    prompts = [scenes.caption(scene, rng) for scene in chosen]
    return chosen, prompts, [world.paraphrase(scene, rng) for scene in chosen]


def drawings(prompts: list[str], keep: Path | None) -> list[Image.Image]:
    """The first drawings of all prompts, then the second ones."""
    count = len(prompts)
    if keep and keep.exists():
        kept = np.load(keep)
        if len(kept) == 2 * count:
            return [Image.fromarray(pixels) for pixels in kept]
    seeds = [*range(count), *range(1_000_000, 1_000_000 + count)]
    pictures = flux_pictures(prompts * 2, seeds)
    if keep:
        np.save(keep, np.stack([np.asarray(picture) for picture in pictures]))
    return pictures


def ranks(likeness: np.ndarray, right: np.ndarray) -> np.ndarray:
    """How many are nearer than the right one, for each row."""
    own = likeness[np.arange(len(right)), right]
    return (likeness > own[:, None]).sum(axis=1)


def verdict(
    text_ranks: np.ndarray, other_words: np.ndarray, twins: np.ndarray
) -> dict[str, float]:
    shares = {
        "text → picture @1": text_ranks < 1,
        "text → picture @5": text_ranks < 5,
        "in other words @1": other_words < 1,
        "in other words @5": other_words < 5,
        "picture → picture @5": twins < 5,
    }
    return {name: round(100 * float(share.mean()), 1) for name, share in shares.items()}


def few_words(
    embedder: TinyEmbedder, chosen: list[Scene], pictures: np.ndarray
) -> dict[str, float]:
    """Of each kind of fact, the share of the nearest five pictures that it is true of."""
    true = [world.facts(scene) for scene in chosen]
    counts = Counter(fact for facts in true for fact in facts)
    shares: dict[str, list[float]] = defaultdict(list)
    for kind, what in sorted(fact for fact in counts if counts[fact] >= NEAR):
        (text,) = embedder.embed_texts([world.SAID[kind][0].format(what)])
        nearest = np.argsort(-(pictures @ text), kind="stable")[:NEAR]
        shares[kind].append(float(np.mean([(kind, what) in true[i] for i in nearest])))
    return {
        f"{kind} ({len(each)})": round(100 * float(np.mean(each)), 1)
        for kind, each in shares.items()
    }


def judge(count: int, keep: Path | None) -> Report:
    chosen, prompts, other_words = asked_for(count)
    embedder = tiny_embedder()
    pictures = embedder.embed_images(drawings(prompts, keep))
    own, every = np.arange(count), np.arange(2 * count)
    found = [
        ranks(embedder.embed_texts(texts) @ pictures[:count].T, own)
        for texts in (prompts, other_words)
    ]
    alike = pictures @ pictures.T
    np.fill_diagonal(alike, -2)  # a picture is not its own neighbour
    twins = ranks(alike, (every + count) % (2 * count))
    report = {f"all {count}": verdict(*found, twins)}
    for kind, is_of in KINDS.items():
        rows = np.array([is_of(scene) for scene in chosen])
        if rows.any():
            of_kind = [each[rows] for each in found]
            report[f"{kind} ({rows.sum()})"] = verdict(
                *of_kind, twins[np.tile(rows, 2)]
            )
    report["few words"] = few_words(embedder, chosen * 2, pictures)
    return report


def as_table(report: Report) -> str:
    few = report.pop("few words")
    names = [*next(iter(report.values()))]
    lines = [["", *names], ["---"] * (len(names) + 1)]
    lines.append(["wanted", *(f"{WANTED[n]} %" if n in WANTED else "" for n in names)])
    lines += [
        [kind, *(f"{share:g} %" for share in shares.values())]
        for kind, shares in report.items()
    ]
    lines += [[""], ["a few words", "of the nearest five"], ["---"] * 2]
    lines += [[kind, f"{share:g} %"] for kind, share in few.items()]
    return "\n".join(f"| {' | '.join(line)} |" if line[1:] else "" for line in lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=500)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    report = judge(options.scenes, options.keep)
    print(json.dumps(report) if options.json else as_table(report))
