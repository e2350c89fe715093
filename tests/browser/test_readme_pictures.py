"""The pictures of the README, made anew: $IMAGEN_TEST_SHOTS=docs/pictures puts them there."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Locator, expect

from tests.fixtures.jupyter_pages import RUN_S, Notebook

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
NAMES = ("readme-panel.png", "readme-gallery.png", "readme-compare.png")
LARGEST = 300_000  # bytes of one
DRAW = (
    "prompts = ['a {red|blue|yellow} boat at sunset', 'a white house in the snow',"
    " 'a {green|purple} tree by a lake', 'a yellow star at night']\n"
    "pictures = im.sweep(prompts, seeds=range(6), progress=False)\n"
    "im.rate(pictures[0], 5); im.rate(pictures[7], 4); im.keep(pictures[12])"
)


def picture(where: Locator, shots: Path, name: str) -> None:
    """What is on the page there, as a file that is no heavier than a page may load."""
    file = shots / name
    with Image.open(io.BytesIO(where.screenshot())) as whole:
        whole.convert("RGB").quantize(256).save(file, optimize=True)
    assert 5_000 < file.stat().st_size <= LARGEST


def test_the_panel(notebook: Callable[..., Notebook], shots: Path) -> None:
    opened = notebook("im.Panel()")
    opened.page.set_viewport_size({"width": 1180, "height": 1150})  # all of it at once
    opened.run(0)
    panel = opened.run(1).locator(".imagen-panel")
    for prompt in ("a yellow star at night", "a red boat at sunset"):
        panel.get_by_role("textbox", name="Prompt").click()
        opened.page.keyboard.press("Control+a")
        opened.page.keyboard.type(prompt)
        opened.page.keyboard.press("Control+Enter")
        drawn = panel.get_by_role("img", name=prompt, exact=True)
        expect(drawn.first).to_be_visible(timeout=RUN_S * 1000)
    expect(panel.get_by_role("status")).to_contain_text("drawn: ")
    picture(panel, shots, NAMES[0])


def test_gallery_and_comparison(notebook: Callable[..., Notebook], shots: Path) -> None:
    opened = notebook(
        DRAW,
        "gallery = im.Gallery(im.history(source='local'), size=96)\ngallery",
        "im.Compare(pictures[0], pictures[6])",
    )
    opened.run_all()
    gallery = opened.output(2).locator(".imagen-gallery")
    cells = gallery.get_by_role("listbox", name="Pictures").get_by_role("option")
    expect(cells.nth(20).get_by_role("img")).to_be_visible()
    cells.nth(2).click(modifiers=["Control"])
    cells.nth(4).click(modifiers=["Control"])
    expect(gallery.get_by_role("status")).to_contain_text("2 selected")
    picture(gallery, shots, NAMES[1])
    comparison = opened.output(3).locator(".imagen-comparison")
    expect(comparison.get_by_role("cell", name="a blue boat at sunset")).to_be_visible()
    picture(comparison, shots, NAMES[2])


def test_those_in_the_readme_are_there_and_light() -> None:
    shown = re.findall(r"docs/pictures/([\w.-]+)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert set(shown) == set(NAMES)
    assert all((ROOT / "docs/pictures" / name).stat().st_size <= LARGEST for name in shown)
