"""The gallery over 10,000 rows, in a real JupyterLab in a real Chromium.

    python bench/gallery.py [--rows 10000] [--pictures 300]

Claims: the first screen is there at most 1 s after the cell runs, and scrolling stays above 30
frames a second. "first" imports the widgets and makes the thumbnails in view, "again" finds them
in the cache. Scrolling goes past 600 pictures whose thumbnails are in the cache, 60 pixels a frame,
then 600 pixels a frame past others, which are made when it stops.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Page, sync_playwright

sys.path.append(str(Path(__file__).parent.parent))

from tests.browser.conftest import _ARGUMENTS, CHROMIUM
from tests.fixtures.jupyter_pages import Lab, Notebook
from tests.fixtures.jupyter_servers import started

SIDE = 512
FRAME = """
import glob, uuid, datetime
import pandas as pd
import imagen_nb as im
im.configure()
paths = sorted(glob.glob({folder!r} + "/*.png"))
rows = range({rows})
df = pd.DataFrame({{
    "id": [str(uuid.uuid5(uuid.NAMESPACE_URL, str(n))) for n in rows],
    "prompt": [f"a {{('red', 'blue', 'green')[n % 3]}} boat, number {{n}}, photo" for n in rows],
    "backend": [f"backend-{{n % 4}}" for n in rows], "model": ["flux"] * {rows},
    "seed": list(rows), "steps": 4, "width": {side}, "height": {side},
    "storage_path": [f"2026-05-11/{{n}}.png" for n in rows],
    "local_path": [paths[n % len(paths)] for n in rows],
    "tags": [["keeper"] if n % 7 == 0 else [] for n in rows],
    "created_at": pd.date_range("2026-05-11", periods={rows}, freq="-2min", tz="UTC"),
}})
"""
WORD = "from IPython.display import HTML\nHTML('<b class=imagen-bare>word</b>')"
MAKE = """
from concurrent.futures import ThreadPoolExecutor
from imagen_nb.frames.pictures.locate import locate_pictures
from imagen_nb.widgets.thumbnails import thumbnail
with ThreadPoolExecutor(2) as pool:
    made = list(pool.map(lambda place: thumbnail(place, None), locate_pictures(df.head(600))))
print(f"{max(map(len, made))} bytes")
"""
READY = """([number, start]) => new Promise(done => {
  const look = () => {
    const box = document.querySelectorAll(".imagen-box")[number];
    const area = box?.getBoundingClientRect();
    const seen = box && [...box.querySelectorAll(".imagen-cell:not([hidden])")].filter(
      cell => cell.getBoundingClientRect().top < area.bottom
        && cell.getBoundingClientRect().bottom > area.top);
    const ready = seen?.length > 8 && seen.every(cell => cell.querySelector("img").naturalWidth);
    if (ready) done([performance.now() - start, seen.length]); else requestAnimationFrame(look);
  };
  look();
})"""
BARE = """start => new Promise(done => {
  const look = () => {
    if (document.querySelector(".imagen-bare")) done(performance.now() - start);
    else requestAnimationFrame(look);
  };
  look();
})"""
SCROLL = """(step) => new Promise(done => {
  const boxes = document.querySelectorAll(".imagen-box");
  const box = boxes[boxes.length - 1];
  const frames = [];
  let blank = 0, cells = 0, last = performance.now();
  const next = now => {
    frames.push(now - last);
    last = now;
    box.scrollTop += step;
    for (const cell of box.querySelectorAll(".imagen-cell:not([hidden])")) {
      cells += 1;
      blank += cell.querySelector("img").hidden;
    }
    if (frames.length < 240) requestAnimationFrame(next);
    else done([frames.slice(1), blank / cells]);
  };
  requestAnimationFrame(next);
})"""


def pictures(folder: Path, count: int) -> None:
    """Soft colours with grain: as heavy as photos."""
    folder.mkdir()
    for number in range(count):
        random = np.random.default_rng(number)
        soft = Image.fromarray(random.integers(0, 255, (6, 6, 3), np.uint8)).resize(
            (SIDE, SIDE)
        )
        grain = random.normal(0, 4, (SIDE, SIDE, 3))
        page = np.clip(np.asarray(soft) + grain, 0, 255).astype(np.uint8)
        Image.fromarray(page).save(folder / f"{number}.png", compress_level=1)


def run(notebook: Notebook, cell: int) -> float:
    """Press the keys that run the cell; gives the page's time (milliseconds) before."""
    notebook.cell(cell).locator(".jp-InputArea-prompt").click()
    start: float = notebook.page.evaluate("performance.now()")
    notebook.page.keyboard.press("Control+Enter")
    return start


def bare(notebook: Notebook, cell: int) -> None:
    """What any cell costs on this machine as it is now."""
    milliseconds = notebook.page.evaluate(BARE, run(notebook, cell))
    print(f"a cell that shows one word: {milliseconds:.0f} ms")


def first_screen(notebook: Notebook, cell: int) -> None:
    """From the key that runs the cell to the last thumbnail in view."""
    start = run(notebook, cell)
    milliseconds, cells = notebook.page.evaluate(READY, [cell - 2, start])
    print(f"first screen, {cells} thumbnails: {milliseconds:.0f} ms")


def scroll(page: Page, step: int) -> None:
    frames, blank = page.evaluate(SCROLL, step)
    worst = statistics.quantiles(frames, n=20)[-1]
    print(
        f"scrolling {step} pixels a frame: {1000 / statistics.mean(frames):.0f} frames/s, "
        f"95 % of frames within {worst:.0f} ms, {blank:.0%} of the cells not filled yet"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--pictures", type=int, default=300)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as named, sync_playwright() as playwright:
        folder = Path(named)
        pictures(folder / "pictures", given.pictures)
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=list(_ARGUMENTS)
        )
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        with started("jupyterlab", folder) as server:
            lab = Lab(server, page)
            setup = FRAME.format(
                folder=str(folder / "pictures"), rows=given.rows, side=SIDE
            )
            notebook = lab.open([setup, WORD, "im.Gallery(df)", "im.Gallery(df)", MAKE])
            notebook.run(0)
            print(f"{given.rows} rows")
            bare(notebook, 1)
            for cell, name in ((2, "first"), (3, "again")):
                print(name, end=": ")
                first_screen(notebook, cell)
            print("heaviest of 600 thumbnails:", notebook.run(4).inner_text().strip())
            scroll(page, 60)
            scroll(page, 600)
            milliseconds, cells = page.evaluate(
                READY, [1, page.evaluate("performance.now()")]
            )
            print(f"then all {cells} in view are there after {milliseconds:.0f} ms")
            lab.close()
        browser.close()


if __name__ == "__main__":
    main()
