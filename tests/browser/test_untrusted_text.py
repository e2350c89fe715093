"""Prompts that are not meant well, in a real JupyterLab: shown as text, nothing comes of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from imagen_nb.system.markup import one_line
from tests.fixtures.evil import EVIL
from tests.fixtures.jupyter_pages import Lab, Notebook

pytestmark = pytest.mark.slow

PROMPTS = list(EVIL.values())
CELLS = {
    "start": f"%load_ext imagen_nb\nfrom imagen_nb import Pictures\nEVIL = {PROMPTS!r}\n"
    "import pandas; pandas.set_option('display.html.use_mathjax', False)",
    "picture": "made = [im.generate(p, seed=1, steps=1, progress=False) for p in EVIL]\n"
    "for picture in made: display(picture)",
    "pictures": "for picture in made: display(Pictures([picture]))",
    "gallery": "df = im.history(source='local').sort_values('created_at')\ndf.imagen.gallery()",
    "sheet": "df.imagen.contact_sheet(caption='prompt', size=96)",
    "frame": "df[['prompt', 'seed']]",
    "report": "im.SyncReport(1, tuple((p, p) for p in EVIL), 2, EVIL[0])",
    "pending": "from imagen_nb.storage.outbox import waiting_frame\n"
    "from dataclasses import replace\n"
    "entries = studio.catalog().latest(99)[::-1]\n"
    "waiting_frame([replace(e, cloud_state='failed', cloud_error=e.record.prompt)"
    " for e in entries])",
    "errors": "for p in EVIL:\n"
    "    try: im.generate('x', backend=p)\n"
    "    except im.ImagenError: get_ipython().showtraceback()",
    "preview": "im.sweep(EVIL[0], steps=120, seeds=range(2))",
    "magic": "for p in EVIL:\n"
    "    display(get_ipython().run_cell_magic('imagen', '--seed 2 --steps 1', p))",
    "typed": f"%%imagen --seed 3 --steps 1 --tag '{EVIL['an element']}'\n{EVIL['an element']}",
    "line": f"%imagen --steps 1 {EVIL['an element']}",
}
PLACES = list(CELLS)
WHOLE = 2000  # characters of a prompt in a saved gallery
SHOWN = [one_line(prompt) for prompt in PROMPTS]
MAGIC = [one_line(" ".join(filter(None, map(str.strip, prompt.split("\n"))))) for prompt in PROMPTS]


@pytest.fixture
def page(lab: Lab) -> Page:
    return lab.page


@pytest.fixture
def ran(notebook: Callable[..., Notebook], page: Page, shots: Path) -> Callable[[str], Locator]:
    """The outputs by their cells' names, after all have run; nothing was asked for meanwhile."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    opened = notebook(*CELLS.values(), name="untrusted")
    opened.run(0)
    for place, name in enumerate(PLACES, 1):
        opened.start(place)
        if name == "preview":
            expect(opened.output(place).get_by_role("img", name="preview")).to_be_visible()
            page.screenshot(path=shots / "untrusted-preview.png")
        opened.ended(place, seconds=300)
        if name != "start":  # which shows nothing
            opened.output(place).screenshot(path=shots / f"untrusted-{name}.png")
    assert [url for url in asked if url.endswith(("/x", "x.png", "gnp.exe"))] == []
    return lambda name: opened.output(PLACES.index(name) + 1)


def alts(output: Locator) -> list[str]:
    found: list[str] = output.locator("img").evaluate_all("all => all.map(one => one.alt)")
    return found


def test_every_text_is_text_wherever_it_is_shown(ran: Callable[[str], Locator]) -> None:
    assert alts(ran("picture")) == SHOWN
    assert alts(ran("pictures")) == [one_line(f"contact sheet: {prompt}") for prompt in PROMPTS]
    saved = ran("gallery").locator(".imagen-saved")  # the widget itself: test_gallery_in_lab.py
    expect(saved.locator("img")).to_have_count(len(PROMPTS))
    assert alts(saved) == SHOWN
    figures = saved.locator("figure")
    titles = figures.evaluate_all("all => all.map(one => one.title)")
    for title, prompt in zip(titles, PROMPTS, strict=True):
        assert title.startswith(one_line(prompt, WHOLE)[: WHOLE - 1])
    rows = ran("report").locator("tbody tr")
    expect(rows).to_have_count(len(PROMPTS))
    for row, prompt in zip(rows.all(), PROMPTS, strict=True):
        texts = row.locator("bdi").all_text_contents()
        assert texts == [one_line(prompt, 40), one_line(prompt)]
    captions = saved.locator("small > bdi:first-of-type").all_text_contents()
    assert captions == [one_line(prompt, WHOLE) for prompt in PROMPTS]
    assert alts(ran("magic")) == MAGIC
    assert alts(ran("typed")) == alts(ran("line")) == [EVIL["an element"]]
    for name in ("frame", "pending", "errors"):
        expect(ran(name)).to_contain_text(EVIL["an element"])
    expect(ran("errors").locator("pre")).to_have_count(len(PROMPTS))
    for name in PLACES:
        # Of errors JupyterLab makes links by itself: of addresses, and of what may be a path.
        links = "a" if name != "errors" else "a[href]:not([href^='http'])"
        made = ran(name).locator(f"{links}, [onerror], [onload], script, iframe, mjx-container")
        expect(made, name).to_have_count(0)
        sources = ran(name).locator("img").evaluate_all("all => all.map(one => one.src)")
        assert all(source.startswith(("data:", "blob:")) for source in sources)


def test_an_error_is_its_message_and_the_users_line(
    notebook: Callable[..., Notebook], lab: Lab, shots: Path
) -> None:
    opened = notebook(
        "x = 1\nim.generate('a boat', width=130)",
        "%load_ext imagen_nb",
        "%%imagen --widht 3\na boat",
        "im.sync()",
    )
    opened.run_all()
    said = "UsageError: width must be a multiple of 16, not 130: try 128 or 144"
    assert opened.output(1).inner_text().strip().splitlines() == [
        said,
        "line 2: im.generate('a boat', width=130)",
    ]
    (line,) = opened.output(3).inner_text().strip().splitlines()
    assert line.startswith("UsageError: No such option: --widht")
    assert opened.output(4).inner_text().strip().startswith("UsageError: ")
    assert len(opened.output(4).inner_text().strip().splitlines()) == 2
    lab.page.screenshot(path=shots / "errors.png")
