"""The forest plot and the report's effects: what they show is what the frame says."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba

import imagen_nb as im
from imagen_nb import analysis
from imagen_nb.analysis.report.effects import effects_section
from imagen_nb.errors import UsageError
from imagen_nb.frames.effects.estimating import estimate_effects
from tests.fixtures.evil import EVIL
from tests.fixtures.simulated_histories import balanced


def rated(count: int = 4) -> pd.DataFrame:
    frame = balanced(np.random.default_rng(1), {"steps": 1.2})
    stars = frame["rating"].map(lambda stars: [f"rating:{stars:.0f}"])
    return frame.drop(columns="rating").assign(tags=stars)


def test_each_row_is_a_point_with_its_interval() -> None:
    effects = estimate_effects(rated(), "rating")
    ax = analysis.effects.plot(effects)
    points = [line for line in ax.lines if line.get_marker() == "o"]
    assert [point.get_xdata()[0] for point in points] == [*effects["effect"]]
    segments = [each.get_segments()[0] for each in ax.collections]
    assert [(one[0][0], one[1][0]) for one in segments] == [
        *zip(effects["low"], effects["high"], strict=True)
    ]
    names = [text.get_text() for text in ax.get_yticklabels()]
    assert names == ["8 steps instead of 4", "guidance 3.5 instead of 0"]
    filled = [to_rgba(point.get_markerfacecolor()) != (1, 1, 1, 1) for point in points]
    assert filled == [*(effects["p_adjusted"] < 0.05)]


def test_of_many_rows_the_most_certain_are_shown() -> None:
    effects = estimate_effects(rated(), "rating")
    many = pd.concat([effects] * 20, ignore_index=True)
    ax = analysis.effects.plot(many)
    assert len(ax.get_yticks()) == 24
    assert "16 more are not shown" in ax.get_xlabel()


def test_no_rows_are_a_figure_that_says_so() -> None:
    effects = estimate_effects(rated(), "rating").iloc[:0]
    assert "nothing can be told" in [
        text.get_text() for text in analysis.effects.plot(effects).texts
    ]
    with pytest.raises(UsageError, match="this frame lacks setting"):
        analysis.effects.plot(pd.DataFrame())


@pytest.mark.parametrize("name", EVIL.values(), ids=EVIL.keys())
def test_names_stay_text(name: str) -> None:
    effects = estimate_effects(rated(), "rating").assign(level=name, setting=f"LoRA {name}")
    analysis.effects.plot(effects).figure.savefig(io.BytesIO(), format="svg")


class TestReport:
    def test_ratings_are_a_section_with_figure_and_table(self) -> None:
        page = effects_section(rated(), [])
        assert page.count("<h2>What matters: ratings</h2>") == 1
        assert page.count("<img ") == 1
        assert "<bdi>8 steps instead of 4</bdi>" in page
        assert "<bdi>guidance 3.5 instead of 0</bdi>" in page

    def test_strengths_of_a_ranking_are_a_section_too(self) -> None:
        frame = rated().assign(strength=np.random.default_rng(1).normal(size=96))
        assert "<h2>What matters: votes</h2>" in effects_section(frame, [])

    def test_without_ratings_or_anything_that_varies_there_is_none(self) -> None:
        frame = rated()
        assert effects_section(frame.assign(tags=[[]] * 96), []) == ""
        assert effects_section(frame[(frame["steps"] == 4) & (frame["guidance"] == 0)], []) == ""

    def test_hostile_names_are_escaped(self) -> None:
        frame = rated()
        rng = np.random.default_rng(1)
        frame["scheduler"] = rng.choice(["<script>alert(1)</script>", "<img src=x>"], 96)
        page = effects_section(frame, [])
        assert "&lt;script&gt;" in page
        assert "<script" not in page
        assert "<img src=x" not in page

    def test_the_page_of_a_session_has_it(self, folder: Path, tmp_path: Path) -> None:
        with im.Studio(
            {"output": {"dir": str(folder)}, "backend": "flux-tiny-local"}, background=False
        ) as session:
            drawn = session.sweep("a boat", seeds=range(6), steps=[1, 2], progress=False)
            for picture in drawn:
                session.rate(picture, 5 if picture.record.steps == 2 else 3)
            frame = session.history()
            page = analysis_page(frame, session, tmp_path / "page.html")
        assert "What matters: ratings" in page
        assert "2 steps instead of 1" in page or "1 steps instead of 2" in page


def analysis_page(frame: pd.DataFrame, session: im.Studio, path: Path) -> str:
    from imagen_nb.analysis.report.page import write_report

    return write_report(frame, path, session, "Boats", 0).read_text(encoding="utf-8")
