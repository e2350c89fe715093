"""Draws the figures of docs/analysis.md and docs/find.md from pictures of the embedded FLUX.

python tools/analysis_pictures.py            some 170 small pictures, and docs/analysis/*.png

The pictures, seeds and latencies are real. Days, tags, prices and votes are given to them here,
for a history of one afternoon has none to show.
"""

from __future__ import annotations

import io
import itertools
import math
import random
import tempfile
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from PIL import Image

import imagen_nb as im
from imagen_nb import analysis

FOLDER = Path(__file__).parent.parent / "docs" / "analysis"
HEAVIEST = 60_000  # bytes of a picture in the documents
BOAT = "a green boat at sunset"
PROMPT = "a {red|blue|yellow} {boat|house} at {sunset|night}"
SCENES = (
    "a {red|white} boat on the sea at {noon|night}",
    "a {yellow|white} house on a hill, snow",
    "a white lighthouse on a cliff, {storm|fog}",
    "a {green|red} tree in a field",
    "a {black|white} cat on the beach at {noon|sunset}",
)
TAGS = (
    ["keeper", "harbour"],
    [],
    ["harbour"],
    [],
    ["reject"],
    ["keeper", "rating:5"],
    [],
)


def drawn(folder: Path) -> pd.DataFrame:
    """A history of real pictures, spread over some weeks, a third of them by a paid backend."""
    with im.Studio(
        {"output": {"dir": str(folder)}, "backend": "flux-tiny-local"}
    ) as studio:
        studio.sweep(PROMPT, seeds=range(5), steps=4, progress=False)
        for seed, steps in itertools.product(
            range(6), (1, 2, 4, 16)
        ):  # one by one: each has a time
            studio.generate(BOAT, seed=seed, steps=steps, progress=False)
        df = studio.history(source="local")
    days = [(number * number) % 37 // 2 for number in range(len(df))]
    paid = [number % 3 == 0 for number in range(len(df))]
    return df.assign(
        created_at=pd.Timestamp("2026-05-11T12:00Z") - pd.to_timedelta(days, unit="D"),
        backend=[
            "flux-schnell-replicate" if is_paid else "flux-tiny-local"
            for is_paid in paid
        ],
        cost_usd_estimate=[0.003 if is_paid else 0.0 for is_paid in paid],
        tags=[TAGS[number % len(TAGS)] for number in range(len(df))],
    )


def votes_on(df: pd.DataFrame) -> pd.DataFrame:
    """Votes of somebody who likes steps, up to 4, and has a favourite seed."""
    rng = random.Random(5)
    liked = dict(
        zip(df["id"], df["steps"].clip(upper=4) + (df["seed"] == 3), strict=True)
    )
    votes = []
    for _ in range(5 * len(df)):
        left, right = rng.sample(sorted(liked), 2)
        better = rng.random() < 1 / (1 + math.exp(liked[right] - liked[left]))
        votes.append((left, right, "left" if better else "right"))
    return pd.DataFrame(votes, columns=["left", "right", "outcome"])


def draw_map(folder: Path) -> Axes:
    """The map of pictures that show five things."""
    with im.Studio(
        {"output": {"dir": str(folder)}, "backend": "flux-tiny-local"}
    ) as studio:
        for scene in SCENES:
            studio.sweep(scene, seeds=range(6), steps=4, progress=False)
        df = studio.history(source="local")
    ax = df.imagen.map(layout="pca", embedder="tiny")
    ax.figure.set_size_inches(7, 7)
    return ax


def save(ax: Axes, name: str) -> None:
    """The figure as a PNG of few colours, which is small, and as sharp."""
    buffer = io.BytesIO()
    ax.figure.savefig(buffer, format="png", dpi=100)
    path = FOLDER / f"{name}.png"
    Image.open(buffer).convert("RGB").quantize(128).save(path, optimize=True)
    assert path.stat().st_size <= HEAVIEST, f"{path}: {path.stat().st_size} bytes"


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        df = drawn(Path(folder))
        save(analysis.per_day(df), "per_day")
        boats = df[df["prompt"] == BOAT]
        save(analysis.latency(boats, by="steps"), "latency")
        save(analysis.cost(df), "cost")
        save(analysis.tags(df), "tags")
        save(analysis.grid(boats.assign(backend="flux-tiny-local")), "grid")
        ranked = im.ranking(boats, votes=votes_on(boats))
        save(analysis.strengths(ranked, most=8, thumbnails=True), "strengths")
    with tempfile.TemporaryDirectory() as folder:
        im.configure(output={"dir": folder}, backend="flux-tiny-local")
        save(draw_map(Path(folder)), "map")


if __name__ == "__main__":
    main()
