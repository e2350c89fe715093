"""Where notebooks run besides JupyterLab: Notebook 7, nbclassic, and Voilà, as a person uses each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import nbformat
from jupyter_pages import RUN_S, Lab, Notebook
from jupyter_servers import Server, started
from playwright.sync_api import Page, expect


@contextmanager
def shown(application: str, folder: Path, page: Page, cells: Sequence[str]) -> Iterator[Server]:
    """A saved notebook of these cells of code, opened and run in a server of its own."""
    with started(application, folder) as server:
        code = [nbformat.v4.new_code_cell(source) for source in cells]
        named = {"name": "python3", "display_name": "Python 3", "language": "python"}
        book = nbformat.v4.new_notebook(cells=code, metadata={"kernelspec": named})
        path = server.folder / "elsewhere.ipynb"
        nbformat.write(book, path)
        PLACES[application](server, page, path)
        yield server


def in_notebook_7(server: Server, page: Page, path: Path) -> None:
    """Open it and run its cells one by one; Notebook 7 is made of JupyterLab's parts."""
    page.goto(f"{server.url}/notebooks/{path.name}?token={server.token}")
    opened = Notebook(Lab(server, page), path)
    opened.wait_until_ready()
    opened.run_all()


def in_nbclassic(server: Server, page: Page, path: Path) -> None:
    """Open it and choose Cell → Run All."""
    page.goto(f"{server.url}/nbclassic/notebooks/{path.name}?token={server.token}")
    idle = page.locator("#kernel_indicator_icon.kernel_idle_icon")
    expect(idle).to_be_attached(timeout=RUN_S * 1000)
    page.locator("#celllink").click()
    page.locator("#run_all_cells").click()


def in_voila(server: Server, page: Page, path: Path) -> None:
    """Open it: Voilà runs it by itself."""
    page.goto(f"{server.url}/voila/render/{path.name}?token={server.token}", timeout=RUN_S * 1000)


PLACES: dict[str, Callable[[Server, Page, Path], None]] = {
    "notebook": in_notebook_7,
    "nbclassic": in_nbclassic,
    "voila": in_voila,
}
