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


def test_many_are_zoomed_together_and_two_have_a_difference(
    notebook: Callable[..., Notebook], lab: Lab, shots: Path
) -> None:
    lab.theme("JupyterLab Dark")
    opened = notebook(
        DRAW,
        "im.Compare(a, b)",
        "c = im.generate('a red boat', seed=3, steps=2, progress=False)\nim.Compare(a, b, c)",
    )
    opened.run(0)
    opened.run(1)
    opened.run(3)
    three, page = opened.output(3), opened.page
    figures = three.locator(".imagen-stage figure")
    expect(figures).to_have_count(3)
    modes = three.get_by_role("group", name="How to compare").get_by_role("button")
    expect(modes).to_have_text(["Side by side", "Blink"])
    heads = three.get_by_role("columnheader").all_inner_texts()
    assert [head for head in heads if head] == ["A", "B", "C"]
    assert three.get_by_role("rowheader").all_inner_texts() == ["prompt", "seed", "steps", "height"]
    images = figures.locator("img")
    first = images.nth(0)
    first.scroll_into_view_if_needed()
    wide = first.bounding_box()
    assert wide
    x, y = wide["x"] + wide["width"] / 2, wide["y"] + wide["height"] / 2
    page.mouse.click(x, y)  # from now on the wheel is the comparison's
    page.mouse.wheel(0, -400)
    page.wait_for_timeout(300)
    same = "all => all.map(one => one.style.transform)"
    transforms = images.evaluate_all(same)
    assert transforms[0] == transforms[2]
    assert transforms[1].split("scale")[1] == transforms[0].split("scale")[1]  # half as high
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 30, y - 20, steps=3)
    page.mouse.up()
    moved = images.evaluate_all(same)
    assert moved[0] == moved[2] != transforms[0]
    page.screenshot(path=shots / "compare-three.png")
    three.get_by_role("button", name="Fit all (0)").click()
    now = first.bounding_box()
    assert now
    assert now["width"] == pytest.approx(wide["width"], abs=1)

    opened.run(2)
    two = opened.output(2)
    two.get_by_role("button", name="Difference (4)").click()
    stage = two.locator(".imagen-stage")
    expect(two.get_by_role("status")).to_contain_text("the largest difference is")
    expect(two.get_by_role("img", name="difference: the largest")).to_be_visible()
    expect(stage.get_by_alt_text("a red boat")).to_be_hidden()
    page.screenshot(path=shots / "compare-difference.png")
    lab.theme("JupyterLab Light")
