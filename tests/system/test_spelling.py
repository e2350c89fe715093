"""The name that was probably meant: in any case, and none rather than a wrong one."""

from __future__ import annotations

import pytest

from imagen_nb.system.spelling import describe_meant, nearest_name


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
