"""10,000 jobs planned, resumed and tabled, none of them run.

    python bench/plan.py [--jobs 10000]

Claim: reading the table, finding out what an earlier run finished, and writing the results table
and the page take at most 10 s together, in bounded memory. Half of the jobs have an executed
notebook of our own batch.ipynb, with a contact sheet in it.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path

from imagen_nb.batch.jobs.jobs import make_jobs
from imagen_nb.batch.jobs.notebook import load_template
from imagen_nb.batch.results.executed import ExecutionOptions, run_job
from imagen_nb.batch.results.folder import BatchFolder
from imagen_nb.batch.running.run import plan_batch, run_batch


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--jobs", type=int, default=10_000)
    count = options.parse_args().jobs
    with tempfile.TemporaryDirectory() as home:
        grid = {"prompt": "a red boat", "seeds": f"1..{count}"}
        folder = _half_done(Path(home), grid)
        weight = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
        began = time.perf_counter()
        todo = plan_batch(grid, None, folder)
        planning = time.perf_counter() - began
        began = time.perf_counter()
        table = run_batch(grid, None, folder, limit=0)
        whole = time.perf_counter() - began
        assert len(table) == count
        assert len(todo.todo) == count - count // 2
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{count:,} jobs, {count // 2:,} executed notebooks of {weight:.0f} MB")
    print(f"plan and resume scan (--dry-run): {planning:.2f} s")
    print(
        f"the same, with table, batch.json and page written: {whole:.2f} s (goal ≤ 10 s)"
    )
    print(f"peak memory: {memory:.0f} MB")


def _half_done(home: Path, grid: dict[str, str]) -> Path:
    """A folder in which every other job is done: the notebook of one that was run, for each."""
    made = load_template(None)
    all_jobs = make_jobs(grid, made)
    os.environ |= {
        "IMAGEN_OUTPUT_DIR": str(home / "pictures"),
        "IMAGEN_BACKEND": "flux-tiny-local",
    }
    first = all_jobs[0]
    ran = run_job(first, ExecutionOptions(made, None))
    folder = BatchFolder(home / "runs")
    folder.path.mkdir()
    for job in all_jobs[: len(all_jobs) // 2]:
        text = ran.text.replace(first.key, job.key).replace(first.name, job.name)
        (folder.path / f"{job.name}.ipynb").write_text(text)
    return folder.path


if __name__ == "__main__":
    main()
