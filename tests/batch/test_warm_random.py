"""Notebooks at random, one after another in warm kernels: as each alone in a kernel of its own."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
from papermill.engines import papermill_engines
from papermill.iorw import load_notebook_node

from imagen_nb.batch.warm import kernels
from tests.fixtures.forked_python import forked_kernels, forked_python
from tests.fixtures.notebook_acts import LIBRARIES, SHOWN, random_notebook
from tests.fixtures.warm_notebooks import notebook

_SEED = "WARM_TEST_SEED"  # set it to what was printed, to have the same notebooks again
_CHANGES_BY_ITSELF = re.compile(r"0x[0-9a-f]+|id='\d+'|/tmp/ipykernel_\d+|subprocess \d+|\d+\.py")


@pytest.fixture(scope="module")
def cold_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """For JUPYTER_PATH: each kernel is a fresh one, in a process of its own."""
    # Matplotlib looks at its import whether there is a notebook to show figures in.
    imports = [name for name in LIBRARIES if not name.startswith("matplotlib")]
    folder = tmp_path_factory.mktemp("c")
    with forked_python(folder, imports) as python:
        yield forked_kernels(python, folder / "jupyter")


@pytest.fixture(autouse=True)
def _kernel() -> Iterator[None]:
    yield
    kernels.close_kernel()


def test_ten_notebooks_at_random(cold_place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compare(10, cold_place, monkeypatch, 17)


@pytest.mark.soak
def test_a_hundred_and_fifty_notebooks_at_random(
    cold_place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare(150, cold_place, monkeypatch, random.randrange(10**6))


def compare(count: int, cold_place: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Run so many notebooks in warm kernels, and each in a cold one; all must be the same."""
    seed = int(os.environ.get(_SEED, seed))
    print(f"{_SEED}={seed}")
    monkeypatch.delenv("PYTEST_CURRENT_TEST")  # with it, kernels do not show what processes print
    chance, before, processes = random.Random(seed), [], set()
    for number in range(count):
        cells = random_notebook(chance)
        warm = outputs(cells, "imagen-warm")
        processes.add(kernel_process())
        with monkeypatch.context() as patch:
            patch.setenv("JUPYTER_PATH", str(cold_place))
            cold = outputs(cells, None)
        if "exit()" in cells:  # a cold kernel ends a moment later, at any of the next cells
            warm, cold = (one[: cells.index("exit()") + 1] for one in (warm, cold))
        if "echo late" in str(cells):  # its own notebook may end before or after that
            warm, cold = ([[*filter("late".__ne__, cell)] for cell in one] for one in (warm, cold))
        acts = [cell for cell in cells if cell != SHOWN]
        differing = [pair for pair in zip_longest(*map(flat, (warm, cold))) if pair[0] != pair[1]]
        assert not differing, f"notebook {number} of {_SEED}={seed}: {acts}, after {before[-3:]}"
        before.append(acts)
    print(f"{len(processes)} kernels for {count} notebooks")
    assert len(processes) < count


def kernel_process() -> int | None:
    """The process of the warm kernel that is there, if one is."""
    current = kernels._current_kernel
    return current.manager.provisioner.process.pid if current else None


def outputs(cells: list[str], engine: str | None) -> list[list[str]]:
    """What each cell printed and gave, without what differs between any two processes."""
    book = load_notebook_node(notebook(*cells))
    with suppress(RuntimeError, TimeoutError):  # the kernel has ended, or hangs
        papermill_engines.execute_notebook_with_engine(
            engine, book, "python3", output_path=None, progress_bar=False, execution_timeout=60
        )
    return [[*cell_lines(cell), "end of the cell"] for cell in book.cells]


def cell_lines(cell: Any) -> Iterator[str]:
    """The lines of a cell's outputs: of each stream, then all others in their order."""
    printed: dict[str, str] = {"stdout": "", "stderr": ""}  # how they mix is a matter of chance
    others = []
    for output in cell.outputs:
        if output.output_type == "stream":
            printed[output.name] += output.text
        else:
            others.append(output.get("ename") or output.data.get("text/plain", ""))
    for text in [*printed.values(), *others]:
        yield from _CHANGES_BY_ITSELF.sub("", text).splitlines()


def flat(lists: list[list[str]]) -> list[str]:
    """All of the lists in one."""
    return [line for lines in lists for line in lines]
