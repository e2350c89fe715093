"""Notebooks of a few cells, run by papermill in the warm kernel of this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import papermill
from nbformat.v4 import new_code_cell, new_notebook
from papermill.engines import papermill_engines

from imagen_nb.batch.warm.engine import WarmEngine

papermill_engines.register("imagen-warm", WarmEngine)  # also where the package is not installed
PID = "__import__('os').getpid()"


def notebook(*cells: str, kernel: str = "python3") -> nbformat.NotebookNode:
    """A notebook with these cells."""
    made = new_notebook(cells=[new_code_cell(cell) for cell in cells])
    made.metadata.kernelspec = {"name": kernel, "display_name": kernel, "language": "python"}
    return made


def run(
    *cells: str, kernel: str = "python3", path: Path | None = None, **options: Any
) -> list[str]:
    """Run it; what its cells printed or gave, in their order."""
    done = papermill.execute_notebook(
        notebook(*cells, kernel=kernel), path, engine_name="imagen-warm", progress_bar=False,
        request_save_on_cell_execute=False, **{"job_timeout": 20} | options,
    )  # fmt: skip
    outputs = [output for cell in done.cells for output in cell.outputs]
    return [one.get("text") or one.get("data", {}).get("text/plain", "") for one in outputs]


def value(*cells: str, **options: Any) -> str:
    """Run it; what its last cell gave."""
    return run(*cells, **options)[-1]


def process(**options: Any) -> int:
    """The process that the next notebook runs in."""
    return int(value(PID, **options))
