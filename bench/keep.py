"""40 pictures kept by `generate` / the same pictures by the bare FluxPipeline and `image.save`.

python bench/keep.py
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from bare import bare_pipeline, draw
from timing import compare

from imagen_nb import Studio
from imagen_nb.backends.tiny import FLUX_TINY

PICTURES = 40
PROMPTS = [f"a {colour} boat at sunset" for colour in ("red", "blue", "green", "white")]


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="imagen-bench-"))
    pipeline = bare_pipeline()
    settings = {"backend": FLUX_TINY.name, "output": {"dir": str(folder / "ours")}}
    (folder / "theirs").mkdir()
    rounds: Iterator[int] = count()  # fresh seeds each time: nothing is there already
    other_rounds: Iterator[int] = count()
    with Studio(settings) as studio:

        def ours() -> None:
            first = next(rounds) * PICTURES
            for i in range(PICTURES):
                studio.generate(PROMPTS[i % len(PROMPTS)], seed=first + i)

        def theirs() -> None:
            first = next(other_rounds) * PICTURES
            for i in range(PICTURES):
                image = draw(pipeline, PROMPTS[i % len(PROMPTS)], first + i)
                image.save(folder / "theirs" / f"{first + i}.png")

        compare(f"{PICTURES} pictures drawn and kept", ours, theirs, "≤ 1.00")


if __name__ == "__main__":
    main()
