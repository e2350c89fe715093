"""A search from beginning to end: what is tried, kept, tagged, shown and gone on with."""

from __future__ import annotations

import json
import math
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import imagen_nb as im
from imagen_nb.errors import BackendError, ImagenError, StorageError, UsageError
from imagen_nb.studio.drawing import RequestDrawer
from imagen_nb.studio.optimizing.study import Study
from imagen_nb.studio.optimizing.study_file import StudyFile
from imagen_nb.studio.studio import Studio
from tests.fixtures.forks import forks

from .conftest import SMALL, SPACE, step_count

Optimize = Callable[..., Study]


def sharp(picture: im.Picture) -> float:
    """Of how many steps: with another name than the setting."""
    return step_count(picture)


class TestSearching:
    def test_a_row_tells_of_each_trial(self, optimize: Optimize, studio: Studio) -> None:
        study = optimize(score="clip:tiny", trials=5, at_once=2)
        frame = study.frame()
        assert [*frame.columns] == [
            *("trial", "prompt", "steps", "clip:tiny", "clip:tiny_se"),
            *("state", "error", "pictures"),
        ]
        assert frame["trial"].tolist() == [*range(5)]
        assert frame["state"].tolist() == ["complete"] * 5
        assert not frame[["prompt", "steps"]].duplicated().any()
        history = studio.history(source="local").set_index("id")
        scored = studio.score(studio.history(source="local"), "clip:tiny").set_index("id")
        for _, row in frame.iterrows():
            pictures = history.loc[row["pictures"]]
            assert pictures["seed"].tolist() == [1, 2]
            assert {*pictures["prompt"]} == {row["prompt"]}
            assert {*pictures["steps"]} == {row["steps"]}
            assert row["clip:tiny"] == pytest.approx(
                scored.loc[row["pictures"], "clip:tiny"].mean()
            )
            assert row["clip:tiny_se"] >= 0

    def test_pictures_are_found_by_their_tags(self, optimize: Optimize, studio: Studio) -> None:
        study = optimize(score=sharp, trials=3, tags=["mine"])
        assert len(studio.history(tags=["study:boats", "mine"], source="local")) == 6
        of_one = studio.history(tags="trial:boats/2", source="local")
        assert {*of_one["id"]} == {*study.frame()["pictures"][2]}

    def test_it_finds_what_is_best(self, optimize: Optimize) -> None:
        space = {"prompt": "a {red|blue} boat", "steps": (1, 12), "guidance": (0.0, 8.0)}

        def near(picture: im.Picture) -> float:
            return -abs(picture.record.steps - 3) - abs(picture.record.guidance - 6)  # type: ignore[operator]

        best = optimize(space, score=near, trials=24, seeds=[1], size=(64, 64)).best
        assert best["near"] > -2.5
        assert best["near"] == optimize(space, score=near, trials=0, seeds=[1]).best["near"]

    def test_what_is_to_be_low_is_low(self, optimize: Optimize) -> None:
        study = optimize(score=sharp, goals="min", trials=6)
        frame = study.frame()
        assert study.best["sharp"] == frame["sharp"].min() < frame["sharp"].max()

    def test_nothing_is_tried_twice_and_the_end_is_told(
        self, optimize: Optimize, capsys: pytest.CaptureFixture[str]
    ) -> None:
        study = optimize({"prompt": "a {red|blue} boat", "steps": [1, 2]}, score=sharp, trials=9)
        assert len(study.frame()) == 4
        assert "study boats: all 4 settings of its space were tried" in capsys.readouterr().err

    def test_a_new_study_has_the_day_for_its_name(self, optimize: Optimize) -> None:
        names = [optimize(score=sharp, trials=1, name=None).name for _ in range(2)]
        assert [name[-2:] for name in names] == ["-1", "-2"]

    def test_the_same_settings_of_other_types_are_the_same_study(self, optimize: Optimize) -> None:
        optimize(score=sharp, trials=1, size=(64, 64))
        study = optimize(score=sharp, trials=2, size=[64, 64], seeds=range(1, 3))
        assert len(study.frame()) == 2

    def test_optuna_says_nothing(
        self, optimize: Optimize, capsys: pytest.CaptureFixture[str]
    ) -> None:
        optimize(score=sharp, trials=2)
        assert capsys.readouterr() == ("", "")


class TestTrouble:
    def test_a_score_that_raises_ends_it_and_nothing_is_lost(
        self, optimize: Optimize, studio: Studio
    ) -> None:
        looked_at: list[str] = []

        def wrong(picture: im.Picture) -> float:
            looked_at.append(str(picture.record.id))
            if len(looked_at) == 6:
                raise ZeroDivisionError("a mistake of the user's")
            return step_count(picture)

        with pytest.raises(ZeroDivisionError):
            optimize(score=wrong, trials=4)
        drawn = {*studio.history(source="local")["id"]}
        assert len(drawn) == 8
        seen = optimize(None, score=wrong, trials=0).frame()
        assert seen["state"].tolist() == ["complete"] * 2 + ["running"] * 2
        study = optimize(score=wrong, trials=4)
        assert study.frame()["state"].tolist() == ["complete"] * 4
        assert {*studio.history(source="local")["id"]} == drawn  # none was drawn again

    def test_a_score_that_is_no_number_fails_the_trial_only(self, optimize: Optimize) -> None:
        def picky(picture: im.Picture) -> float:
            return math.nan if picture.record.steps == 2 else step_count(picture)

        space = {"prompt": "a {red|blue} boat", "steps": [1, 2, 3]}
        study = optimize(space, score=picky, trials=9, at_once=2)
        frame = study.frame()
        assert len(frame) == 6
        failed = frame[frame["state"] == "failed"]
        assert failed["steps"].tolist() == [2, 2]
        assert failed["error"].tolist() == ["its score is not a number"] * 2
        assert failed["picky"].isna().all()
        assert study.best["steps"] == 3

    def test_a_search_without_hope_ends(self, optimize: Optimize) -> None:
        with pytest.raises(ImagenError, match="the last 8 trials have no score"):
            optimize(score=lambda picture: math.nan, trials=50)

    def test_what_is_no_number_at_all_is_told(self, optimize: Optimize) -> None:
        with pytest.raises(UsageError, match="a score is a number, and the function returned"):
            optimize(score=lambda picture: "good", trials=1)

    def test_settings_that_do_not_go_together_fail(self, optimize: Optimize) -> None:
        space = {"prompt": "a boat", "true_cfg": [2.0, 1.0], "negative_prompt": ["", "night"]}
        study = optimize(space, score=sharp, trials=4, steps=1)
        failed = study.frame().query("state == 'failed'")
        assert failed["error"].str.contains("a negative prompt works with a true_cfg above 1").all()
        assert len(failed) == 1

    def test_a_picture_that_cannot_be_drawn_fails_its_trial_and_the_next_call_goes_on(
        self, optimize: Optimize, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        draw = RequestDrawer.draw

        def broken(self: RequestDrawer, backend: Any, requests: Any, call: Any) -> Any:
            draw(self, backend, requests[:3], call)
            raise BackendError("out of memory")

        with monkeypatch.context() as broken_once:
            broken_once.setattr(RequestDrawer, "draw", broken)
            with pytest.raises(BackendError, match="out of memory"):
                optimize(score=sharp, trials=3)
        study = optimize(score=sharp, trials=3)
        frame = study.frame()
        assert frame["state"].tolist() == ["complete", "failed", "complete", "complete"]
        assert frame["error"][1] == "out of memory"

    def test_ctrl_c_keeps_what_there_is_and_says_how_to_go_on(
        self, optimize: Optimize, studio: Studio, capsys: pytest.CaptureFixture[str]
    ) -> None:
        seen: list[float] = []

        def interrupted(picture: im.Picture) -> float:
            seen.append(step_count(picture))
            if len(seen) == 4:
                raise KeyboardInterrupt
            return seen[-1]

        with pytest.raises(KeyboardInterrupt):
            optimize(score=interrupted, trials=5)
        told = 'study boats: 1 of 5 trials have a score; im.optimize(name="boats", …) goes on'
        assert told in capsys.readouterr().err
        before = optimize(None, trials=0).frame()
        study = optimize(score=interrupted)  # as many as were asked for
        after = study.frame()
        assert after["state"].tolist() == ["complete"] * 5
        same = ["prompt", "steps"]
        pd.testing.assert_frame_equal(before[same], after.loc[: len(before) - 1, same])
        assert len(studio.history(source="local")) == 10


@pytest.mark.parametrize("when", ["while it scores", "while it draws"])
class TestKilled:
    pytestmark = forks

    def test_what_was_drawn_and_scored_is_kept_and_the_rest_asked_again(
        self, when: str, optimize: Optimize, studio: Studio
    ) -> None:
        optimize(score=sharp, trials=1)  # the model is loaded once, for the child too
        count = 0

        def die_at(number: int) -> None:
            nonlocal count
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)

        def deadly(picture: im.Picture) -> float:
            if when == "while it scores":
                die_at(6)
            return step_count(picture)

        def progress(step: Any) -> None:
            if when == "while it draws":
                die_at(9)

        deadly.__name__ = "sharp"
        child = os.fork()
        if child == 0:
            optimize(score=deadly, trials=9, progress=progress)
            os._exit(1)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
        before = optimize(None, trials=0).frame()
        drawn = {*studio.history(source="local")["id"]}
        assert "running" in before["state"].tolist()
        study = optimize(score=sharp)
        after = study.frame()
        assert after["state"].tolist() == ["complete"] * 9
        same = ["prompt", "steps"]
        pd.testing.assert_frame_equal(before[same], after.loc[: len(before) - 1, same])
        done = before[before["state"] == "complete"]
        assert after.loc[done.index, "pictures"].tolist() == done["pictures"].tolist()
        history = {*studio.history(source="local")["id"]}
        assert drawn < history
        assert len(history) == 18  # what the dead one had drawn was taken
        assert {id for ids in after["pictures"] for id in ids} == history


class TestGoingOn:
    def test_a_study_is_opened_by_its_name_alone(self, optimize: Optimize, studio: Studio) -> None:
        space = {"prompt": "a {red|blue} boat", "size": [(64, 64), (80, 64)]}
        first = optimize(space, score="sharpness", trials=2, size=None, steps=1)
        opened = studio.optimize(name="boats", progress=False)
        pd.testing.assert_frame_equal(opened.frame(), first.frame())
        more = studio.optimize(name="boats", trials=3, progress=False)
        assert len(more.frame()) == 3
        assert {*studio.history(source="local")["steps"]} == {1}
        assert opened.resume(1, progress=False) is opened
        assert len(opened.frame()) == 4

    def test_a_function_must_be_given_again_to_go_on(
        self, optimize: Optimize, studio: Studio
    ) -> None:
        optimize(score=sharp, goals="min", trials=2)
        opened = studio.optimize(name="boats")  # it is finished: there is nothing to do
        assert opened.best["sharp"] == opened.frame()["sharp"].min()
        with pytest.raises(
            UsageError, match="has the score sharp, a function of yours: give score="
        ):
            opened.resume(1)
        assert (
            len(studio.optimize(name="boats", score=sharp, trials=3, progress=False).frame()) == 3
        )

    @pytest.mark.parametrize(
        ("changed", "line"),
        [
            (
                {"space": {**SPACE, "steps": (1, 5)}},
                "another space: steps was 1 to 4 and is 1 to 5",
            ),
            ({"space": {"prompt": "a {red|blue} boat", "steps": (1, 4)}}, "prompt was 'a {…} {…}'"),
            ({"seeds": [1, 2, 3]}, r"other seeds: \[1, 2\], not \[1, 2, 3\]"),
            ({"size": (80, 64)}, "other settings"),
            ({"score": "sharpness"}, "other goals"),
        ],
        ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
    )
    def test_another_study_of_the_name_is_refused_in_a_line(
        self, changed: dict[str, Any], line: str, optimize: Optimize
    ) -> None:
        optimize(score=sharp, trials=1)
        arguments = {"score": sharp, "trials": 2} | changed
        with pytest.raises(UsageError, match=line) as error:
            optimize(arguments.pop("space", None), **arguments)
        assert "\n" not in str(error.value)
        assert "give another name=" in str(error.value)

    def test_one_process_at_a_time_is_at_work(self, optimize: Optimize, folder: Path) -> None:
        optimize(score=sharp, trials=1)
        with StudyFile(folder, "boats").held():
            assert len(optimize(None, trials=0).frame()) == 1  # to look is allowed
            with pytest.raises(StorageError, match="is at work on the study boats"):
                optimize(score=sharp, trials=2)
        assert len(optimize(score=sharp, trials=2).frame()) == 2

    def test_half_a_line_and_a_lock_of_one_that_died_are_no_trouble(
        self, optimize: Optimize, folder: Path
    ) -> None:
        optimize(score=sharp, trials=2)
        path = folder / ".imagen" / "studies" / "boats.jsonl"
        with path.open("ab") as file:
            file.write(b'{"op_code":4,"wor')
        path.with_name("boats.jsonl.lock").touch()
        assert len(optimize(None, trials=0).frame()) == 2
        assert len(optimize(score=sharp, trials=3).frame()) == 3
        assert all(map(json.loads, path.read_bytes().splitlines()))

    def test_what_is_damaged_is_one_line(self, optimize: Optimize, folder: Path) -> None:
        optimize(score=sharp, trials=1)
        path = folder / ".imagen" / "studies" / "boats.jsonl"
        path.write_bytes(b"no JSON\n" + path.read_bytes())
        with pytest.raises(StorageError, match=r"boats\.jsonl is damaged"):
            optimize(score=sharp, trials=2)

    def test_no_secret_is_kept(self, studio: Studio, folder: Path) -> None:
        search = studio.optimize(SPACE, score=sharp, trials=1, name="boats", seeds=[1], **SMALL)
        kept = studio._kept_settings(search._search, {"api_token": "r8_secret", "steps": 2})
        assert kept == {"steps": 2, "backend": "flux-tiny-local"}

    @pytest.mark.parametrize("name", ["", "../boats", "a b", "x" * 61, "-a", "bö", 5])
    def test_a_name_is_a_word(self, name: Any, optimize: Optimize) -> None:
        with pytest.raises(UsageError, match="a study's name has up to 60 letters"):
            optimize(score=sharp, name=name)

    @pytest.mark.parametrize(
        ("arguments", "line"),
        [
            ({"seeds": []}, "seeds are different numbers"),
            ({"seeds": [1, 1]}, "seeds are different numbers"),
            ({"seeds": [-1]}, "a seed must be from 0"),
            ({"trials": -1}, "trials must be from 0"),
            ({"at_once": 0}, "at_once must be from 1"),
            ({"score": None}, "say what is to be high"),
            ({"score": "sharpnes"}, r"unknown scorer 'sharpnes'.*did you mean sharpness\?"),
            ({"output": "one.png"}, "one.png names one picture"),
            ({"stepz": 3}, r"stepz \(did you mean steps\?\)"),
        ],
    )
    def test_bad_arguments_are_one_line(
        self, arguments: dict[str, Any], line: str, optimize: Optimize
    ) -> None:
        with pytest.raises(UsageError, match=line) as error:
            optimize(**{"score": sharp, **arguments})
        assert "\n" not in str(error.value)

    def test_a_study_that_is_not_there_is_not_opened(self, studio: Studio) -> None:
        with pytest.raises(UsageError, match=r"there is no study boats in .*: give it a space"):
            studio.optimize(name="boats")
        with pytest.raises(UsageError, match="give a space, such as"):
            studio.optimize(score=sharp)

    def test_without_optuna_the_line_that_installs_it_is_told(
        self, optimize: Optimize, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(__import__("sys").modules, "optuna", None)
        with pytest.raises(UsageError, match=r'pip install "imagen_nb\[optimize\]"'):
            optimize(score=sharp)


class TestShown:
    def test_in_a_line_and_as_a_table(self, optimize: Optimize) -> None:
        study = optimize(score=sharp, trials=3)
        best = study.best
        assert repr(study).startswith("<Study boats: 3 of 3 trials have a score; best: trial ")
        page = study._repr_mimebundle_()["text/html"]
        assert page.count("<tr>") == 4
        assert page.index(f"<td>{best['trial']}</td>") < page.index("</tr>", page.index("<tbody>"))

    def test_prompts_are_text(self, optimize: Optimize) -> None:
        evil = '<img src=x onerror="alert(1)"> {a|b} \u202e $x$'
        study = optimize({"prompt": evil}, score=sharp, trials=1, steps=1)
        page = study._repr_mimebundle_()["text/html"]
        assert "<img" not in page
        assert "\u202e" not in page + repr(study)
        assert "mathjax_ignore" in page

    def test_before_anything_has_a_score(self, optimize: Optimize) -> None:
        with pytest.raises(ZeroDivisionError):
            optimize(score=_fails, trials=1)
        study = optimize(None, trials=0)
        assert repr(study) == "<Study boats: 0 of 1 trials have a score>"
        assert len(study.front()) == 0
        with pytest.raises(UsageError, match="no trial has a score yet"):
            _ = study.best


def _fails(picture: im.Picture) -> float:
    raise ZeroDivisionError
