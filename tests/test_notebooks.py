"""The notebooks run, say what they said when they were saved, and are small."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import nbformat
import pytest

from tests.fixtures.supabase_fixtures import npm_as_at_home

FOLDER = Path(__file__).parent.parent / "notebooks"
BATCH = FOLDER / "batch.ipynb"  # a template: what it puts out is another thing for each job
NOTEBOOKS = sorted(set(FOLDER.glob("*.ipynb")) - {BATCH})
_BUDGET = 200_000  # bytes of one notebook with its outputs


def test_there_are_notebooks() -> None:
    named = {path.name for path in NOTEBOOKS}
    names = ("01-generate", "02-review", "03-analysis", "04-find", "05-remote")
    assert {f"{name}.ipynb" for name in names} <= named


@pytest.mark.slow
@pytest.mark.usefixtures("quick_kernels")
@pytest.mark.parametrize("path", [*NOTEBOOKS, BATCH], ids=lambda path: path.name)
def test_it_runs_and_its_outputs_are_those_that_were_saved(
    path: Path, tmp_path: Path, quick_python: Path
) -> None:
    """By nbval, in a kernel of this very interpreter."""
    command = [
        str(quick_python),
        "-m",
        "pytest",
        "--nbval-lax" if path == BATCH else "--nbval",
        str(path),
        "-p",
        "no:cacheprovider",
        "-q",
        "--nbval-sanitize-with",
        str(FOLDER / "sanitize.cfg"),
        "--nbval-cell-timeout",
        "300",
        "--rootdir",
        str(tmp_path),
        "-c",
        os.devnull,
    ]
    with npm_as_at_home():  # one of them starts a Supabase
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_it_is_small_and_shows_nothing_that_readers_do_not_want(path: Path) -> None:
    assert path.stat().st_size < _BUDGET
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert "widgets" not in notebook.metadata
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert outputs
    text = str(outputs)
    unwanted = ("/home/", "/tmp/", "/root", "Traceback", "Loading")
    assert not [word for word in unwanted if word in text]
    assert "NBVAL" not in str(notebook.cells)  # tags say what nbval is to ignore


def test_the_template_of_a_batch_is_saved_without_outputs() -> None:
    notebook = nbformat.read(BATCH, as_version=4)
    nbformat.validate(notebook)
    assert not [output for cell in notebook.cells for output in cell.get("outputs", [])]
