"""Notebook 7, nbclassic and Voilà show what JupyterLab does."""

from __future__ import annotations

from pathlib import Path

import pytest
from jupyter_pages import RUN_S
from other_pages import PLACES, shown
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.slow

CELLS = [
    "import imagen_nb as im\nim.generate('a red boat', seed=11)",
    "import ipywidgets\nipywidgets.IntSlider(3, description='stars')",
    "import anywidget\n"
    "class Hello(anywidget.AnyWidget):\n"
    "    _esm = '''export default {render({model, el}) { el.textContent = \"anywidget is here\" }}'''\n"
    "Hello()",
]


@pytest.mark.parametrize("application", PLACES)
def test_a_picture_and_widgets_show(
    application: str, page: Page, tmp_path: Path, shots: Path
) -> None:
    with shown(application, tmp_path, page, CELLS):
        picture = page.get_by_role("img", name="a red boat")
        expect(picture).to_be_visible(timeout=RUN_S * 1000)
        assert picture.evaluate("image => image.naturalWidth") == 128
        expect(page.get_by_text("stars", exact=True)).to_be_visible()
        expect(page.get_by_role("slider")).to_be_visible()
        expect(page.get_by_text("anywidget is here", exact=True)).to_be_visible()
        page.screenshot(path=shots / f"elsewhere-{application}.png")
