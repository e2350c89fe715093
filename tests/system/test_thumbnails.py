"""Small pictures and sheets: legible headings, few bytes, nothing of the prompt as HTML."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from PIL import Image

from imagen_nb.request.sweep import Axis
from imagen_nb.storage.picture import Picture
from imagen_nb.storage.record import Record
from imagen_nb.studio.pictures import Pictures
from imagen_nb.system.thumbnails import (
    THUMBNAIL_BYTES,
    SheetLabels,
    captioned_html,
    draw_contact_sheet,
    encode_webp,
    fit_text,
    img_tag,
    wrap_text,
)


def noise(side: int, seed: int = 0) -> Image.Image:
    """Harder to compress than any picture."""
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture
def kept(tmp_path: Path, make_record: Callable[..., Record]) -> Callable[..., Picture]:
    """A picture on disk, as far as showing it goes."""

    def make(image: Image.Image, **fields: object) -> Picture:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.png"
        image.save(path)
        return Picture(make_record(**fields), path, path, None)  # type: ignore[arg-type]

    return make


def test_a_thumbnail_of_a_large_picture_is_small() -> None:
    assert len(img_tag(Image.effect_mandelbrot((1024, 1024), (-2, -1, 1, 1), 50), "x")) < 20_000


@pytest.mark.parametrize("side", [64, 128, 256, 700])
def test_a_thumbnail_has_a_limit_whatever_it_shows(side: int) -> None:
    most = THUMBNAIL_BYTES * max(1, side**2 / 256**2)
    assert len(encode_webp(noise(700), side)) <= most
    assert len(encode_webp(noise(2000).crop((0, 0, 2000, 60)), side)) <= most


TEN = """
import nbformat
import numpy as np
from PIL import Image
from pathlib import Path
from imagen_nb.storage.picture import Picture
from imagen_nb.storage.record import Record
y, x = np.mgrid[0:1024, 0:1024]
waves = np.sin(x / 90), np.cos(y / 70), np.sin((x + y) / 50)
scene = np.stack([128 + 80 * waves[0], 120 + 90 * waves[1], 100 + 60 * waves[2]], -1)
made = []
for n in range(10):
    grain = np.random.default_rng(n).normal(0, 120, scene.shape)  # a hard photograph
    path = Path(f"{n}.png").absolute()
    Image.fromarray(np.clip(scene + grain, 0, 255).astype("uint8")).save(path, compress_level=1)
    facts = dict(backend="flux", model="m" * 80, seed=2**53 - 1 - n, steps=50)
    facts |= dict(width=1024, height=1024)
    made.append(Picture(Record(prompt="\U0001f6a4" * 10_000, **facts), path, path, None))
for picture in made * times:
    display(picture)
"""


@pytest.mark.slow
@pytest.mark.usefixtures("quick_kernels")
@pytest.mark.parametrize("times", [1, pytest.param(10, marks=pytest.mark.soak)])
def test_a_notebook_with_a_hundred_pictures_weighs_less_than_two_megabytes(
    times: int, tmp_path: Path
) -> None:
    """Ten pictures, so many times; the tenth part of a hundred weighs a tenth of it at most."""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(f"times = {times}\n{TEN}")])
    NotebookClient(book, timeout=600).execute(cwd=str(tmp_path))
    assert str(book).count("data:image/webp") == 10 * times
    file = tmp_path / "saved.ipynb"
    nbformat.write(book, file)
    assert file.stat().st_size < 200_000 * times


def test_text_around_a_picture_is_never_html() -> None:
    page = captioned_html(img_tag(noise(8), '"><script>'), "<b>bold</b>")
    assert "<script>" not in page
    assert "<b>" not in page


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a boat", "a boat"),
        ("a\tboat\n", "a boat"),
        ("café noir", "cafe noir"),
        ("x" * 20, "x" * 9 + "…"),
    ],
)
def test_a_heading_is_one_line_that_the_font_can_write(text: str, shown: str) -> None:
    assert fit_text(text, 60) == shown


def test_the_lines_of_a_heading_stay_apart() -> None:
    assert wrap_text("steps 4\na red boat at sunset", 60, 5) == [
        "steps 4",
        "a red boat",
        "at sunset",
    ]


def test_a_long_heading_is_cut_at_its_end() -> None:
    lines = wrap_text("steps 4\n" + "a very long prompt " * 9, 60, 3)
    assert len(lines) == 3
    assert lines[0] == "steps 4"
    assert lines[-1].endswith("…")


def test_cells_are_no_larger_than_their_pictures_but_hold_a_heading() -> None:
    assert draw_contact_sheet([noise(128)], 1, cell=160).width < 160
    assert draw_contact_sheet([noise(16)], 1, cell=160).width > 90
    assert draw_contact_sheet([noise(1024)], 1, SheetLabels(), cell=160).width > 160


def test_rows_of_a_sheet_say_what_varies_before_the_prompt(kept: Callable[..., Picture]) -> None:
    prompts = ["a boat", "a house"]
    grid = [
        kept(noise(16), prompt=prompt, steps=steps, seed=seed)
        for prompt in prompts
        for steps in (1, 2)
        for seed in (1, 2)
    ]
    axes = [Axis("prompt", tuple(prompts)), Axis("steps", (1, 2)), Axis("seed", (1, 2))]
    labels = Pictures(grid, axes)._labels(2)
    assert labels.columns == ["seed 1", "seed 2"]
    assert labels.rows[:2] == ["steps 1\na boat", "steps 2\na boat"]


def test_many_pictures_say_what_varies_and_how_many_are_shown(
    kept: Callable[..., Picture],
) -> None:
    one = kept(noise(64))
    pictures = Pictures(
        [one] * 250, [Axis("size", ((8, 8), (8, 16))), Axis("seed", tuple(range(125)))]
    )
    assert repr(pictures) == "<Pictures: 250 (2 sizes × 125 seeds)>"
    page = pictures._repr_mimebundle_()["text/html"]
    assert "pictures: 250 (2 sizes × 125 seeds), of which the first 200 are shown" in page


def test_a_sheet_in_a_notebook_has_a_limit_however_many_pictures(
    kept: Callable[..., Picture],
) -> None:
    few, many = (
        len(
            Pictures([kept(noise(128, seed)) for seed in range(count)])._repr_mimebundle_()[
                "text/html"
            ]
        )
        for count in (40, 200)
    )
    assert max(few, many) < 110_000
