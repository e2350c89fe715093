"""What a search is for: functions, scorers, numbers of records, and which way is better."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagen_nb.errors import UsageError
from imagen_nb.studio.optimizing.goals import Goal, Measure, mean_and_error, parse_goals
from imagen_nb.studio.optimizing.sampling import front_of, is_better
from imagen_nb.studio.optimizing.study import Study

from .conftest import step_count


def by_scorer(name: str) -> Measure:
    if name != "clip":
        raise UsageError(f"unknown scorer {name!r}")
    return lambda pictures: [0.5] * len(pictures)


def parsed(score: Any, goals: Any = None) -> list[tuple[str, str]]:
    return [(goal.name, goal.direction) for goal in parse_goals(score, goals, by_scorer)]


def test_each_has_a_name_and_a_usual_direction() -> None:
    assert parsed(step_count) == [("step_count", "max")]
    assert parsed("clip") == [("clip", "max")]
    assert parsed(["clip", "latency_ms"]) == [("clip", "max"), ("latency_ms", "min")]
    assert parsed(lambda one: 1.0) == [("score", "max")]
    assert parsed("votes") == [("votes", "max")]


def test_a_direction_can_be_given_for_all_or_by_name() -> None:
    assert parsed(step_count, "min") == [("step_count", "min")]
    assert parsed([step_count, "clip"], {"clip": "min"}) == [("step_count", "max"), ("clip", "min")]


@pytest.mark.parametrize(
    ("score", "goals", "line"),
    [
        ([], None, "score is empty"),
        (5, None, "score is a function of a picture"),
        ("nope", None, "unknown scorer 'nope'"),
        (["clip", "clip"], None, "two goals have one name"),
        ([lambda one: 1, lambda one: 2], None, "two goals have one name"),
        ("clip", "up", "a goal is max or min"),
        ("clip", {"clap": "max"}, "no goal is named 'clap'.*did you mean clip"),
    ],
)
def test_what_is_no_goal_is_one_line(score: Any, goals: Any, line: str) -> None:
    with pytest.raises(UsageError, match=line) as error:
        parsed(score, goals)
    assert "\n" not in str(error.value)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=9))
def test_mean_and_standard_error_are_those_of_statistics(numbers: list[float]) -> None:
    mean, error = mean_and_error(numbers)
    assert mean == pytest.approx(statistics.fmean(numbers))
    expected = statistics.stdev(numbers) / math.sqrt(len(numbers))
    assert error == pytest.approx(expected, abs=1e-6)


def test_one_number_has_no_error_and_none_has_no_mean() -> None:
    assert mean_and_error([2.0])[0] == 2.0
    assert math.isnan(mean_and_error([2.0])[1])
    assert math.isnan(mean_and_error([])[0])


GOALS = (Goal("good", "max"), Goal("slow", "min"))


@given(st.dictionaries(st.integers(0, 99), st.tuples(*[st.integers(0, 5)] * 2), min_size=1))
def test_the_front_is_what_no_other_beats(values: dict[int, Sequence[float]]) -> None:
    front = front_of(GOALS, values)
    assert front
    for number, own in values.items():
        beaten = any(is_better(GOALS, values[other], own) for other in front)
        assert beaten == (number not in front)
    first = [values[number][0] for number in front]
    assert first == sorted(first, reverse=True)


def test_several_goals_give_a_front(optimize: Callable[..., Study]) -> None:
    def few(picture: Any) -> float:
        return float(picture.record.steps)

    study = optimize(
        {"prompt": "a {red|blue} boat", "steps": (1, 4)},
        score=["sharpness", few],
        goals={"few": "min"},
        trials=6,
        seeds=[1],
    )
    frame, front = study.frame(), study.front()
    assert front["few"].iloc[-1] == frame["few"].min()
    assert front["sharpness"].iloc[0] == frame["sharpness"].max()
    assert front["few"].is_monotonic_decreasing
    with pytest.raises(UsageError, match=r"no trial is best in sharpness, few: see study.front"):
        _ = study.best
    assert "best sharpness: trial" in repr(study)


def test_a_score_cannot_hide_a_setting(optimize: Callable[..., Study]) -> None:
    def steps(picture: Any) -> float:
        return step_count(picture)

    with pytest.raises(UsageError, match="a score cannot be named steps"):
        optimize({"prompt": "a boat", "steps": (1, 4)}, score=steps)
