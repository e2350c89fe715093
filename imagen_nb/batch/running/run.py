"""Runs the missing jobs of a table, and writes one table of what became of all."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagen_nb._version import __version__
from imagen_nb.backends import BACKENDS, is_remote
from imagen_nb.backends.flux.libraries import library_versions
from imagen_nb.batch.jobs.jobs import Job
from imagen_nb.batch.jobs.notebook import Template, load_template, require_kernel
from imagen_nb.batch.results.executed import (
    FAILED,
    WARM_ENGINE,
    ExecutionOptions,
    Outcome,
)
from imagen_nb.batch.results.folder import BatchFolder
from imagen_nb.batch.results.page import batch_page
from imagen_nb.batch.running.bar import JobsBar
from imagen_nb.batch.running.cluster import Cluster
from imagen_nb.batch.running.loop import BatchPlan, Loop, Runner, make_batch_plan
from imagen_nb.batch.running.uploads import Uploads
from imagen_nb.batch.running.workers import Workers
from imagen_nb.config.settings import environment_name, load_settings
from imagen_nb.errors import UsageError
from imagen_nb.system.paths import absolute_path
from imagen_nb.system.spelling import known_arguments
from imagen_nb.system.terminal import print_notice

if TYPE_CHECKING:
    import pandas as pd
    from distributed import Client

    from imagen_nb.batch.jobs.tables import JobsSource


@dataclass(frozen=True, slots=True)
class BatchOptions:
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
    raw_csv: bool = False
    preview: bool | None = None
    backend: str | None = None

    def __post_init__(self) -> None:
        for name, least in (("workers", 1), ("retry", 0)):
            if getattr(self, name) < least:
                raise UsageError(
                    f"{name} must be {least} or more, not {getattr(self, name)}"
                )
        if self.timeout is not None and not self.timeout > 0:
            raise UsageError(f"timeout is seconds, more than 0, not {self.timeout:g}")


@known_arguments
def run_batch(
    jobs: JobsSource,
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
    raw_csv: bool = False,
    preview: bool | None = None,
    backend: str | None = None,
) -> pd.DataFrame:
    """Run a notebook once for each job, and return one table of what became of them.

    Only jobs that no earlier run into the same folder finished are run. The folder gets
    each executed notebook, results.parquet and results.csv, batch.json and index.html.
    A notebook that fails is kept with its traceback, and the others go on. After Ctrl-C
    the current jobs are finished; after a second one they are ended.

    Args:
        jobs: a table (.csv, .tsv, .jsonl, .json, .yaml, .parquet, a DataFrame, a list
            of mappings), one job a row, or a grid: a mapping of the parameters' names
            to values.
        notebook: it has a cell tagged `parameters`; our own `batch.ipynb` unless given.
        output: the batch's folder. Pictures go where the notebook keeps them.
        workers: processes, each with a warm kernel, and with its own GPU where there
            are some.
        retry: how often a job that fails is run again, at most.
        limit: run at most so many of the jobs that are left.
        fail_fast: begin no job after one has failed for good.
        timeout: seconds that a notebook may take.
        warm: keep kernels and loaded models from one notebook to the next; else each
            notebook has a fresh kernel.
        memory: bytes that a warm kernel may weigh before it is replaced.
        cloud: False copies nothing to the cloud; None follows the configuration.
        config: the configuration file, for the notebooks too.
        dask: a Dask scheduler's address, `tcp://…:8786`, or a Client: the jobs run on
            its workers, one warm kernel in each worker process, instead of in processes
            of this machine.
        notebooks: where executed notebooks are kept, any URL that fsspec knows, such as
            `s3://bucket/runs`; in the folder unless given.
        progress: True or False shows or hides the bar; None shows it where somebody
            looks.
        raw_csv: keep texts that spreadsheets take for formulas as they are in
            results.csv; else an apostrophe stands before them.
        preview: False shows no picture as it grows in a notebook; None follows the
            configuration.
        backend: what draws where the notebook names nothing else: a name of `imagen
            models`, "auto" or "remote"; None follows the configuration.

    Returns:
        One row a job: its parameters, `status` (done, failed, not run), `error`,
        `duration_s` (seconds), `picture_ids`, `paths`, `notebook`.

    Raises:
        UsageError: for jobs that the notebook cannot take, or a kernel that is not
            installed; none was run then.
        StorageError: when the folder cannot be written.
        KeyboardInterrupt: after Ctrl-C, when the table is written.

    Example:
        >>> jobs = {"prompts": ["{red|blue} boat"], "seeds": "1..4"}
        >>> len(im.run_batch(jobs, limit=0))  # what there is to do; nothing is run
        8
        >>> results = im.run_batch(jobs)  # doctest: +SKIP
    """
    options = BatchOptions(
        workers,
        retry,
        fail_fast,
        timeout,
        warm,
        memory,
        cloud,
        None if config is None else Path(config),
        dask,
        progress,
        raw_csv,
        preview,
        backend,
    )
    if backend is not None and not is_remote(backend):
        BACKENDS.require(backend)
    folder = BatchFolder(output, notebooks)
    with folder.locked():
        template = _template_to_run(notebook, dask)
        plan = make_batch_plan(jobs, template, folder, limit)
        if plan.before:
            print_notice(plan.summary)
        outcomes, interrupted = _run_plan(plan, template, folder, options)
    if interrupted:
        raise KeyboardInterrupt
    return folder.frame(plan.jobs, outcomes)


def plan_batch(
    jobs: JobsSource,
    notebook: Path | str | None,
    output: Path | str,
    *,
    limit: int | None = None,
    dask: str | Client | None = None,
    notebooks: str | None = None,
) -> BatchPlan:
    """Return what `run_batch` would do with these arguments, and write nothing.

    Raises the errors of `run_batch`, except that no Dask scheduler is asked.
    """
    template = _template_to_run(notebook, dask)
    return make_batch_plan(jobs, template, BatchFolder(output, notebooks), limit)


def _template_to_run(
    notebook: Path | str | None, dask: str | Client | None
) -> Template:
    """Load the notebook, and require its kernel on this machine if it runs here."""
    template = load_template(notebook)
    if dask is None:
        require_kernel(template)
    return template


def _run_plan(
    plan: BatchPlan, template: Template, folder: BatchFolder, options: BatchOptions
) -> tuple[dict[str, Outcome], bool]:
    """Run the jobs, and write what became of all of them, even if an error is raised.

    Returns the outcomes by the jobs' keys, and whether the user interrupted.
    """
    outcomes = dict(plan.before)
    started_at = datetime.now(UTC)
    interrupts = 0
    try:
        if plan.todo:
            execution = _execution_options(template, options)
            interrupts = _run_jobs(plan.todo, execution, folder, options, outcomes)
    finally:
        facts = _batch_facts(template, options, started_at)
        _write_results(plan.jobs, outcomes, folder, facts, raw_csv=options.raw_csv)
    return outcomes, interrupts > 0


def _execution_options(template: Template, options: BatchOptions) -> ExecutionOptions:
    if not options.warm:
        return ExecutionOptions(template, None, options.timeout)
    engine_options = {"memory": options.memory} if options.memory else {}
    return ExecutionOptions(template, WARM_ENGINE, options.timeout, engine_options)


def _run_jobs(
    todo: Sequence[Job],
    execution: ExecutionOptions,
    folder: BatchFolder,
    options: BatchOptions,
    outcomes: dict[str, Outcome],
) -> int:
    """Run the jobs and add to `outcomes`; return how often the user interrupted."""
    runner = _make_runner(len(todo), execution, options)
    loop = Loop(runner, execution, options.retry, options.fail_fast)
    uploads = Uploads(load_settings(None, options.config), options.cloud)
    pending = 0
    with ExitStack() as stack, loop.listening():
        stack.enter_context(uploads)
        stack.callback(runner.close)
        bar = stack.enter_context(JobsBar(len(todo), options.progress))
        for job, executed, outcome in loop.results(todo):
            folder.keep(job, executed)
            outcomes[job.key] = outcome
            uploads.add(path for _, path in outcome.pictures)
            bar.ended(outcome.status == FAILED)
            pending += executed.pending
        if not loop.interrupts:
            uploads.finish()
    if pending:
        print_notice(
            f"cloud sync: {pending} pictures wait on the machines that made them"
        )
    return loop.interrupts


def _make_runner(
    count: int, execution: ExecutionOptions, options: BatchOptions
) -> Runner:
    """Return a cluster, or as many workers as are requested and have a job to run."""
    variables = _kernel_environment(options)
    if options.dask is not None:
        return Cluster(options.dask, execution, variables)
    return Workers(min(options.workers, count), execution, {**os.environ, **variables})


def _kernel_environment(options: BatchOptions) -> dict[str, str]:
    """Return the variables by which the notebooks' kernels follow the options."""
    variables = {}
    if options.config:
        variables["IMAGEN_CONFIG"] = str(absolute_path(options.config))
    if options.cloud is False:
        variables[environment_name("output.cloud_sync")] = "off"
    if options.preview is False:
        variables[environment_name("preview")] = "off"
    if options.backend is not None:
        variables[environment_name("backend")] = options.backend
    return variables


def _batch_facts(
    template: Template, options: BatchOptions, started_at: datetime
) -> dict[str, Any]:
    """Return what batch.json records of the run."""
    libraries = {name: version(name) for name in ("papermill", "nbclient")}
    return {
        "notebook": template.name,
        "notebook_sha256": template.digest,
        "started_at": started_at.isoformat(),
        "ended_at": datetime.now(UTC).isoformat(),
        "options": {
            "workers": options.workers,
            "retry": options.retry,
            "fail_fast": options.fail_fast,
            "timeout": options.timeout,
            "warm": options.warm,
        },
        "versions": {"imagen_nb": __version__, **dict(library_versions()), **libraries},
    }


def _write_results(
    jobs: Sequence[Job],
    outcomes: Mapping[str, Outcome],
    folder: BatchFolder,
    facts: Mapping[str, Any],
    *,
    raw_csv: bool,
) -> None:
    """Write the table, batch.json and the page."""
    table = folder.frame(jobs, outcomes)
    folder.write_table(table, raw_csv=raw_csv)
    statuses = dict(sorted(Counter(table["status"]).items()))
    folder.write_facts({**facts, "jobs": len(jobs), "statuses": statuses})
    folder.write_page(batch_page(folder, jobs, outcomes, facts["notebook"]))
