"""What runs between two pictures: from the last pixel of one to the pipeline's call for the next.

python bench/gap.py [SIDE] [--profile]

Draws with the embedded weights at SIDE × SIDE pixels (1024), one step each, and prints the time of
the thread that draws, by wall and by CPU; with --profile, where that time goes (it slows all down).
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

from diffusers import FluxPipeline
from diffusers.image_processor import VaeImageProcessor

from imagen_nb import Studio
from imagen_nb.backends.tiny import WEIGHTS

PICTURES = 12
SHOWN = 12  # functions
Marks = list[tuple[float, float]]  # (wall, CPU of the thread) in seconds


def mark(marks: Marks) -> None:
    marks.append((time.perf_counter(), time.thread_time()))


def watch_gaps(
    pipeline_class: type,
    decoded: Marks,
    called: Marks,
    profile: cProfile.Profile | None,
) -> None:
    """Note when the pipeline is called and when it has its pixels; profile what lies between."""
    call: Callable[..., Any] = pipeline_class.__call__
    postprocess = VaeImageProcessor.postprocess

    def watched_call(*values: Any, **named: Any) -> Any:
        if profile:
            profile.disable()
        mark(called)
        return call(*values, **named)

    def watched_postprocess(*values: Any, **named: Any) -> Any:
        pixels = postprocess(*values, **named)
        mark(decoded)
        if profile:
            profile.enable()
        return pixels

    pipeline_class.__call__ = watched_call  # type: ignore[operator]
    VaeImageProcessor.postprocess = watched_postprocess  # type: ignore[method-assign]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("side", type=int, nargs="?", default=1024)
    parser.add_argument("--profile", action="store_true")
    chosen = parser.parse_args()
    side = chosen.side
    decoded: Marks = []
    called: Marks = []
    profile = cProfile.Profile(time.thread_time) if chosen.profile else None
    watch_gaps(FluxPipeline, decoded, called, profile)
    settings = {"output": {"dir": tempfile.mkdtemp(prefix="imagen-bench-")}}
    with Studio(settings) as studio:
        studio.sweep(
            "a red boat",
            seeds=range(PICTURES),
            steps=1,
            size=(side, side),
            backend="flux",
            model=str(WEIGHTS),
            memory={"batch": 1},
            progress=False,
        )
    gaps = [
        [(after - before) * 1e3 for before, after in zip(end, start, strict=True)]
        for end, start in zip(decoded[:-1], called[1:], strict=True)
    ]
    wall, cpu = (statistics.median(column) for column in zip(*gaps, strict=True))
    megapixels = side * side / 1e6
    print(f"between two pictures of {side} × {side}: {wall:.2f} ms, CPU {cpu:.2f} ms")
    print(f"per megapixel: CPU {cpu / megapixels:.2f} ms (goal ≤ 2)")
    if profile:
        profile.disable()
        pstats.Stats(profile).sort_stats("cumulative").print_stats(SHOWN)


if __name__ == "__main__":
    main()
