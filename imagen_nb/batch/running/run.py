"""A batch: what is missing of a table of jobs is run, and one table says what became of all."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagen_nb._version import __version__
from imagen_nb.backends.flux.libraries import library_versions
from imagen_nb.batch.jobs.jobs import Job
from imagen_nb.batch.jobs.notebook import needs_kernel, template
from imagen_nb.batch.results.executed import FAILED, WARM, Outcome, Way
from imagen_nb.batch.results.folder import Folder
from imagen_nb.batch.results.page import page
from imagen_nb.batch.running.cluster import Cluster
from imagen_nb.batch.running.loop import Loop, Plan, Runner, plan
from imagen_nb.batch.running.uploads import Uploads
from imagen_nb.batch.running.workers import Workers
from imagen_nb.config.settings import environment_name, load_settings
from imagen_nb.errors import UsageError
from imagen_nb.system.paths import absolute
from imagen_nb.system.terminal import complain, in_notebook

if TYPE_CHECKING:
    import pandas as pd
    from distributed import Client

    from imagen_nb.batch.jobs.tables import Source


@dataclass(frozen=True, slots=True)
class Options:
    """How a batch is run; each field as `run_batch` explains it."""

    workers: int = 1
    retry: int = 0
    fail_fast: bool = False
    timeout: float | None = None
    warm: bool = True
    memory: int | None = None
    cloud: bool | None = None
    config: Path | None = None
    dask: str | Client | None = None
    progress: bool | None = None

    def __post_init__(self) -> None:
        for name, least in (("workers", 1), ("retry", 0)):
            if getattr(self, name) < least:
                raise UsageError(
                    f"{name} must be {least} or more, not {getattr(self, name)}"
                )
        if self.timeout is not None and not self.timeout > 0:
            raise UsageError(f"timeout is seconds, more than 0, not {self.timeout:g}")


def run_batch(
    jobs: Source,
    notebook: Path | str | None = None,
    output: Path | str = "runs",
    *,
    workers: int = 1,
    retry: int = 0,
    limit: int | None = None,
    fail_fast: bool = False,
    timeout: float | None = None,
    warm: bool = True,
    memory: int | None = None,
    cloud: bool | None = None,
    config: Path | str | None = None,
    dask: str | Client | None = None,
    notebooks: str | None = None,
    progress: bool | None = None,
) -> pd.DataFrame:
    """Run a notebook once for each job, and give one table of what became of them.

    Only jobs that no earlier run into the same folder finished are run. The folder gets each
    executed notebook, results.parquet and results.csv, batch.json and index.html. A notebook that
    fails is kept with its traceback, and the others go on. After Ctrl-C the current jobs are
    finished; after a second one they are ended.

    Args:
        jobs: a table (.csv, .tsv, .jsonl, .json, .yaml, .parquet, a DataFrame, a list of mappings),
            one job a row, or a grid: a mapping of the parameters' names to values.
        notebook: it has a cell tagged `parameters`; our own `batch.ipynb` unless given.
        output: the batch's folder. Pictures go where the notebook keeps them.
        workers: processes, each with a warm kernel, and with its own GPU where there are some.
        retry: how often a job that fails is run again, at most.
        limit: run at most so many of the jobs that are left.
        fail_fast: begin no job after one has failed for good.
        timeout: seconds that a notebook may take.
        warm: keep kernels and loaded models from one notebook to the next; else each notebook has
            a fresh kernel.
        memory: bytes that a warm kernel may weigh before it is replaced.
        cloud: False copies nothing to the cloud; None follows the configuration.
        config: the configuration file, for the notebooks too.
        dask: a Dask scheduler's address, `tcp://…:8786`, or a Client: the jobs run on its workers,
            one warm kernel in each worker process, instead of in processes of this machine.
        notebooks: where executed notebooks are kept, any URL that fsspec knows, such as
            `s3://bucket/runs`; in the folder unless given.
        progress: True or False shows or hides the bar; None shows it where somebody looks.

    Returns:
        One row a job: its parameters, `status` (done, failed, not run), `error`, `duration_s`
        (seconds), `picture_ids`, `paths`, `notebook`.

    Raises:
        UsageError: for jobs that the notebook cannot take, or a kernel that is not installed; none
            was run then.
        StorageError: when the folder cannot be written.
        KeyboardInterrupt: after Ctrl-C, when the table is written.

    Example:
        >>> results = im.run_batch({"prompts": ["{red|blue} boat"], "seeds": "1..4"})
    """
    options = Options(
        workers, retry, fail_fast, timeout, warm, memory, cloud,
        None if config is None else Path(config), dask, progress,
    )  # fmt: skip
    folder = Folder(output, notebooks)
    with folder.held():
        way = _way(notebook, options)
        todo = plan(jobs, way.template, folder, limit)
        if todo.before:
            complain(todo.summary)
        outcomes, interrupted = _run(todo, way, folder, options)
    if interrupted:
        raise KeyboardInterrupt
    return folder.frame(todo.jobs, outcomes)


def planned(
    jobs: Source, notebook: Path | str | None, output: Path | str, *,
    limit: int | None = None, notebooks: str | None = None,
) -> Plan:  # fmt: skip
    """What `run_batch` would do. Errors are its errors, and nothing is written."""
    return plan(jobs, template(notebook), Folder(output, notebooks), limit)


def _way(notebook: Path | str | None, options: Options) -> Way:
    engine = {"memory": options.memory} if options.warm and options.memory else {}
    read = template(notebook)
    if options.dask is None:  # else it is the workers' to have
        needs_kernel(read)
    return Way(read, WARM if options.warm else None, options.timeout, engine)


def _run(
    planned: Plan, way: Way, folder: Folder, options: Options
) -> tuple[dict[str, Outcome], bool]:
    """Run what is to be run, and write what became of all, whatever happens."""
    outcomes = dict(planned.before)
    began = datetime.now(UTC)
    try:
        interrupts = (
            _looped(planned.todo, way, folder, options, outcomes) if planned.todo else 0
        )
    finally:
        _write(planned.jobs, outcomes, way, folder, _facts(way, options, began))
    return outcomes, interrupts > 0


def _looped(
    todo: Sequence[Job],
    way: Way,
    folder: Folder,
    options: Options,
    outcomes: dict[str, Outcome],
) -> int:
    """Run the jobs, filling `outcomes`; how often the user interrupted."""
    runner = _runner(len(todo), way, options)
    loop = Loop(runner, way, options.retry, options.fail_fast)
    uploads = Uploads(load_settings(None, options.config), options.cloud)
    pending = 0
    with ExitStack() as ending, loop.listening():
        ending.enter_context(uploads)
        ending.callback(runner.close)
        bar = ending.enter_context(JobsBar(len(todo), options.progress))
        for job, ran, outcome in loop.results(todo):
            folder.keep(job, ran)
            outcomes[job.key] = outcome
            uploads.wanted(path for _, path in outcome.pictures)
            bar.ended(outcome.status == FAILED)
            pending += ran.pending
        if not loop.interrupts:
            uploads.finish()
    if pending:
        complain(f"cloud sync: {pending} pictures wait on the machines that made them")
    return loop.interrupts


def _runner(jobs: int, way: Way, options: Options) -> Runner:
    if options.dask is not None:
        return Cluster(options.dask, way, _told(options))
    return Workers(min(options.workers, jobs), way, {**os.environ, **_told(options)})


def _told(options: Options) -> dict[str, str]:
    """What the notebooks' kernels are told, by their environment."""
    told = {}
    if options.config:
        told["IMAGEN_CONFIG"] = str(absolute(options.config))
    if options.cloud is False:
        told[environment_name("output.cloud_sync")] = "off"
    return told


def _facts(way: Way, options: Options, began: datetime) -> dict[str, Any]:
    """What batch.json says of how it was run."""
    names = ("papermill", "nbclient")
    return {
        "notebook": way.template.name,
        "notebook_sha256": way.template.digest,
        "started_at": began.isoformat(),
        "ended_at": datetime.now(UTC).isoformat(),
        "options": {
            "workers": options.workers, "retry": options.retry, "fail_fast": options.fail_fast,
            "timeout": options.timeout, "warm": options.warm,
        },
        "versions": {"imagen_nb": __version__, **dict(library_versions())}
        | {name: version(name) for name in names},
    }  # fmt: skip


def _write(
    jobs: Sequence[Job], outcomes: Mapping[str, Outcome], way: Way, folder: Folder,
    facts: Mapping[str, Any],
) -> None:  # fmt: skip
    """The table, batch.json and the page."""
    table = folder.frame(jobs, outcomes)
    folder.write_table(table)
    counts = Counter(table["status"])
    folder.write_facts(
        {**facts, "jobs": len(jobs), "statuses": dict(sorted(counts.items()))}
    )
    folder.write_page(page(folder, jobs, outcomes, way.template.name))


class JobsBar:
    """A bar over jobs, in terminals and notebooks; elsewhere silent, unless `shown`."""

    def __init__(self, total: int, shown: bool | None = None) -> None:
        from tqdm.auto import tqdm

        disable = None if shown is None else not shown
        if in_notebook() and shown is None:
            disable = False
        self._bar = tqdm(
            total=total, desc="batch", unit="job", disable=disable, leave=False,
            bar_format="{desc}: {n_fmt}/{total_fmt} |{bar:20}| {remaining} left{postfix}",

        )  # fmt: skip
        self._began, self._failed = time.monotonic(), 0

    def ended(self, failed: bool) -> None:
        """One more job has ended."""
        self._failed += failed
        minutes = max(time.monotonic() - self._began, 1e-9) / 60
        rate = f"{(self._bar.n + 1) / minutes:.1f} jobs/min"
        failures = f"{self._failed} failed" if self._failed else ""
        self._bar.set_postfix_str(
            ", ".join(filter(None, (rate, failures))), refresh=False
        )
        self._bar.update()

    def __enter__(self) -> JobsBar:
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.close()
