"""Figures and contact sheets follow the theme of the notebook that shows them."""

from __future__ import annotations

import base64
import io
import os
from contextlib import closing
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from PIL import Image

from imagen_nb.system.theme import is_dark, tell_theme
from imagen_nb.widgets.gallery import Gallery
from tests.analysis.test_analysis import frame

FIGURES = (
    "analysis.per_day(df)",
    "analysis.latency(df)",
    "analysis.cost(df)",
    "analysis.cost(df[:0])",
    "analysis.tags(df)",
    "analysis.grid(df)",
)
CELLS = [
    "import pandas as pd\nimport imagen_nb as im\nfrom imagen_nb import analysis\n"
    "%matplotlib inline\ndf = pd.read_pickle('frame.pickle')",
    *(f"{figure};" for figure in FIGURES),
    "df.imagen.contact_sheet(caption='{seed}')",
]
# As JupyterLab writes it.
SETTINGS = """{
    // Theme
    // @jupyterlab/apputils-extension:themes
    "theme": "%s"
}"""


def run(folder: Path, theme: str) -> list[Image.Image]:
    """Return what the cells show, for a user of JupyterLab with this theme."""
    place = folder / ".jupyter/lab/user-settings/@jupyterlab/apputils-extension"
    place.mkdir(parents=True)
    (place / "themes.jupyterlab-settings").write_text(SETTINGS % theme, encoding="utf-8")
    frame(30, folder).to_pickle(folder / "frame.pickle")
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS]
    book = nbformat.v4.new_notebook(cells=cells)
    kept = {name: v for name, v in os.environ.items() if name != "JUPYTER_CONFIG_DIR"}
    NotebookClient(book, timeout=600).execute(cwd=str(folder), env={**kept, "HOME": str(folder)})
    shown = []
    for cell in book.cells[1:]:
        (png,) = [o.data["image/png"] for o in cell.outputs if "image/png" in o.get("data", {})]
        shown.append(Image.open(io.BytesIO(base64.b64decode(png))).convert("L"))
    return shown


@pytest.mark.usefixtures("quick_kernels")
@pytest.mark.parametrize(
    ("theme", "dark"), [("JupyterLab Dark", True), ("JupyterLab Light", False)]
)
def test_what_a_notebook_shows_is_as_dark_as_its_theme(
    theme: str, dark: bool, tmp_path: Path, shots: Path
) -> None:
    for number, image in enumerate(run(tmp_path, theme)):
        image.save(shots / f"figure-{number}-{'dark' if dark else 'light'}.png")
        paper = image.getpixel((2, 2))
        darkest, lightest = image.getextrema()
        ink = lightest if dark else darkest
        assert (paper < 40, abs(ink - paper) > 150) == (dark, True)


def test_a_page_that_tells_its_theme_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_dark()  # no notebook
    monkeypatch.setattr("imagen_nb.system.theme._told", None)
    tell_theme(True)
    assert not is_dark()
    monkeypatch.setattr("imagen_nb.system.theme.in_notebook", lambda: True)
    assert is_dark()
    tell_theme(False)
    assert not is_dark()
    with closing(Gallery(frame(3))) as gallery:
        gallery._handle_custom_msg({"dark": True}, [])
    assert is_dark()
