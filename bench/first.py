"""Time to the first picture in a new process: `imagen generate` / the shortest script.

python bench/first.py [ROUNDS]

The script loads the same FluxPipeline, draws the same picture and saves it. The two run in turn;
printed are the CPU seconds (user and system) of each process and its wall clock.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import count
from pathlib import Path

from imagen_nb.backends.tiny import FLUX_TINY, WEIGHTS

SHORTEST = f"""
import torch
from diffusers import FluxPipeline
pipeline = FluxPipeline.from_pretrained({str(WEIGHTS)!r}, dtype=torch.float32)
pipeline(
    "a red boat",
    width={FLUX_TINY.defaults.width},
    height={FLUX_TINY.defaults.height},
    num_inference_steps={FLUX_TINY.defaults.steps},
    guidance_scale=0.0,
    max_sequence_length={FLUX_TINY.defaults.max_sequence_length},
    generator=torch.Generator().manual_seed(1),
).images[0].save("shortest.png")
"""


def run_process(command: list[str], folder: str) -> tuple[float, float]:
    """Return the CPU seconds and the seconds by the clock that a process took."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, cwd=folder)
    after, wall = (
        resource.getrusage(resource.RUSAGE_CHILDREN),
        time.perf_counter() - began,
    )
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    folder = tempfile.mkdtemp(prefix="imagen-bench-")
    imagen = str(Path(sys.executable).with_name("imagen"))
    fixed = ["--backend", FLUX_TINY.name, "--output", folder, "--no-cloud"]
    seeds = count(1)

    def ours() -> tuple[float, float]:
        command = [imagen, "generate", "a red boat", "--seed", str(next(seeds)), *fixed]
        return run_process(command, folder)

    def theirs() -> tuple[float, float]:
        return run_process([sys.executable, "-c", SHORTEST], folder)

    ours(), theirs()  # the files are in the system's cache from here on
    times = [(ours(), theirs()) for _ in range(rounds)]
    for name, place in (("CPU", 0), ("clock", 1)):
        mine, shortest = zip(
            *((one[place], other[place]) for one, other in times), strict=True
        )
        ratio = statistics.median(a / b for a, b in zip(mine, shortest, strict=True))
        print(
            f"first picture, {name}: imagen generate {statistics.median(mine):.2f} s,"
            f" shortest script {statistics.median(shortest):.2f} s, ratio {ratio:.3f} (goal ≤ 1.1)"
        )


if __name__ == "__main__":
    main()
