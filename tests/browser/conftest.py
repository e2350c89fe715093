"""A real JupyterLab and a real Chromium, one of each for all tests of what people see."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Dialog,
    Error,
    Page,
    Request,
    expect,
    sync_playwright,
)

from tests.fixtures.jupyter_pages import Lab, Notebook
from tests.fixtures.jupyter_servers import Server, started

expect.set_options(timeout=30_000)  # milliseconds, on a busy machine
CHROMIUM = shutil.which("chromium")
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(_ARGUMENTS))
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def jupyter(kernels: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A JupyterLab with a home, settings and folder of its own."""
    with started("jupyterlab", tmp_path_factory.mktemp("jupyter"), kernels) as server:
        yield server


@pytest.fixture(scope="session")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """What a browser keeps between pages: JupyterLab's megabytes of scripts, compiled once."""
    context = browser.new_context()
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A fresh page that may speak to this machine only, and fails the test when it tried others."""
    page = context.new_page()
    with _watched(page):
        yield page
        page.close()


@pytest.fixture(scope="session")
def lab_page(context: BrowserContext) -> Iterator[Page]:
    """A page of all tests in JupyterLab, which takes 5 s of a processor to load."""
    page = context.new_page()
    yield page
    page.close()


@contextmanager
def _watched(page: Page) -> Iterator[None]:
    """Of a usual size; asserts that it asked nobody else, and that no script of it failed."""
    page.set_viewport_size({"width": 1280, "height": 900})
    foreign: list[str] = []
    errors: list[str] = []
    listeners: dict[Any, Callable[[Any], None]] = {
        "request": lambda request: foreign.append(request.url) if _leaves(request) else None,
        "pageerror": lambda error: None if _of_notebook_7(error) else errors.append(str(error)),
        "dialog": lambda dialog: _answer(dialog, errors),
    }
    for event, listener in listeners.items():
        page.on(event, listener)
    yield
    for event, listener in listeners.items():
        page.remove_listener(event, listener)
    assert not foreign, "requests to foreign hosts"
    assert not errors, "errors on the page"


def _answer(dialog: Dialog, errors: list[str]) -> None:
    """Leave a notebook that was not saved; any other dialog is a script that must not have run."""
    if dialog.type != "beforeunload":
        errors.append(f"dialog {dialog.message}")
    dialog.accept()


def _leaves(request: Request) -> bool:
    local = ("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:", "about:")
    # Voilà's own template asks for a font of icons, whatever the notebook.
    voila = "https://cdn.jsdelivr.net/npm/@fortawesome/fontawesome-free@"
    ours = not ("/voila/render/" in request.frame.url and request.url.startswith(voila))
    return ours and not request.url.startswith(local)


def _of_notebook_7(error: Error) -> bool:
    """What Notebook 7.6 says at each start of its own settings, with any notebook."""
    mine = "Cannot read properties of undefined (reading 'schema')"
    return mine in error.message and "/static/notebook/notebook_core." in (error.stack or "")


@pytest.fixture
def lab(jupyter: Server, lab_page: Page) -> Iterator[Lab]:
    """JupyterLab in a page; what was opened is gone afterwards, and its kernels are ended."""
    lab = Lab(jupyter, lab_page)
    try:
        with _watched(lab_page):
            yield lab
    finally:
        lab.leave()


@pytest.fixture
def notebook(lab: Lab, tmp_path: Path) -> Callable[..., Notebook]:
    """Opens a notebook of these cells, with a Studio of the embedded FLUX in its own folder."""
    setup = (
        "import imagen_nb as im\n"
        "studio = im.configure(backend='flux-tiny-local',"
        f" output={{'dir': {str(tmp_path / 'pictures')!r}}})"
    )

    def open_(*cells: str, name: str = "test") -> Notebook:
        return lab.open([setup, *cells], name)

    return open_
