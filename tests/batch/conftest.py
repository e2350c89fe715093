"""Notebooks to run as batches, written by the tests themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Writes a notebook of a parameters cell and more cells of code, and gives its path."""

    def write(parameters: str, *cells: str, name: str = "work.ipynb") -> Path:
        first = new_code_cell(parameters, metadata={"tags": ["parameters"]})
        notebook = new_notebook(cells=[first, *map(new_code_cell, cells)], metadata=KERNEL)
        path = tmp_path / name
        nbformat.write(notebook, path)
        return path

    return write
