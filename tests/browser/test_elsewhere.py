"""Notebook 7, nbclassic and Voilà show what JupyterLab does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.fixtures.jupyter_pages import RUN_S
from tests.fixtures.other_pages import PLACES, shown

pytestmark = pytest.mark.slow
_RATED = re.compile("a (red|blue) boat, ★★★★★")

CELLS = [
    "import imagen_nb as im\n"
    "import imagen_nb.widgets.base as base, types\n"
    "base.sys = types.SimpleNamespace(modules={'google.colab': None})  # bytes go as text\n"
    "im.configure(backend='flux-tiny-local', output={'dir': 'pictures'})\n"
    "im.generate('a green house', seed=11)",
    "import ipywidgets\nipywidgets.IntSlider(3, description='stars')",
    "import anywidget\n"
    "class Hello(anywidget.AnyWidget):\n"
    "    _esm = '''export default {render({model, el}) {"
    " el.textContent = \"anywidget is here\" }}'''\n"
    "Hello()",
    "boats = im.sweep('a {red|blue} boat', seeds=[1], steps=2, progress=False)",
    "im.Gallery(im.history(source='local', prompt='boat'))",
    "im.Compare(boats[0], boats[1])",
    "im.Panel()",
]


@pytest.mark.parametrize(
    "application",
    [pytest.param(name, marks=() if name == "notebook" else pytest.mark.soak) for name in PLACES],
)
def test_pictures_and_widgets_show_and_answer(
    application: str, page: Page, kernels: Path, tmp_path: Path, shots: Path
) -> None:
    """One test for each, as starting a server and a kernel takes longer than all else."""
    with shown(application, tmp_path, kernels, page, CELLS):
        check_others_widgets(page)
        check_gallery(page)
        check_panel(page)
        page.screenshot(path=shots / f"elsewhere-{application}.png", full_page=True)


def check_others_widgets(page: Page) -> None:
    picture = page.get_by_role("img", name="a green house").first
    expect(picture).to_be_visible(timeout=RUN_S * 1000)
    assert picture.evaluate("image => image.naturalWidth") == 128
    expect(page.get_by_text("stars", exact=True)).to_be_visible()
    expect(page.get_by_role("slider").first).to_be_visible()
    expect(page.get_by_text("anywidget is here", exact=True)).to_be_visible()


def check_gallery(page: Page) -> None:
    pictures = page.get_by_role("listbox", name="Pictures")
    expect(pictures.get_by_role("option")).to_have_count(2, timeout=RUN_S * 1000)
    pictures.focus()
    page.keyboard.press("5")
    expect(pictures.get_by_role("option").first).to_have_accessible_name(_RATED)


def check_panel(page: Page) -> None:
    prompt = page.get_by_role("textbox", name="Prompt", exact=True)
    prompt.click()
    page.keyboard.type("a blue star")
    page.keyboard.press("Control+Enter")
    drawn = page.get_by_role("list", name="Pictures, newest first").get_by_role("img")
    expect(drawn.first).to_be_visible(timeout=RUN_S * 1000)
