"""JupyterLab as it is: what is drawn shows, and a saved notebook stays lean."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from jupyter_pages import Lab, Notebook
from playwright.sync_api import expect

pytestmark = pytest.mark.slow


def test_a_picture_shows_as_a_thumbnail_with_its_prompt(
    notebook: Callable[..., Notebook], lab: Lab, shots: Path
) -> None:
    opened = notebook("im.generate('a red boat at sunset', seed=11)", "1 + 1")
    opened.run_all()
    picture = opened.output(1).get_by_role("img", name="a red boat at sunset")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.naturalWidth") == 128
    lab.page.screenshot(path=shots / "lab-picture.png")
    opened.save()
    assert opened.path.stat().st_size < 30_000


def test_a_restarted_kernel_knows_nothing(notebook: Callable[..., Notebook]) -> None:
    opened = notebook("x = 1", "print('x' in globals())")
    opened.run(1)
    opened.restart_kernel()
    expect(opened.run(2)).to_contain_text("False")


def test_both_themes_show(notebook: Callable[..., Notebook], lab: Lab, shots: Path) -> None:
    for theme, light in (("JupyterLab Dark", "false"), ("JupyterLab Light", "true")):
        lab.theme(theme)
        opened = notebook("im.generate('a blue star', seed=1)")
        expect(lab.page.locator("body")).to_have_attribute("data-jp-theme-light", light)
        opened.run_all()
        lab.page.screenshot(path=shots / f"lab-{theme[11:].lower()}.png")
