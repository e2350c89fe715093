"""marimo shows the Panel, a Gallery and Compare, and they answer the mouse."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.fixtures.jupyter_pages import RUN_S
from tests.fixtures.marimo_app import marimo_app

pytestmark = pytest.mark.soak  # it loads the libraries in a process of its own

FIRST = (
    "import imagen_nb as im\n"
    "im.configure(backend='flux-tiny-local', output={'dir': 'pictures'})\n"
    "boats = im.sweep('a {red|blue} boat', seeds=[1], steps=2, progress=False)"
)
CELLS = ["im.Panel()", "im.Gallery(boats.frame())", "im.Compare(boats[0], boats[1])"]


def test_the_widgets_show_and_answer_the_mouse(page: Page, tmp_path: Path, shots: Path) -> None:
    page.set_viewport_size({"width": 1280, "height": 2000})
    with marimo_app(tmp_path, FIRST, ("im", "boats"), CELLS) as url:
        page.goto(url)
        check_gallery(page)
        check_comparison(page)
        check_panel(page)
        page.screenshot(path=shots / "marimo.png", full_page=True)


def check_gallery(page: Page) -> None:
    pictures = page.get_by_role("listbox", name="Pictures")
    expect(pictures.get_by_role("option")).to_have_count(2, timeout=RUN_S * 1000)
    picture = pictures.get_by_role("option").first
    expect(picture).to_have_accessible_name(re.compile("a (red|blue) boat"))
    picture.click()
    page.keyboard.press("5")
    expect(picture).to_have_accessible_name(re.compile("★★★★★"))
    picture.dblclick()
    large = page.locator("dialog[open] img")
    expect(large).to_be_visible()
    assert large.evaluate("image => image.naturalWidth") == 128
    page.keyboard.press("Escape")
    expect(large).to_be_hidden()


def check_comparison(page: Page) -> None:
    comparison = page.get_by_role("group", name="Comparison of pictures")
    expect(comparison.locator("img").first).to_be_visible()
    comparison.get_by_role("button", name="Blink").click()
    expect(comparison.get_by_role("button", name="Blink")).to_have_attribute("aria-pressed", "true")
    expect(comparison.get_by_role("row", name="prompt a red boat a blue boat")).to_be_visible()


def check_panel(page: Page) -> None:
    page.get_by_role("textbox", name="Prompt", exact=True).click()
    page.keyboard.type("a blue star")
    page.get_by_role("button", name="Draw", exact=True).click()
    drawn = page.get_by_role("list", name="Pictures, newest first").get_by_role("img")
    expect(drawn.first).to_be_visible(timeout=RUN_S * 1000)
    assert drawn.first.evaluate("image => image.naturalWidth") == 128
