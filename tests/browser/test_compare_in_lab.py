"""The comparison as a person uses it in JupyterLab."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.fixtures.jupyter_pages import Lab, Notebook

pytestmark = pytest.mark.slow

DRAW = (
    "a = im.generate('a red boat', seed=1, steps=2, progress=False)\n"
    "b = im.generate('<img src=x onerror=alert(1)>', seed=1, steps=4, height=64, progress=False)"
)


def test_a_slider_side_by_side_and_blinking(
    notebook: Callable[..., Notebook], lab: Lab, shots: Path
) -> None:
    lab.theme("JupyterLab Light")
    opened = notebook(DRAW, "im.Compare(a, b)")
    opened.run_all()
    shown = opened.output(2)
    expect(shown.get_by_role("img", name="a red boat")).to_be_visible()
    expect(shown.get_by_role("img", name="<img src=x onerror=alert(1)>")).to_be_visible()
    expect(shown.locator(".imagen-saved")).to_be_hidden()
    rows = shown.get_by_role("rowheader").all_inner_texts()
    assert rows == ["prompt", "steps", "height"]
    lab.page.screenshot(path=shots / "compare-slider.png")

    shown.get_by_role("group", name="Comparison of pictures").focus()
    for _ in range(10):
        lab.page.keyboard.press("ArrowLeft")
    slider = shown.get_by_role("slider")
    expect(slider).to_have_value("30")
    stage = shown.locator(".imagen-stage")
    assert stage.evaluate("stage => stage.style.getPropertyValue('--at')") == "30%"
    box = stage.bounding_box()
    assert box
    lab.page.mouse.click(box["x"] + box["width"] * 0.8, box["y"] + 40)
    expect(slider).to_have_value("80")

    lab.page.keyboard.press("2")
    expect(shown.get_by_role("button", name="Side by side")).to_have_attribute(
        "aria-pressed", "true"
    )
    expect(slider).to_be_hidden()
    lab.page.screenshot(path=shots / "compare-side.png")
    lab.page.keyboard.press("3")
    expect(stage.locator("figure").nth(1)).to_be_hidden()
    expect(stage.locator("figure").nth(1)).to_be_visible()


def test_the_dark_theme_shows_it(notebook: Callable[..., Notebook], lab: Lab, shots: Path) -> None:
    lab.theme("JupyterLab Dark")
    opened = notebook(DRAW, "im.Compare(a, b)")
    opened.run_all()
    expect(opened.output(2).get_by_role("img", name="a red boat")).to_be_visible()
    lab.page.screenshot(path=shots / "compare-dark.png")
    lab.theme("JupyterLab Light")
