"""`imagen batch`: a notebook, once for each job of a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imagen_nb.cli import options
from imagen_nb.system.terminal import print_notice

if TYPE_CHECKING:
    import pandas as pd

    from imagen_nb.batch.running.loop import BatchPlan

_MAX_ERRORS = 10  # failed jobs that are named one by one

JobsArgument = Annotated[
    Path,
    typer.Argument(
        help="One job a row (.csv, .tsv, .jsonl, .json, .yaml, .parquet), or a grid"
        " (.yaml).",
        callback=options.expand_option,
    ),
]
NotebookOption = Annotated[
    Path | None,
    typer.Option(
        help="It has a cell tagged `parameters`; our own batch.ipynb unless given.",
        callback=options.expand_option,
    ),
]
BatchFolderOption = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        help="The batch's folder; the same again goes on with it.",
        callback=options.expand_option,
    ),
]
WorkersOption = Annotated[int, typer.Option(help="Processes, each with a warm kernel.")]
RetryOption = Annotated[int, typer.Option(help="Run a job that fails so often again.")]
JobLimitOption = Annotated[
    int | None, typer.Option(help="Run at most so many of those that are left.")
]
JobTimeoutOption = Annotated[float | None, typer.Option(help="Seconds for a notebook.")]
FailFastOption = Annotated[
    bool, typer.Option("--fail-fast", help="Begin no job after one has failed.")
]
ColdOption = Annotated[
    bool,
    typer.Option("--cold", help="A fresh kernel for every notebook, as papermill has."),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be run; run nothing.")
]
DaskOption = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS", help="Run on this Dask cluster, like tcp://host:8786."
    ),
]
NotebooksOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL", help="Keep executed notebooks there, like s3://bucket/runs."
    ),
]
ResultsJsonOption = Annotated[
    bool, typer.Option("--json", help="Print the results table as JSON, for programs.")
]


def batch(
    jobs: JobsArgument,
    notebook: NotebookOption = None,
    output: BatchFolderOption = Path("runs"),
    workers: WorkersOption = 1,
    retry: RetryOption = 0,
    limit: JobLimitOption = None,
    timeout: JobTimeoutOption = None,
    fail_fast: FailFastOption = False,
    cold: ColdOption = False,
    dry_run: DryRunOption = False,
    dask: DaskOption = None,
    notebooks: NotebooksOption = None,
    backend: options.BackendOption = None,
    config: options.ConfigOption = None,
    no_cloud: options.NoCloudOption = False,
    no_preview: options.NoPreviewOption = False,
    raw_csv: options.RawCsvOption = False,
    as_json: ResultsJsonOption = False,
) -> None:
    """Run a notebook once for each job, keep each executed notebook, and a results table.

    Only what is missing or failed is run. Ctrl-C finishes the current jobs; twice ends
    them.
    """
    from imagen_nb.batch.running.run import plan_batch, run_batch

    if dry_run:
        plan = plan_batch(
            jobs, notebook, output, limit=limit, dask=dask, notebooks=notebooks
        )
        print_plan(plan, as_json)
        return
    results = run_batch(
        jobs,
        notebook,
        output,
        workers=workers,
        retry=retry,
        limit=limit,
        timeout=timeout,
        fail_fast=fail_fast,
        warm=not cold,
        config=config,
        cloud=False if no_cloud else None,
        preview=False if no_preview else None,
        dask=dask,
        notebooks=notebooks,
        raw_csv=raw_csv,
        backend=backend,
    )
    print_batch_results(results, output, as_json)
    if "failed" in set(results["status"]):
        raise typer.Exit(1)


def print_plan(plan: BatchPlan, as_json: bool) -> None:
    """Print what would be run: the names of the jobs as JSON, or a line a job."""
    if as_json:
        print(json.dumps([job.name for job in plan.todo]))
        return
    print(plan.summary)
    for job in plan.todo:
        print(f"{job.name}  {json.dumps(job.parameters, ensure_ascii=True)}")


def print_batch_results(results: pd.DataFrame, output: Path, as_json: bool) -> None:
    """Print the results table, or its path; on stderr how many jobs failed, and why."""
    if as_json:
        print(results.to_json(orient="records", indent=2))
    else:
        print(output / "results.csv")
    counts = results["status"].value_counts()
    print_notice(
        ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    )
    failed = results[results["status"] == "failed"].head(_MAX_ERRORS)
    for name, error in zip(failed["job"], failed["error"], strict=True):
        print_notice(f"{name}: {error}")
