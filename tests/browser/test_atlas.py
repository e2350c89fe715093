"""`df.imagen.atlas()` in JupyterLab: the widget of embedding-atlas, with what we hand to it.

`make soak` installs that package without the gigabytes that its command would want. The points
themselves need WebGPU with 16-bit shaders, which no browser has without a card: what is looked at
is all around them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from imagen_nb.studio.studio import Studio
from tests.fixtures.jupyter_pages import Notebook

pytestmark = [pytest.mark.slow, pytest.mark.soak]

PROMPTS = ("a red boat", "a blue star", "<img src=x onerror=alert(1)> a green house")
SHOW = """\
df = im.history(source="local")
atlas = df.imagen.atlas(3, embedder="tiny")
atlas"""


def test_the_map_shows_the_pictures_and_gives_what_is_selected(
    notebook: Callable[..., Notebook], tmp_path: Path, shots: Path
) -> None:
    pytest.importorskip("embedding_atlas")
    pictures = tmp_path / "pictures"
    with Studio({"backend": "flux-tiny-local", "output": {"dir": pictures}}) as studio:
        for prompt in PROMPTS:
            studio.sweep(prompt, seeds=range(12), steps=2, size=(64, 64), progress=False)
    opened = notebook(SHOW, "print(len(df), sorted(set(atlas.selection().columns)))")
    opened.run(0)
    opened.run(1, seconds=400)  # compiles UMAP
    shown = opened.output(1)
    expect(shown.locator("canvas").first).to_be_visible(timeout=60_000)
    expect(shown.get_by_text("36").first).to_be_visible(timeout=60_000)
    expect(shown.locator("img[src^='data:image']").first).to_be_visible(timeout=60_000)
    opened.page.wait_for_timeout(2000)  # until it has come to rest, for the eye
    opened.page.screenshot(path=shots / "atlas.png")
    selected = opened.run(2).inner_text()
    for name in ("prompt", "cluster", "picture", "x", "y", "seed"):
        assert f"'{name}'" in selected
