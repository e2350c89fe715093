"""JupyterLab as it is: what is drawn shows, and a saved notebook stays lean."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.fixtures.jupyter_pages import Lab, Notebook

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


@pytest.mark.soak
def test_a_restarted_kernel_knows_nothing(notebook: Callable[..., Notebook]) -> None:
    opened = notebook("x = 1", "print('x' in globals())")
    opened.run(1)
    opened.restart_kernel()
    expect(opened.run(2)).to_contain_text("False")


def test_both_themes_show(notebook: Callable[..., Notebook], lab: Lab, shots: Path) -> None:
    opened = notebook("im.generate('a blue star', seed=1)")
    opened.run_all()
    opened.save()
    for theme, light in (("JupyterLab Dark", "false"), ("JupyterLab Light", "true")):
        lab.theme(theme)
        lab.open_file(opened.path)
        expect(lab.page.locator("body")).to_have_attribute("data-jp-theme-light", light)
        expect(opened.output(1).get_by_role("img", name="a blue star")).to_be_visible()
        lab.page.screenshot(path=shots / f"lab-{theme[11:].lower()}.png")


def test_the_saved_tour_shows_its_pictures_before_anything_runs(lab: Lab, shots: Path) -> None:
    tour = Path(__file__).parents[2] / "notebooks" / "01-generate.ipynb"
    opened = lab.open_file(Path(shutil.copy(tour, lab.server.folder)))
    for prompt in ("a red boat at sunset", "a white lighthouse by the sea, on a snowy day"):
        picture = lab.page.get_by_role("img", name=prompt, exact=True)
        expect(picture).to_have_count(1)
        assert picture.evaluate("image => image.naturalWidth") == 128
    sheet = lab.page.get_by_role("img", name="contact sheet: a red house; a blue house")
    expect(sheet).to_have_count(1)
    lab.page.set_viewport_size({"width": 1100, "height": 3400})
    opened.cell(0).click()
    lab.page.screenshot(path=shots / "lab-tour.png")
