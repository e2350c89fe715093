"""Sweeps / a plain loop of pipeline calls, on the embedded FLUX; both draw, only ours also keeps.

python bench/sweep.py
"""

from __future__ import annotations

import tempfile
from itertools import count

from bare import bare_pipeline, draw
from timing import compare

from imagen_nb import Studio
from imagen_nb.backends.tiny import FLUX_TINY

COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown")
PROMPTS = [f"a {colour} {thing}" for colour in COLOURS for thing in ("boat", "house")]


def main() -> None:
    pipeline = bare_pipeline()
    settings = {
        "backend": FLUX_TINY.name,
        "output": {"dir": tempfile.mkdtemp("imagen-bench")},
    }
    fresh = count()
    with Studio(settings) as studio:
        for prompts, seeds in ((PROMPTS[:1], 32), (PROMPTS, 4)):

            def ours(prompts: list[str] = prompts, seeds: int = seeds) -> None:
                first = next(fresh) * seeds
                studio.sweep(prompts, seeds=range(first, first + seeds))

            def theirs(prompts: list[str] = prompts, seeds: int = seeds) -> None:
                first = next(fresh) * seeds
                for prompt in prompts:
                    for seed in range(first, first + seeds):
                        draw(pipeline, prompt, seed)

            compare(
                f"{len(prompts)} prompts × {seeds} seeds",
                ours,
                theirs,
                "≤ 0.667",
                rounds=5,
            )


if __name__ == "__main__":
    main()
