"""The figures: what they count is what is in the frame, whatever text is in it."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from PIL import Image

from imagen_nb import analysis
from imagen_nb.errors import UsageError

FIGURES: dict[str, Callable[[pd.DataFrame], Axes]] = {
    "per_day": analysis.per_day,
    "latency": analysis.latency,
    "latency by size": lambda df: analysis.latency(df, by="size"),
    "latency by steps": lambda df: analysis.latency(df, by="steps"),
    "cost": analysis.cost,
    "tags": analysis.tags,
    "grid": analysis.grid,
}
EVIL = ["$\\frac{", "<img src=x onerror=alert(1)>", "\u202eевро 🚤\n舟\0", "_hidden", "x" * 10_000]


def frame(count: int, folder: Path | None = None) -> pd.DataFrame:
    """Pictures over ten days, of three backends, four seeds and three prompts."""
    rows: list[dict[str, Any]] = []
    for n in range(count):
        path = None
        if folder:
            path = str(folder / f"{n}.png")
            Image.new("RGB", (16, 16), (n * 40 % 256, 90, 160)).save(path)
        rows.append(
            {"prompt": EVIL[n % 3], "backend": ("a", "b", EVIL[0])[n % 3], "seed": n % 4,
             "steps": 4, "width": 128, "height": 128 + 64 * (n % 2), "latency_ms": 100 * n,
             "cost_usd_estimate": 0.5, "tags": EVIL[: n % 6], "local_path": path,
             "created_at": pd.Timestamp("2026-05-11T12:00", tz="UTC") + pd.Timedelta(days=n % 10)}
        )  # fmt: skip
    columns = ["prompt", "backend", "seed", "steps", "width", "height", "latency_ms"]
    columns += ["cost_usd_estimate", "tags", "local_path", "created_at"]
    made = pd.DataFrame(rows, columns=columns)
    return made.astype({"created_at": "datetime64[us, UTC]", "latency_ms": "Int64"})


def drawn(ax: Axes) -> Image.Image:
    """The figure as pixels; warnings are errors here, so that every glyph is known."""
    buffer = io.BytesIO()
    ax.figure.savefig(buffer, format="png")
    return Image.open(buffer)


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("count", [0, 1, 30])
def test_every_figure_is_drawn_of_any_frame(name: str, count: int, tmp_path: Path) -> None:
    ax = FIGURES[name](frame(count, tmp_path))
    page = drawn(ax)
    assert np.asarray(page).std() > 0
    texts = [text.get_text() for text in ax.texts]
    assert ("no pictures" in texts) == (count == 0 or (name == "tags" and count == 1))


def test_bars_add_up_to_the_pictures_of_each_day() -> None:
    ax = analysis.per_day(frame(30))
    heights = [bar.get_height() for container in ax.containers for bar in container]
    assert sum(heights) == 30
    assert len({round(bar.get_x(), 3) for bar in ax.containers[0]}) == 10


def test_the_cost_adds_up() -> None:
    (line,) = analysis.cost(frame(30)).lines
    assert line.get_ydata()[-1] == 15.0


def test_tags_are_counted() -> None:
    ax = analysis.tags(frame(30))
    assert [bar.get_width() for bar in ax.patches][-1] == 25
    assert len(ax.get_yticklabels()) == 5


def test_a_grid_says_what_it_leaves_out(tmp_path: Path) -> None:
    df = frame(30, tmp_path)
    cells = len(df[["prompt", "height", "seed"]].drop_duplicates())
    ax = analysis.grid(df)
    assert f"{30 - cells} of 30 pictures are not shown" in ax.get_xlabel()
    assert len(ax.images) == cells == 12
    Path(df["local_path"].iloc[-1]).unlink()
    assert len(analysis.grid(df).images) == 11


def test_axes_of_ones_own_are_drawn_on() -> None:
    from matplotlib.figure import Figure

    ax = Figure().subplots()
    assert analysis.per_day(frame(3), ax) is ax


def test_a_frame_without_the_columns_is_refused_by_their_names() -> None:
    with pytest.raises(UsageError, match="lacks created_at, backend"):
        analysis.per_day(pd.DataFrame({"x": []}))
    with pytest.raises(UsageError, match="by must be one of backend, size, steps"):
        analysis.latency(frame(3), by="prompt")


def test_labels_are_text() -> None:
    assert analysis.label("a $b$\nc") == r"a \$b\$ c"
    assert len(analysis.label("x" * 100)) == 28
    assert "🚤" not in analysis.label("🚤 boat")
