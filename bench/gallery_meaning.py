"""A gallery's search by meaning, from the view's question to the kernel's answer.

    python bench/gallery_meaning.py [--rows 10000 100000]

The pictures have vectors already, random ones of the embedder `tiny`. "first" is the first search
of a gallery, "next" the median of the texts after it, "facet" a facet ticked meanwhile, "like" of
pictures as another one. The goal (issue 21): 10,000 rows in 150 ms. Beside it, what a plain NumPy
comparison with all vectors in memory takes. In brackets is what of "next" a CPU was busy with: the
figure to look at on a machine that does other things.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
import uuid
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.append(str(Path(__file__).parent.parent))

import imagen_nb as im
from imagen_nb.frames.plugins.embedders import make_embedder
from imagen_nb.storage.vectors import VectorStore
from tests.fixtures.views import View

GOAL_MS = {10_000: 150}
TEXTS = (
    "a red boat",
    "a house in the snow",
    "a black cat at night",
    "a green tree",
    "a star",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    for rows in parser.parse_args().rows:
        with tempfile.TemporaryDirectory() as folder:
            measure(rows, Path(folder))


def measure(rows: int, folder: Path) -> None:
    embedder = make_embedder("tiny")
    embedder.embed_texts(["a boat"])  # its weights are read
    im.configure(output={"dir": str(folder)})
    frame = frame_of(rows)
    vectors = (
        np.random.default_rng(1)
        .normal(size=(rows, embedder.dimensions))
        .astype(np.float32)
    )
    VectorStore(folder, embedder.model, embedder.dimensions).add(
        [*frame["id"]], vectors
    )
    shown = View(im.Gallery(frame))
    shown.ask("open", "shown")
    first = asked_ms(shown, words="a fish")
    busy = time.process_time()
    each = statistics.median([asked_ms(shown, words=text) for text in TEXTS])
    busy_ms = (time.process_time() - busy) * 1000 / len(TEXTS)
    facet = asked_ms(shown, words=TEXTS[-1], chosen={"steps": ["4"]})
    like = statistics.median(asked_ms(shown, like=at) for at in range(5))
    shown.gallery.close()
    goal = f" (goal {GOAL_MS[rows]})" if rows in GOAL_MS else ""
    print(
        f"{rows:,} rows, ms{goal}: first {first:.0f}, next {each:.0f} ({busy_ms:.0f}),"
        f" facet {facet:.0f}, like {like:.0f}; plain NumPy {plain_ms(vectors):.0f}"
    )


def frame_of(rows: int) -> pd.DataFrame:
    made = np.random.default_rng(2)
    return pd.DataFrame(
        {
            "id": [
                str(uuid.UUID(bytes=made.bytes(16), version=4)) for _ in range(rows)
            ],
            "storage_path": [f"2026-05-11/{n}.png" for n in range(rows)],
            "local_path": None,
            "prompt": [f"a boat, number {n}, photo" for n in range(rows)],
            "seed": pd.array(range(rows), dtype="Int64"),
            "steps": 4,
            "tags": [[] for _ in range(rows)],
            "created_at": pd.date_range(
                "2026-05-11", periods=rows, freq="-2min", tz="UTC"
            ),
        }
    )


def asked_ms(shown: View, **question: object) -> float:
    start = time.perf_counter()
    shown.ask("filter", "shown", meant=True, sort="imagen:score", **question)
    return (time.perf_counter() - start) * 1000


def plain_ms(vectors: np.ndarray) -> float:
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    start = time.perf_counter()
    cosines = units @ units[0]
    np.argsort(-cosines)[:200]
    return (time.perf_counter() - start) * 1000


if __name__ == "__main__":
    main()
