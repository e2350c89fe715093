"""What a notebook costs in the engine imagen-warm over its bare body, and where that goes.

python bench/warm.py [--rounds 30] [--imports torch,diffusers]

The body is a notebook's cells in a kernel that is open already, by nbclient alone; in turn with the
same notebook by papermill and imagen-warm, which parameterize it, clean the kernel before it, run
it and write it. Both kernels have imported the same.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import nbformat
import papermill
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook
from papermill.engines import papermill_engines
from timing import seconds

from imagen_nb.batch.warm import kernels
from imagen_nb.batch.warm.engine import WarmEngine

GOAL_MS = 150


def notebook(imports: str) -> nbformat.NotebookNode:
    made = new_notebook(
        cells=[
            new_code_cell("n = 0", metadata={"tags": ["parameters"]}),
            new_code_cell(f"import {imports}" if imports else "pass"),
            new_code_cell("print(sum(range(1000)) + n)"),
        ]
    )
    made.metadata.kernelspec = {
        "name": "python3",
        "display_name": "p",
        "language": "python",
    }
    return made


@contextmanager
def bare(book: nbformat.NotebookNode, folder: str) -> Iterator[Callable[[], object]]:
    """The cells alone, in a kernel with open channels."""
    manager = AsyncKernelManager(transport="ipc", connection_file=f"{folder}/k.json")
    first = NotebookClient(book, km=manager)
    with first.setup_kernel(cleanup_kc=True):

        def run() -> None:
            client = NotebookClient(nbformat.from_dict(book), km=manager)
            client.kc = first.kc
            for index, cell in enumerate(client.nb.cells):
                client.execute_cell(cell, index)

        yield run


class Times:
    """Milliseconds of each part, added up by name over one notebook."""

    def __init__(self) -> None:
        self.all: dict[str, list[float]] = {}

    def around(self, owner: Any, method: str, name: str) -> None:
        """Time that method from now on."""
        original = getattr(owner, method)

        def call(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return original(*args, **kwargs)
            finally:
                self.add(name, time.perf_counter() - began)

        setattr(owner, method, call)

    def add(self, name: str, took: float) -> None:
        self.all.setdefault(name, []).append(took * 1e3)

    def median(self, name: str) -> float:
        return median(self.all[name])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--imports", default="torch,diffusers,pandas,matplotlib.pyplot")
    options = parser.parse_args()
    papermill_engines.register("imagen-warm", WarmEngine)
    asyncio.set_event_loop(asyncio.new_event_loop())
    book, times = notebook(options.imports), Times()
    with tempfile.TemporaryDirectory() as folder, bare(book, folder) as body:

        def ours() -> None:
            papermill.execute_notebook(
                nbformat.from_dict(book),
                Path(folder) / "out.ipynb",
                {"n": 1},
                engine_name="imagen-warm",
                progress_bar=False,
                request_save_on_cell_execute=False,
            )

        for _ in range(
            3
        ):  # the second is the first to be cleaned before, which takes longest
            body(), ours()
        times.around(kernels.Kernel, "forget", "clean")
        times.around(WarmEngine, "execute_managed_notebook", "engine")
        for _ in range(options.rounds):
            times.add("body", seconds(body))
            times.add("ours", seconds(ours))
    kernels.close_kernel()
    report(times)


def report(times: Times) -> None:
    body, ours = times.median("body"), times.median("ours")
    added = median(
        b - a for a, b in zip(times.all["body"], times.all["ours"], strict=True)
    )
    print(
        f"bare body {body:.1f} ms, imagen-warm {ours:.1f} ms, added {added:.1f} ms "
        f"(goal ≤ {GOAL_MS})"
    )
    clean, engine = times.median("clean"), times.median("engine")
    print(
        f"of these: cleaning the kernel {clean:.1f} ms, cells {engine - clean:.1f} ms, "
        f"papermill's parameters and files {ours - engine:.1f} ms"
    )


if __name__ == "__main__":
    main()
