"""JupyterLab as a person uses it: notebooks opened, cells run, outputs looked at."""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import nbformat
from jupyter_servers import Server
from playwright.sync_api import Locator, Page

_PATIENCE_S = 15  # until a busy machine shows that a cell runs; twice at once it must not
_STAYS = 6  # looks, 50 ms apart, at which the kernel must be idle
_TRIES = 3  # of a key that a page which is still loading does not hear
RUN_S = 120  # a cell that loads the libraries, on a busy machine
_ENDED = re.compile(r"\[\d+\]:")
_numbers = itertools.count(1)


class Lab:
    """One browser page on one JupyterLab. Invariant: after `close` none of its kernels runs."""

    def __init__(self, server: Server, page: Page) -> None:
        self.server, self.page = server, page
        page.add_locator_handler(page.locator(".jp-Dialog", has_text="Select kernel"), _select)

    def open(self, cells: Sequence[str], name: str = "test") -> Notebook:
        """A new notebook of these cells of code, none of them run."""
        path = self.server.folder / f"{name}-{next(_numbers)}.ipynb"
        code = [nbformat.v4.new_code_cell(source) for source in cells]
        kernel = {
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
        }
        nbformat.write(nbformat.v4.new_notebook(cells=code, metadata=kernel), path)
        return self.open_file(path)

    def open_file(self, path: Path) -> Notebook:
        """A notebook that is in the server's folder, when its kernel is ready."""
        self.page.goto(
            f"{self.server.url}/doc/tree/{path.name}?reset&token={self.server.token}",
            wait_until="domcontentloaded",
        )
        notebook = Notebook(self, path)
        notebook.wait_until_ready()
        return notebook

    def theme(self, name: str) -> None:
        """JupyterLab Light or JupyterLab Dark, as the user's own settings say."""
        settings = {"raw": json.dumps({"theme": name})}
        self.api("PUT", "settings/@jupyterlab/apputils-extension:themes", "lab/api", json=settings)

    def close(self) -> None:
        """End the kernels."""
        for session in self.api("GET", "sessions").json():
            self.api("DELETE", f"sessions/{session['id']}")

    def api(self, method: str, path: str, base: str = "api", **more: Any) -> httpx.Response:
        """Ask the server itself."""
        headers = {"Authorization": f"token {self.server.token}"}
        url = f"{self.server.url}/{base}/{path}"
        answer = httpx.request(method, url, headers=headers, timeout=60, **more)
        return answer.raise_for_status()


def _select(dialog: Locator) -> None:
    """Take the kernel that is offered: JupyterLab asks when it hears late which ones there are."""
    dialog.locator("button.jp-mod-accept").click()


class Notebook:
    """An open notebook in a page."""

    def __init__(self, lab: Lab, path: Path) -> None:
        self.lab, self.page, self.path = lab, lab.page, path

    def wait_until_ready(self) -> None:
        """Until the kernel is idle and stays so.

        JupyterLab says idle for a moment before it begins to connect, and hears no keys then.
        """
        idle = self.page.locator(".jp-Notebook-ExecutionIndicator[data-status='idle']")
        end, seen = time.monotonic() + RUN_S, 0
        while seen < _STAYS:
            assert time.monotonic() < end, f"the kernel was not idle within {RUN_S} s"
            self.page.wait_for_timeout(50)
            seen = seen + 1 if idle.count() else 0

    def cell(self, number: int) -> Locator:
        """A cell, counted from 0."""
        return self.page.locator(".jp-Notebook-cell").nth(number)

    def output(self, number: int) -> Locator:
        """All that a cell has put out."""
        return self.cell(number).locator(".jp-Cell-outputWrapper")

    def run(self, number: int, seconds: float = RUN_S) -> Locator:
        """Run one cell, wait for its end and give its output."""
        self.start(number)
        return self.ended(number, seconds)

    def ended(self, number: int, seconds: float = RUN_S) -> Locator:
        """Wait for the end of a cell that was started, and give its output."""
        end = time.monotonic() + seconds
        while not _ENDED.fullmatch(self._prompt(number)):
            assert time.monotonic() < end, f"cell {number} did not end within {seconds} s"
            self.page.wait_for_timeout(50)
        return self.output(number)

    def start(self, number: int) -> None:
        """Run one cell, and wait only until JupyterLab has taken note."""
        before = self._prompt(number)
        for _ in range(_TRIES):
            self.cell(number).locator(".jp-InputArea-prompt").click()
            self.page.keyboard.press("Control+Enter")
            for _ in range(_PATIENCE_S * 20):
                if self._prompt(number) != before:
                    return
                self.page.wait_for_timeout(50)
        raise AssertionError(f"JupyterLab did not run cell {number}")

    def run_all(self, seconds: float = RUN_S) -> None:
        """Run every cell in order."""
        for number in range(len(self.saved().cells)):  # the page may not have them all yet
            self.run(number, seconds)

    def save(self) -> None:
        """Save it as it is; gives it when the file has changed."""
        before = self.path.stat().st_mtime_ns
        self.page.keyboard.press("Control+s")
        for _ in range(200):
            if self.path.stat().st_mtime_ns != before:
                return
            self.page.wait_for_timeout(50)
        raise AssertionError("the notebook was not saved")

    def saved(self) -> nbformat.NotebookNode:
        """The file as it is on disk."""
        return nbformat.read(self.path, as_version=4)

    def restart_kernel(self) -> None:
        """Restart it by the keys `0 0`, and say yes; all that it knew is gone.

        A restart asked of the server itself is over before JupyterLab hears of it, and what it
        then asks the kernel is never answered.
        """
        self.cell(0).locator(".jp-InputArea-prompt").click()
        self.page.keyboard.press("0")
        self.page.keyboard.press("0")
        dialog = self.page.locator(".jp-Dialog", has_text="Restart Kernel?")
        dialog.locator("button.jp-mod-accept").click()
        restarting = ".jp-Notebook-ExecutionIndicator[data-status='restarting']"
        self.page.wait_for_selector(restarting, state="attached")  # it is idle until then
        self.wait_until_ready()

    def _prompt(self, number: int) -> str:
        return self.cell(number).locator(".jp-InputArea-prompt").inner_text()
