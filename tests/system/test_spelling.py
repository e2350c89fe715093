"""The name that was probably meant: in any case, and none rather than a wrong one."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import imagen_nb as im
from imagen_nb.errors import UsageError
from imagen_nb.system.spelling import describe_meant, known_arguments, nearest_name


@pytest.mark.parametrize(
    ("given", "meant"),
    [("stesp", "steps"), ("STEPS", "steps"), ("promt", "prompt"), ("colour", None), ("", None)],
)
def test_the_nearest_name_is_found_in_any_case(given: str, meant: str | None) -> None:
    assert nearest_name(given, ["steps", "prompt", "seed"]) == meant


@pytest.mark.parametrize("given", [None, 3, ["steps"], "steps" * 1000])
def test_what_is_no_name_means_none(given: object) -> None:
    assert nearest_name(given, ["steps"]) is None
    assert describe_meant(given, ["steps"]) == ""


def test_a_hint_ends_an_error() -> None:
    assert describe_meant("stesp", ["steps", "seed"]) == "; did you mean steps?"


def draw(self: object, prompt: str, *, steps: int = 4) -> str:
    return f"{prompt} {steps}"


def test_an_unknown_argument_is_answered_with_what_was_meant_or_all_there_are() -> None:
    checked = known_arguments(draw)
    assert checked(None, prompt="a boat", steps=2) == "a boat 2"
    with pytest.raises(UsageError, match=r"^unknown argument stesp; did you mean steps\?$"):
        checked(None, "a boat", stesp=2)
    with pytest.raises(UsageError, match=r"^unknown argument colour: give prompt, steps$"):
        checked(None, "a boat", colour=2)


FUNCTIONS = [getattr(im, name) for name in im.__all__ if inspect.isfunction(getattr(im, name))]
# Those that take whatever a backend takes answer in their own tests.
FIXED = [each for each in FUNCTIONS if inspect.getfullargspec(each).varkw is None]


@pytest.mark.parametrize("function", FIXED, ids=lambda function: function.__name__)
def test_a_public_function_refuses_an_unknown_argument_in_one_line(function: Any) -> None:
    with pytest.raises(UsageError, match=r"^unknown argument nonsense"):
        function(nonsense=1)
