"""A saved notebook that is opened again shows thumbnails, not what is left of a dead widget."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import expect

from tests.fixtures.jupyter_pages import Lab, Notebook

pytestmark = pytest.mark.slow

WIDGET = (
    "import ipywidgets\n"
    "from imagen_nb.widgets.saved_page import LIVE_CLASS, show_page, show_view, thumbnails_page\n"
    "from imagen_nb.system.thumbnails import encode_webp\n"
    "PROMPT = '<b>a red boat</b>' + ' upon a sea' * 40 + ' to its end'\n"
    "picture = im.generate('a red boat', seed=1)\n"
    "page = thumbnails_page([(encode_webp(picture.image, 96), PROMPT, 'seed 1')], 1, side=96)\n"
    "button = ipywidgets.Button(description='Alive')\n"
    "button.add_class(LIVE_CLASS)\n"
    "show_view(button)\n"
    "show_page(page);"
)


def test_a_live_widget_hides_its_page_and_a_dead_one_is_hidden_by_it(
    notebook: Callable[..., Notebook], lab: Lab, shots: Path
) -> None:
    opened = notebook(WIDGET)
    opened.run_all()
    output = opened.output(1)
    expect(output.get_by_role("button", name="Alive")).to_be_visible()
    expect(output.locator(".imagen-saved")).to_be_hidden()
    opened.save()
    lab.close()
    again = lab.open_file(opened.path)
    picture = again.output(1).get_by_role("img", name="<b>a red boat</b> upon")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.naturalWidth") == 96
    caption = again.output(1).locator("figcaption")
    expect(caption).to_contain_text("to its end")
    expect(caption).to_contain_text("seed 1")
    expect(again.output(1)).to_contain_text("1 picture")
    box = caption.bounding_box()
    assert box
    assert box["width"] < 100  # wrapped below its picture
    lab.page.wait_for_timeout(2000)  # until the dead widget says that it is one
    expect(again.output(1)).not_to_contain_text("widget", use_inner_text=True)
    lab.page.screenshot(path=shots / "saved.png")


@pytest.mark.soak
def test_a_notebook_of_somebody_else_shows_the_thumbnails_too(
    notebook: Callable[..., Notebook], lab: Lab, shots: Path
) -> None:
    opened = notebook(WIDGET)
    opened.run_all()
    for _ in range(5):  # JupyterLab saves by itself, too: perhaps it was that
        opened.save()
        foreign = opened.saved()
        if len(foreign.cells[1].outputs) > 1:
            break
    lab.close()
    foreign.cells[0].source += "\n# never seen by this server"
    path = opened.path.with_name("foreign.ipynb")
    nbformat.write(foreign, path)
    again = lab.open_file(path)
    expect(again.output(1).get_by_role("img", name="<b>a red boat</b> upon")).to_be_visible()
    expect(again.output(1)).not_to_contain_text("Error")
    lab.page.screenshot(path=shots / "saved-foreign.png")
