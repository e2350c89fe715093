"""The README's tour, and the pictures of docs/notebook.md, made anew.

IMAGEN_TEST_SHOTS=docs/pictures pytest -m "soak or not soak" tests/browser/test_readme_pictures.py
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Locator, expect

from tests.fixtures.film import Film
from tests.fixtures.jupyter_pages import RUN_S, Notebook

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TOUR = "tour.webp"
NAMES = ("panel.png", "gallery.png", "compare.png")
LARGEST = 300_000  # bytes of one
LARGEST_TOUR = 1_500_000
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


@pytest.mark.soak
def test_the_tour(notebook: Callable[..., Notebook], shots: Path) -> None:
    """Two prompts are drawn in the Panel; in the Gallery pictures are found, rated, compared."""
    opened = notebook(
        DRAW,
        "panel = im.Panel()\npanel.steps = 60\npanel",
        "im.Gallery(im.history(source='local'), size=96)",
    )
    opened.page.set_viewport_size({"width": 900, "height": 1000})
    opened.run(0)
    opened.run(1)
    film = Film((800, 790))
    film_panel(film, opened.run(2).locator(".imagen-panel"))
    film_gallery(film, opened.run(3).locator(".imagen-gallery"))
    film.save(shots / TOUR)
    assert (shots / TOUR).stat().st_size <= LARGEST_TOUR


def film_panel(film: Film, panel: Locator) -> None:
    page = panel.page
    drawn = panel.get_by_role("list", name="Pictures, newest first").get_by_role("img")
    prompt = panel.get_by_role("textbox", name="Prompt", exact=True)
    expect(prompt).to_be_visible()
    film.shoot(panel, 600)
    for count, words in enumerate(("a red boat at sunset", "a yellow star at night")):
        prompt.click()
        page.keyboard.press("Control+a")
        for word in words.split():
            page.keyboard.type(f"{word} ")
            film.shoot(panel, 180)
        page.keyboard.press("Control+Enter")
        expect(panel.get_by_text("getting ready to draw")).to_be_hidden()
        film.shoot_until(drawn.nth(count).is_visible, panel, 120)
        expect(panel.get_by_role("status")).to_contain_text("drawn: ")
        film.shoot(panel, 1200)


def film_gallery(film: Film, gallery: Locator) -> None:
    page = gallery.page
    cells = gallery.get_by_role("listbox", name="Pictures").get_by_role("option")
    expect(cells.nth(20).get_by_role("img")).to_be_visible()
    film.shoot(gallery, 1200)
    gallery.get_by_role("searchbox", name="Filter by words").click()
    for word, left in (("boat", "19 of 44"), (" -yellow", "13 of 44")):
        page.keyboard.type(word)
        expect(gallery.get_by_role("status")).to_contain_text(left)
        film.shoot(gallery, 700)
    second, eighth = (gallery.locator(f'.imagen-cell[aria-posinset="{n}"]:visible') for n in (2, 8))
    second.click(modifiers=["Control"])
    film.shoot(gallery, 300)
    page.keyboard.press("5")
    expect(second).to_have_accessible_name(re.compile("★★★★★"))
    film.shoot(gallery, 800)
    eighth.click(modifiers=["Control"])
    expect(gallery.get_by_role("status")).to_contain_text("2 selected")
    film.shoot(gallery, 600)
    page.keyboard.press("c")
    compared = page.get_by_role("dialog")
    expect(compared.get_by_role("slider")).to_be_visible()
    for key in ["ArrowLeft"] * 3 + ["ArrowRight"] * 6:
        film.shoot(compared, 200)
        for _ in range(5):
            page.keyboard.press(key)
    film.shoot(compared, 1500)


def test_those_that_are_shown_are_there_and_light() -> None:
    tour, stills = shown_in("README.md"), shown_in("docs/notebook.md")
    assert (tour, stills) == ({TOUR}, {*NAMES})
    folder = ROOT / "docs" / "pictures"
    assert all((folder / name).stat().st_size <= LARGEST for name in NAMES)
    assert (folder / TOUR).stat().st_size <= LARGEST_TOUR
    with Image.open(folder / TOUR) as film:
        assert getattr(film, "n_frames", 1) > 20


def shown_in(document: str) -> set[str]:
    """The names of the pictures of docs/pictures that a document shows."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return set(re.findall(r"\]\((?:docs/)?pictures/([\w.-]+)\)", text))
