"""The end of a gallery that is longer than an element of a page can be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from imagen_nb.studio.studio import Studio
from tests.fixtures.jupyter_pages import Notebook

pytestmark = pytest.mark.slow

ROWS = 80_000
HEADING = 30  # pixels of the day's
PIXELS_A_ROW = 512 + 46  # of one column, in all 45 million: Chromium allows 34
SHOW = (
    "import numpy as np\n"
    "df = im.history(source='local')\n"
    f"many = df.iloc[np.zeros({ROWS}, int)].reset_index(drop=True)\n"
    "gallery = im.Gallery(many, size=512, columns=1)\ngallery"
)

# The number of the row that is nearest to the middle of the box.
MIDDLE = """box => {
    const edges = (node) => node.getBoundingClientRect();
    const middle = (node) => (edges(node).top + edges(node).bottom) / 2;
    const distance = (cell) => Math.abs(middle(cell) - middle(box));
    const cells = [...box.querySelectorAll(".imagen-cell:not([hidden])")];
    return Number(cells.sort((one, other) => distance(one) - distance(other))[0].ariaPosInSet);
}"""


@pytest.fixture
def opened(notebook: Callable[..., Notebook], tmp_path: Path) -> Notebook:
    with Studio({"backend": "flux-tiny-local", "output": {"dir": tmp_path / "pictures"}}) as studio:
        studio.generate("a red boat", seed=1, steps=1, progress=False)
    opened = notebook(SHOW)
    opened.run(0)
    opened.run(1)
    expect(row(opened, 1)).to_be_visible()
    return opened


def box(notebook: Notebook) -> Locator:
    return notebook.output(1).locator(".imagen-box")


def row(notebook: Notebook, number: int) -> Locator:
    return box(notebook).locator(f'.imagen-cell:not([hidden])[aria-posinset="{number}"]')


def top_of(notebook: Notebook, number: int) -> float:
    """Where this row is in the box, pixels from the box's upper edge."""
    of_row, of_box = row(notebook, number).bounding_box(), box(notebook).bounding_box()
    assert of_row is not None
    assert of_box is not None
    return of_row["y"] - of_box["y"]


def wheel(notebook: Notebook, pixels: float) -> None:
    place = box(notebook).bounding_box()
    assert place is not None
    notebook.page.mouse.move(place["x"] + 50, place["y"] + 50)
    notebook.page.mouse.wheel(0, pixels)


def press(notebook: Notebook, key: str) -> None:
    box(notebook).get_by_role("listbox").focus()
    notebook.page.keyboard.press(key)


def turns_as_far_as_it_is_told(opened: Notebook) -> bool:
    number = box(opened).evaluate(MIDDLE)
    before = top_of(opened, number)
    wheel(opened, 120)
    opened.page.wait_for_timeout(500)
    return before - top_of(opened, number) == pytest.approx(120, abs=3)


def test_every_row_is_reached_by_keys_wheel_and_scroll_bar(opened: Notebook) -> None:
    """In one page, as opening one takes longer than all else."""
    assert turns_as_far_as_it_is_told(opened)
    press(opened, "End")
    expect(row(opened, ROWS)).to_be_in_viewport()
    press(opened, "ArrowUp")
    expect(row(opened, ROWS - 1)).to_be_in_viewport()
    press(opened, "End")
    wheel(opened, -PIXELS_A_ROW * 3)
    expect(row(opened, ROWS - 3)).to_be_in_viewport()
    wheel(opened, PIXELS_A_ROW * 6)
    expect(row(opened, ROWS)).to_be_in_viewport()
    press(opened, "Home")
    expect(row(opened, 1)).to_be_in_viewport()
    box(opened).evaluate("box => { box.scrollTop = box.scrollHeight; }")
    expect(row(opened, ROWS)).to_be_in_viewport()
    box(opened).evaluate("box => { box.scrollTop = 0; }")
    expect(row(opened, 1)).to_be_in_viewport()
    assert 0 <= top_of(opened, 1) <= 45  # below the heading of its day
    box(opened).evaluate("box => { box.scrollTop = (box.scrollHeight - box.clientHeight) / 2; }")
    opened.page.wait_for_timeout(200)
    assert abs(box(opened).evaluate(MIDDLE) - ROWS / 2) < ROWS / 1000
    box(opened).evaluate("box => { box.scrollTop = 0.3 * box.scrollHeight; }")
    opened.page.wait_for_timeout(200)
    assert turns_as_far_as_it_is_told(opened)
