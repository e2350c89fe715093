"""`imagen batch`: a notebook, once for each job of a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imagen_nb.cli import options
from imagen_nb.system.terminal import complain

if TYPE_CHECKING:
    import pandas as pd


def batch(
    jobs: Annotated[
        Path,
        typer.Argument(
            help="One job a row (.csv, .tsv, .jsonl, .json, .yaml, .parquet), or a grid (.yaml).",
            callback=options.expanded,
        ),
    ],
    notebook: Annotated[
        Path | None,
        typer.Option(
            help="It has a cell tagged `parameters`; our own batch.ipynb unless given.",
            callback=options.expanded,
        ),
    ] = None,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="The batch's folder; the same again goes on with it.",
            callback=options.expanded,
        ),
    ] = Path("runs"),
    workers: Annotated[int, typer.Option(help="Processes, each with a warm kernel.")] = 1,
    retry: Annotated[int, typer.Option(help="Run a job that fails so often again.")] = 0,
    limit: Annotated[
        int | None, typer.Option(help="Run at most so many of those that are left.")
    ] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds for a notebook.")] = None,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="Begin no job after one has failed.")
    ] = False,
    cold: Annotated[
        bool, typer.Option("--cold", help="A fresh kernel for every notebook, as papermill has.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be run; run nothing.")
    ] = False,
    dask: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Run on this Dask cluster, like tcp://host:8786."),
    ] = None,
    notebooks: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Keep executed notebooks there, like s3://bucket/runs."),
    ] = None,
    config: options.Config = None,
    no_cloud: options.NoCloud = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the results table as JSON, for programs.")
    ] = False,
) -> None:  # fmt: skip
    """Run a notebook once for each job, keep each executed notebook, and a results table.

    Only what is missing or failed is run. Ctrl-C finishes the current jobs; twice ends them.
    """
    from imagen_nb.batch.running.run import plan_batch, run_batch

    if dry_run:
        todo = plan_batch(
            jobs, notebook, output, limit=limit, dask=dask, notebooks=notebooks
        )
        print(
            todo.summary if not as_json else json.dumps([job.name for job in todo.todo])
        )
        for job in () if as_json else todo.todo:
            print(f"{job.name}  {json.dumps(job.parameters, ensure_ascii=True)}")
        return
    results = run_batch(
        jobs, notebook, output, workers=workers, retry=retry, limit=limit, timeout=timeout,
        fail_fast=fail_fast, warm=not cold, config=config, cloud=False if no_cloud else None,
        dask=dask, notebooks=notebooks,
    )  # fmt: skip
    say(results, output, as_json)
    if "failed" in set(results["status"]):
        raise typer.Exit(1)


def say(results: pd.DataFrame, output: Path, as_json: bool) -> None:
    """The table's path on stdout, or all of it; how many failed and why on stderr."""
    if as_json:
        print(results.to_json(orient="records", indent=2))
    else:
        print(output / "results.csv")
    counts = results["status"].value_counts()
    complain(", ".join(f"{count} {status}" for status, count in sorted(counts.items())))
    failed = results[results["status"] == "failed"]
    for name, error in zip(failed["job"].head(10), failed["error"], strict=False):
        complain(f"{name}: {error}")
