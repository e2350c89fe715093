"""Notebooks to run as batches, written by the tests themselves."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}


def write_notebook(folder: Path, parameters: str, *cells: str) -> Path:
    """Write a notebook of a parameters cell and more cells of code; return its path."""
    first = new_code_cell(parameters, metadata={"tags": ["parameters"]})
    notebook = new_notebook(cells=[first, *map(new_code_cell, cells)], metadata=KERNEL)
    path = folder / "work.ipynb"
    nbformat.write(notebook, path)
    return path


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Writes a notebook of a parameters cell and more cells of code, and gives its path."""
    return functools.partial(write_notebook, tmp_path)


@pytest.fixture(scope="module")
def clean_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pytest.MonkeyPatch]:
    """The empty home of every test, for what a module's tests share."""
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.startswith(("IMAGEN_", "XDG_", "SUPABASE_", "PAPERMILL_")):
                patch.delenv(name)
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield patch


@pytest.fixture
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for temporary files whose path is short enough for a kernel's sockets."""
    folder = tmp_path_factory.mktemp("t")
    assert len(str(folder)) < 60
    return folder
