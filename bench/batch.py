"""Batches: warm against plain papermill, what a job costs, two workers against one.

    python bench/batch.py [papermill] [cost] [workers]     # all three unless named

papermill: 20 small jobs of our own batch.ipynb with the embedded FLUX, by `run_batch` with one warm
worker / by a loop of `papermill.execute_notebook`, which starts a kernel and loads the libraries
and the model for each. Starting the worker counts as ours. Goal ≤ 0.125 (8 times faster).
cost: what one more job takes, over what its notebook's body takes by itself in an open session.
Goal ≤ 0.15 s.
workers: two workers / one, for jobs that mostly wait (goal ≤ 0.59, 1.7 times faster), and for jobs
that draw all the time (goal ≤ 1.0). Drawing all the time is `studio.sweep` of 12 pictures a job.
"""

from __future__ import annotations

import itertools
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import nbformat
import papermill
from nbformat.v4 import new_code_cell, new_notebook
from timing import seconds

import imagen_nb as im
from imagen_nb.batch.jobs.notebook import packaged_notebook as our_notebook

HOME = Path(tempfile.mkdtemp(prefix="imagen-bench-"))
os.environ |= {
    "IMAGEN_OUTPUT_DIR": str(HOME / "pictures"),
    "IMAGEN_BACKEND": "flux-tiny-local",
}
KERNEL = {
    "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
}
JOBS = 20
_seeds = itertools.count(1)
_folders = itertools.count(1)


def fresh(count: int) -> list[dict[str, object]]:
    """So many jobs that were never run."""
    return [{"prompt": "a red boat", "seed": next(_seeds)} for _ in range(count)]


def batch(
    jobs: list[dict[str, object]], notebook: Path | None = None, workers: int = 1
) -> list[float]:
    """Run them into a folder of their own; the seconds of each."""
    results = im.run_batch(
        jobs, notebook, HOME / f"runs-{next(_folders)}", workers=workers
    )
    assert (results["status"] == "done").all(), results["error"].dropna().tolist()
    return [float(value) for value in results["duration_s"]]


def against_papermill() -> None:
    def plain() -> None:
        for job in fresh(JOBS):
            papermill.execute_notebook(
                str(our_notebook()), str(HOME / "plain.ipynb"), job, progress_bar=False
            )

    ours = [seconds(lambda: batch(fresh(JOBS)))]
    theirs = seconds(plain)
    ours.append(seconds(lambda: batch(fresh(JOBS))))
    middle = statistics.mean(ours)  # before and after theirs
    print(
        f"{JOBS} small jobs: ours {middle:.1f} s, papermill {theirs:.1f} s, "
        f"ratio {middle / theirs:.3f} (goal ≤ 0.125), {theirs / middle:.1f} times faster"
    )


def cost_of_a_job() -> None:
    few, many = 10, 50
    studio = im.configure()
    body_s = []
    took: dict[int, list[float]] = {few: [], many: []}
    _body(studio, next(_seeds))  # loads the model
    for _ in range(3):
        for count in (few, many):
            took[count].append(seconds(lambda count=count: batch(fresh(count))))  # type: ignore[misc]
        body_s += [seconds(lambda: _body(studio, next(_seeds))) for _ in range(10)]
    more = (statistics.median(took[many]) - statistics.median(took[few])) / (many - few)
    body = statistics.median(body_s)
    print(
        f"one more job: {more:.3f} s, its notebook's body by itself {body:.3f} s: "
        f"{more - body:.3f} s over it (goal ≤ 0.15)"
    )


def _body(studio: im.Studio, seed: int) -> None:
    """What batch.ipynb does."""
    pictures = studio.sweep("a red boat", seeds=range(seed, seed + 1), progress=False)
    pictures._repr_mimebundle_()


def two_workers() -> None:
    for what, body, count, goal in (
        ("jobs that wait", "import time\ntime.sleep(1)", 40, "≤ 0.59"),
        ("jobs that draw", DRAW, 20, "≤ 1.00"),
    ):
        notebook = _notebook(body)

        def timed(workers: int, notebook: Path = notebook, count: int = count) -> float:
            jobs: list[dict[str, object]] = [
                {"seed": next(_seeds) * 1000} for _ in range(count)
            ]
            return seconds(lambda: batch(jobs, notebook, workers))

        ratios = []
        for turn in range(3):
            times = {
                workers: timed(workers) for workers in ((2, 1) if turn % 2 else (1, 2))
            }
            ratios.append(times[2] / times[1])
            print(f"  {what}: one worker {times[1]:.1f} s, two {times[2]:.1f} s")
        print(
            f"{what}, two workers / one: ratio {statistics.median(ratios):.2f} (goal {goal})"
        )


DRAW = """
import imagen_nb as im
im.configure(output={"dir": OUT}).sweep("a red boat", seeds=range(seed, seed + 12), progress=False)
"""


def _notebook(body: str) -> Path:
    path = HOME / f"work-{next(_folders)}.ipynb"
    parameters = f"seed: int = 0\nOUT = {str(HOME / 'drawn')!r}"
    cells = [
        new_code_cell(parameters, metadata={"tags": ["parameters"]}),
        new_code_cell(body),
    ]
    nbformat.write(new_notebook(cells=cells, metadata=KERNEL), path)
    return path


PARTS: dict[str, Callable[[], None]] = {
    "papermill": against_papermill,
    "cost": cost_of_a_job,
    "workers": two_workers,
}


if __name__ == "__main__":
    for name in sys.argv[1:] or PARTS:
        PARTS[name]()
