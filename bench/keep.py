"""40 pictures kept by `generate` / the same pictures by the bare FluxPipeline and `image.save`.

python bench/keep.py [--busy CORES]

Also prints the CPU seconds (user and system, all threads) of one picture. With --busy, processes
keep that many cores busy meanwhile.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

from bare import bare_pipeline, draw
from timing import compare

from imagen_nb import Studio
from imagen_nb.backends.tiny import FLUX_TINY

PICTURES = 40
PROMPTS = [f"a {colour} boat at sunset" for colour in ("red", "blue", "green", "white")]


# Ends with whoever started it, however that ends.
BUSY = (
    "import os; parent = os.getppid()\nwhile os.getppid() == parent: sum(range(10_000))"
)


@contextmanager
def busy_core() -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-c", BUSY])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--busy", type=int, default=0, metavar="CORES")
    busy = parser.parse_args().busy
    folder = Path(tempfile.mkdtemp(prefix="imagen-bench-"))
    pipeline = bare_pipeline()
    settings = {"backend": FLUX_TINY.name, "output": {"dir": str(folder / "ours")}}
    (folder / "theirs").mkdir()
    rounds: Iterator[int] = count()  # fresh seeds each time: nothing is there already
    other_rounds: Iterator[int] = count()
    cpu: dict[str, list[float]] = {
        "ours": [],
        "theirs": [],
    }  # ms of a picture, by round
    with ExitStack() as stack:
        studio = stack.enter_context(Studio(settings))
        for _ in range(busy):
            stack.enter_context(busy_core())

        def ours() -> None:
            first, began = next(rounds) * PICTURES, time.process_time()
            for i in range(PICTURES):
                studio.generate(PROMPTS[i % len(PROMPTS)], seed=first + i)
            cpu["ours"].append((time.process_time() - began) * 1e3 / PICTURES)

        def theirs() -> None:
            first, began = next(other_rounds) * PICTURES, time.process_time()
            for i in range(PICTURES):
                image = draw(pipeline, PROMPTS[i % len(PROMPTS)], first + i)
                image.save(folder / "theirs" / f"{first + i}.png")
            cpu["theirs"].append((time.process_time() - began) * 1e3 / PICTURES)

        beside = f", {busy} cores kept busy" if busy else ""
        compare(f"{PICTURES} pictures drawn and kept{beside}", ours, theirs, "≤ 1.00")
    mine, bare = (statistics.median(cpu[side][1:]) for side in ("ours", "theirs"))
    print(
        f"CPU of a picture: ours {mine:.1f} ms, theirs {bare:.1f} ms, ratio {mine / bare:.3f}"
    )


if __name__ == "__main__":
    main()
