"""The Panel as a person uses it: with mouse and keyboard, in a real JupyterLab."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from jupyter_pages import Lab, Notebook
from playwright.sync_api import Locator, expect

pytestmark = pytest.mark.slow

SHOW = "panel = im.Panel()\npanel"


class Panel:
    """A panel on a page, by what people call its parts."""

    def __init__(self, notebook: Notebook, cell: int) -> None:
        self.notebook, self.page = notebook, notebook.page
        self.root = notebook.output(cell).locator(".imagen-panel")
        self.prompt = self.root.get_by_label("Prompt")
        self.cards = self.root.get_by_role("list", name="Pictures, newest first").get_by_role(
            "listitem"
        )
        self.queue = self.root.get_by_role("list", name="Waiting").get_by_role("listitem")
        self.said = self.root.get_by_role("status")
        self.failed = self.root.locator(".imagen-strip > .imagen-failed")

    def button(self, name: str, within: Locator | None = None) -> Locator:
        return (within or self.root).get_by_role("button", name=name, exact=True)

    def type(self, label: str, text: str) -> None:
        self.root.get_by_label(label, exact=True).fill(text)
        self.page.keyboard.press("Tab")

    def draw(self, prompt: str) -> None:
        """As people do: write, and press Ctrl-Enter."""
        self.prompt.fill(prompt)
        self.prompt.press("Control+Enter")


@pytest.fixture
def panel(notebook: Callable[..., Notebook]) -> Callable[..., Panel]:
    """Runs a notebook whose first cell shows a panel."""

    def show(*cells: str) -> Panel:
        opened = notebook(SHOW, *cells)
        opened.run(0)
        opened.run(1)
        shown = Panel(opened, 1)
        expect(shown.button("Draw")).to_be_visible()
        return shown

    return show


def test_ctrl_enter_draws(panel: Callable[..., Panel], shots: Path) -> None:
    shown = panel("print(panel.pictures[0].record.prompt)")
    shown.draw("a red boat at sunset")
    image = shown.cards.first.get_by_role("img", name="a red boat at sunset")
    expect(image).to_be_visible()
    assert image.evaluate("image => image.naturalWidth") == 128
    expect(shown.said).to_contain_text("drawn: ")
    shown.page.screenshot(path=shots / "panel-light.png")
    expect(shown.notebook.run(2)).to_contain_text("a red boat at sunset")
