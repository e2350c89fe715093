"""The figures: what they count is what is in the frame, whatever text is in it."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from PIL import Image

from imagen_nb import analysis
from imagen_nb.analysis import style as axes
from imagen_nb.errors import UsageError
from imagen_nb.frames.moments import local_times

FIGURES: dict[str, Callable[[pd.DataFrame], Axes]] = {
    "per_day": analysis.per_day,
    "latency": analysis.latency,
    "latency by size": lambda df: analysis.latency(df, by="size"),
    "latency by steps": lambda df: analysis.latency(df, by="steps"),
    "cost": analysis.cost,
    "tags": analysis.tags,
    "grid": analysis.grid,
    "grid with stars": lambda df: analysis.grid(df, number="rating"),
    "strengths": lambda df: analysis.strengths(ranked(df)),
    "strengths with pictures": lambda df: analysis.strengths(ranked(df), thumbnails=True),
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
            {
                "prompt": EVIL[n % 3],
                "backend": ("a", "b", EVIL[0])[n % 3],
                "seed": n % 4,
                "steps": 4,
                "width": 128,
                "height": 128 + 64 * (n % 2),
                "latency_ms": 100 * n,
                "id": f"00000000-0000-4000-8000-{n:012}",
                "storage_path": f"{n}.png",
                "cost_usd_estimate": 0.5,
                "tags": EVIL[: n % 6],
                "local_path": path,
                "created_at": pd.Timestamp("2026-05-11T12:00", tz="UTC")
                + pd.Timedelta(days=n % 10),
            }
        )
    columns = ["prompt", "backend", "seed", "steps", "width", "height", "latency_ms"]
    columns += ["cost_usd_estimate", "tags", "id", "storage_path", "local_path", "created_at"]
    made = pd.DataFrame(rows, columns=columns)
    return made.astype({"created_at": "datetime64[us, UTC]", "latency_ms": "Int64"})


def ranked(df: pd.DataFrame) -> pd.DataFrame:
    """The pictures with strengths, as `im.ranking` adds them, in two components."""
    numbers = np.arange(float(len(df)))
    added = {"strength": numbers - 3, "low": numbers - 4.5, "high": numbers - 1.5}
    return df.assign(**added, component=pd.array(numbers % 2, dtype="Int64"))


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
    lacking = {"cost": "no costs", "tags": "no tags"}.get(name, "no pictures")
    lacking = "no strengths" if name.startswith("strengths") else lacking
    assert (lacking in texts) == (count == 0 or (name == "tags" and count == 1))


@pytest.mark.parametrize("name", FIGURES)
def test_a_frame_read_back_from_a_file_is_drawn(name: str, tmp_path: Path) -> None:
    df = frame(30, tmp_path)
    df["tags"] = [json.dumps(tags) for tags in df["tags"]]
    df.drop(columns="prompt").assign(prompt="a boat").to_csv(tmp_path / "history.csv")
    ax = FIGURES[name](pd.read_csv(tmp_path / "history.csv"))
    assert np.asarray(drawn(ax)).std() > 0
    assert not [text for text in ax.texts if text.get_text().startswith("no ")]


@pytest.mark.parametrize("name", FIGURES)
def test_a_frame_put_together_from_two_is_drawn(name: str, tmp_path: Path) -> None:
    twice = pd.concat([frame(12, tmp_path)] * 2)
    ax = FIGURES[name](twice)
    assert np.asarray(drawn(ax)).std() > 0
    if name == "cost":
        assert ax.lines[0].get_ydata()[-1] == 12.0
    if name == "per_day":
        assert sum(bar.get_height() for bar in ax.patches) == 24


class TestPerDay:
    def test_bars_add_up_to_the_pictures_of_each_day(self) -> None:
        ax = analysis.per_day(frame(30))
        heights = [bar.get_height() for container in ax.containers for bar in container]
        assert sum(heights) == 30
        assert len({round(bar.get_x(), 3) for bar in ax.containers[0]}) == 10

    @pytest.mark.parametrize(
        ("days", "title", "bars"), [(100, "day", 10), (500, "week", 10), (1500, "month", 10)]
    )
    def test_a_long_history_is_counted_by_weeks_or_months(
        self, days: int, title: str, bars: int
    ) -> None:
        df = frame(10).assign(backend="a")
        df["created_at"] += pd.to_timedelta(range(0, days * 10 // 9, days // 9), unit="D")[:10]
        ax = analysis.per_day(df)
        assert ax.get_title() == f"Pictures per {title}"
        assert len(ax.patches) == bars
        assert sum(bar.get_height() for bar in ax.patches) == 10

    def test_days_are_those_of_the_clock_in_summer_and_winter(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TZ", "Europe/Berlin")
        time.tzset()
        late = ["2026-07-01T22:30Z", "2026-01-01T22:30Z"]  # 00:30 in summer, 23:30 in winter
        seen = local_times(pd.Series(late))
        monkeypatch.delenv("TZ")
        time.tzset()
        assert [str(moment) for moment in seen] == ["2026-07-02 00:30:00", "2026-01-01 23:30:00"]


def test_more_backends_than_colours_are_counted_as_others() -> None:
    ax = analysis.per_day(frame(30).assign(backend=[f"b{n}" for n in range(30)]))
    assert len(ax.get_legend().get_texts()) == 8
    assert sum(bar.get_height() for bar in ax.patches) == 30


def test_latency_is_in_the_order_of_steps_and_of_pixels() -> None:
    df = frame(30).assign(steps=[(16, 4, 8)[n % 3] for n in range(30)])
    shown = [text.get_text() for text in analysis.latency(df, by="steps").get_yticklabels()]
    assert [text.partition("\n")[0] for text in shown] == ["16 steps", "8 steps", "4 steps"]
    assert {text.partition("\n")[2] for text in shown} == {"10 pictures"}


def test_the_cost_adds_up() -> None:
    (line,) = analysis.cost(frame(30)).lines
    assert line.get_ydata()[-1] == 15.0
    assert line.get_ydata()[0] == 0.0


def test_tags_are_counted() -> None:
    ax = analysis.tags(frame(30))
    assert [bar.get_width() for bar in ax.patches][-1] == 25
    assert len(ax.get_yticklabels()) == 5


class TestGrid:
    def test_it_says_what_it_leaves_out(self, tmp_path: Path) -> None:
        df = frame(30, tmp_path)
        cells = len(df[["prompt", "backend", "height", "seed"]].drop_duplicates())
        ax = analysis.grid(df)
        assert f"{30 - cells} of 30 pictures are not shown" in ax.get_xlabel()
        assert len(ax.images) == cells == 12

    def test_a_picture_that_cannot_be_had_is_grey(self, tmp_path: Path) -> None:
        df = frame(12, tmp_path)
        Path(df["local_path"].iloc[-1]).unlink()
        corners = [image.get_array()[0, 0].tolist() for image in analysis.grid(df).images]
        assert len(corners) == 12
        assert corners.count([0xD0, 0xD0, 0xD0]) == 1

    def test_pictures_keep_their_shape(self, tmp_path: Path) -> None:
        df = frame(1, tmp_path)
        Image.new("RGB", (32, 16)).save(df["local_path"].iloc[0])
        left, right, bottom, top = analysis.grid(df).images[0].get_extent()
        assert (right - left) / abs(top - bottom) == pytest.approx(2)

    def test_settings_are_named_where_they_differ_and_are_in_their_order(
        self, tmp_path: Path
    ) -> None:
        df = frame(4, tmp_path).assign(
            prompt="a boat", backend="b", height=128, seed=1, steps=[16, 2, 4, 2]
        )
        ax = analysis.grid(df)
        assert [text.get_text() for text in ax.get_yticklabels()] == [
            "2 steps",
            "4 steps",
            "16 steps",
        ]
        assert "1 of 4 pictures are not shown" in ax.get_xlabel()

    def test_the_seeds_with_most_pictures_are_chosen(self, tmp_path: Path) -> None:
        df = frame(30, tmp_path).assign(
            prompt=[f"boat {n}" for n in range(30)], seed=[n if n < 26 else 100 for n in range(30)]
        )
        ax = analysis.grid(df)
        assert [text.get_text() for text in ax.get_xticklabels()][-1] == "100"
        assert len(ax.images) == 8
        assert {"boat 26", "boat 29"} <= {
            t.get_text().split(" · ")[0] for t in ax.get_yticklabels()
        }

    def test_numbers_are_written_on_the_pictures(self, tmp_path: Path) -> None:
        df = frame(4, tmp_path).assign(
            prompt="a boat",
            backend="b",
            height=128,
            seed=[1, 2, 3, 4],
            strength=[1.26, -0.04, 2, None],
        )
        assert [text.get_text() for text in analysis.grid(df, number="strength").texts] == [
            "1.3",
            "0.0",
            "2",
        ]
        stars = df.assign(tags=[["rating:5"], [], ["rating:1"], []])
        written = analysis.grid(stars, number="rating").texts
        assert [text.get_text() for text in written] == ["5", "1"]


class TestStrengths:
    def test_the_strongest_are_at_the_top_with_their_intervals(self, tmp_path: Path) -> None:
        df = ranked(frame(30, tmp_path))
        df.loc[29, ["strength", "low", "high"]] = np.nan
        ax = analysis.strengths(df, most=5)
        assert ax.collections[1].get_offsets()[:, 0].tolist() == [25, 24, 23, 22, 21]
        segments = np.array(ax.collections[0].get_segments())
        assert segments[0].tolist() == [[23.5, 0], [26.5, 0]]
        assert "25 of 30 pictures are not shown" in ax.get_xlabel()
        assert len({tuple(colour) for colour in ax.collections[1].get_facecolors()}) == 2
        low, high = ax.get_ylim()
        assert low > high

    def test_without_intervals_there_are_dots_only(self) -> None:
        df = frame(3).assign(strength=[5.0, 4, 1], low=np.nan, high=np.nan)
        ax = analysis.strengths(df)
        assert not ax.lines
        assert np.ptp(np.array(ax.collections[0].get_segments())[:, :, 0], axis=1).max() == 0

    def test_a_row_says_which_picture_it_is(self) -> None:
        df = ranked(frame(4)).assign(prompt="a $ boat", steps=[1, 4, 4, 4])
        df["seed"] = pd.array([7, None, 8, 9], dtype="Int64")
        shown = [text.get_text() for text in analysis.strengths(df).get_yticklabels()]
        assert shown[2:] == [r"a \$ boat · 4 steps", r"a \$ boat · 7 · 1 step"]
        alike = analysis.strengths(df.assign(steps=4)).get_yticklabels()
        assert alike[0].get_text() == r"a \$ boat · 9"

    def test_a_frame_that_is_no_ranking_is_refused(self) -> None:
        with pytest.raises(UsageError, match="lacks strength, low, high"):
            analysis.strengths(frame(2))


def test_axes_of_ones_own_are_drawn_on() -> None:
    from matplotlib.figure import Figure

    ax = Figure().subplots()
    assert analysis.per_day(frame(3), ax) is ax


def test_a_frame_without_the_columns_is_refused_by_their_names() -> None:
    with pytest.raises(UsageError, match="lacks created_at, backend"):
        analysis.per_day(pd.DataFrame({"x": []}))
    with pytest.raises(UsageError, match="by must be one of backend, size, steps"):
        analysis.latency(frame(3), by="prompt")
    with pytest.raises(UsageError, match=r"; did you mean backend\?"):
        analysis.latency(frame(3), by="backnd")


def test_labels_are_text() -> None:
    assert analysis.label("a $b$\nc") == r"a \$b\$ c"
    assert len(analysis.label("x" * 100)) == 28
    assert "🚤" not in analysis.label("🚤 boat")


def test_labels_have_only_letters_that_the_font_has() -> None:
    every = "".join(map(chr, range(1, 0x3100))) + "、。「」！"
    fig = analysis.tags(frame(1).assign(tags=[[]])).figure
    fig.text(0, 0, analysis.label(every, 10_000), fontsize=2)
    fig.canvas.draw()  # a glyph that lacks is a warning, and warnings are errors


def test_a_notebook_shows_a_figure_and_a_program_keeps_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    analysis.tags(frame(3))
    assert pyplot.get_fignums() == before
    monkeypatch.setattr(axes, "in_notebook", lambda: True)
    monkeypatch.setenv("MPLBACKEND", "agg")
    ax = analysis.tags(frame(3))
    assert pyplot.get_fignums()[-1:] == [ax.figure.number]
    pyplot.close(ax.figure)
