"""Spaces: what varies, how it is kept, and what is refused before anything is drawn."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagen_nb.errors import UsageError
from imagen_nb.request.sweep_syntax import expand, split_groups
from imagen_nb.request.wildcards import NO_WILDCARDS, Wildcards
from imagen_nb.studio.optimizing.space import SearchSpace, parse_space, restored_space
from imagen_nb.studio.optimizing.study import Study

from .conftest import step_count


def parsed(space: Any, wildcards: Wildcards = NO_WILDCARDS) -> SearchSpace:
    return parse_space(space, wildcards, lambda: 16)


def labels(space: SearchSpace, place: int = 0) -> dict[str, Any]:
    """Optuna's values of each dimension: the lowest, or the choice at this place."""
    return {
        one.name: getattr(one, "labels", (getattr(one, "low", None),))[place]
        for one in space.dimensions
    }


class TestParsing:
    def test_a_tuple_is_a_range_and_a_list_has_choices(self) -> None:
        space = parsed({"prompt": "a boat", "steps": (2, 8), "guidance": [2.5, 3.5, 5]})
        assert space.names == ["prompt", "steps", "guidance"]
        assert space.size == 21
        assert space.settings({"steps": 3, "guidance": 5}) == {
            "prompt": "a boat",
            "steps": 3,
            "guidance": 5,
        }

    def test_broken_numbers_have_no_end_of_settings(self) -> None:
        assert parsed({"prompt": "a boat", "strength": (0.2, 1)}).size == math.inf

    def test_each_group_of_a_prompt_varies_by_itself(self) -> None:
        space = parsed({"prompt": "a {red|{light|dark} blue} boat, {flat|sketch}"})
        assert [one.name for one in space.dimensions] == ["prompt 1", "prompt 2"]
        assert space.names == ["prompt"]
        assert space.size == 6
        chosen = {"prompt 1": "dark blue", "prompt 2": "flat"}
        assert space.settings(chosen) == {"prompt": "a dark blue boat, flat"}

    def test_braces_that_are_meant_as_such_stay(self) -> None:
        space = parsed({"prompt": r"a \{boat\}", "steps": [1, 2]})
        assert space.settings({"steps": 1})["prompt"] == "a {boat}"

    def test_several_prompts_are_choices_with_their_alternatives(self) -> None:
        space = parsed({"prompt": ["a {red|blue} boat", "a house"]})
        assert space.size == 3
        assert space.settings({"prompt": "a house"}) == {"prompt": "a house"}

    def test_wildcards_are_choices(self, tmp_path: Path) -> None:
        (tmp_path / "colour.txt").write_text("red\nblue\n")
        assert parsed({"prompt": "a __colour__ boat"}, Wildcards(str(tmp_path))).size == 2

    def test_sides_are_multiples_of_what_the_model_draws(self) -> None:
        (width,) = parsed({"prompt": "a boat", "width": (64, 130)}).dimensions
        assert (width.low, width.high, width.step, len(width)) == (64, 128, 16, 5)  # type: ignore[union-attr]

    def test_sizes_are_pairs(self) -> None:
        space = parsed({"prompt": "a boat", "size": [(64, 64), (96, 64)]})
        assert space.settings(labels(space, 1))["size"] == (96, 64)

    def test_numbers_of_numpy_are_numbers(self) -> None:
        space = parsed(
            {
                "prompt": "a boat",
                "steps": tuple(np.array([2, 8])),
                "guidance": [*np.array([1.5, 2])],
            }
        )
        assert space.size == 14
        assert json.dumps(space.as_json())


@given(
    st.lists(
        st.one_of(
            st.text(st.characters(exclude_characters="{}\\", codec="utf-8"), max_size=5),
            st.lists(st.text("abc ", max_size=3), min_size=1, max_size=3),
        ),
        max_size=5,
    )
)
def test_the_parts_of_a_prompt_combine_to_its_alternatives(parts: list[Any]) -> None:
    prompt = "".join(
        part if isinstance(part, str) else "{" + "|".join(part) + "}" for part in parts
    )
    combined = ["".join(each) for each in itertools.product(*split_groups(prompt))]
    assert combined == expand(prompt)


@pytest.mark.parametrize("prompt", ["a {red boat", "a red} boat", "{" * 30 + "a"])
def test_a_brace_without_its_partner_is_the_same_error(prompt: str) -> None:
    with pytest.raises(UsageError) as by_parts:
        split_groups(prompt)
    with pytest.raises(UsageError) as by_expanding:
        expand(prompt)
    assert str(by_parts.value) == str(by_expanding.value)


@pytest.mark.parametrize(
    "space",
    [
        {"prompt": "a boat", "steps": (2, 8), "guidance": [2.5, 3.5]},
        {"prompt": "a {red|blue} boat", "strength": (0.25, 1.0)},
        {"prompt": "a {red|blue} {boat|house}", "size": [(64, 64), (96, 64)], "true_cfg": 2.0},
        {"prompt": ["a boat", r"a \{b\}"], "scheduler": [None, "x"]},
    ],
)
def test_a_space_comes_back_from_its_file(space: dict[str, Any]) -> None:
    made = parsed(space)
    kept = json.loads(json.dumps(made.as_json()))
    again = restored_space(kept)
    assert again.as_json() == made.as_json()
    assert again.settings(labels(again)) == made.settings(labels(made))


REFUSED = {
    "no mapping": ([("steps", (1, 2))], "a space is a mapping"),
    "empty": ({}, "a space is a mapping"),
    "nothing varies": ({"prompt": "a boat", "steps": 4}, "nothing varies in this space"),
    "no prompt": ({"steps": (1, 4)}, "says not what to draw"),
    "empty prompt": ({"prompt": " ", "steps": (1, 4)}, "the prompt is empty"),
    "half a brace": ({"prompt": "a {red boat"}, "without '}'"),
    "three numbers": ({"prompt": "a", "steps": (1, 2, 3)}, r"a tuple is a range \(low, high\)"),
    "words": ({"prompt": "a", "scheduler": ("a", "b")}, r"a tuple is a range \(low, high\)"),
    "booleans": ({"prompt": "a", "steps": (False, True)}, r"a tuple is a range \(low, high\)"),
    "backwards": ({"prompt": "a", "steps": (8, 2)}, "from a number to a higher one"),
    "nan": ({"prompt": "a", "guidance": (math.nan, 2.0)}, "from a number to a higher one"),
    "endless": ({"prompt": "a", "guidance": (0.0, math.inf)}, "a range has an end"),
    "no choices": ({"prompt": "a", "steps": []}, "nothing to choose from"),
    "seeds": ({"prompt": "a", "seed": (1, 5)}, "give seeds=, not in the space"),
    "tags": ({"prompt": "a", "tags": [["a"], ["b"]]}, "give tags= beside the space"),
    "a secret": ({"prompt": "a", "api_token": "r8_secret", "steps": (1, 2)}, "beside the space"),
    "an object": ({"prompt": "a", "steps": [object(), 2]}, "cannot keep <object"),
    "too many steps": ({"prompt": "a", "steps": (2, 5000)}, "steps must be from 1 to"),
    "an odd size": ({"prompt": "a", "size": [(64, 64), (65, 64)]}, "65"),
    "another model's": ({"prompt": "a", "mask": ["a.png"]}, "a.png|mask"),
    "misspelt": ({"prompt": "a", "stepz": (2, 5)}, r"stepz \(did you mean steps\?\)"),
    "an unknown scheduler": ({"prompt": "a", "scheduler": ["nope"]}, "no scheduler 'nope'"),
    "twice": ({"prompt": "a", "steps": (1, 2), "size": [(64, 64)]}, "size is in the space"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_searched_is_one_line_and_draws_nothing(
    case: str, optimize: Callable[..., Study], folder: Path
) -> None:
    space, line = REFUSED[case]
    size = None if case == "an odd size" else (64, 64)
    with pytest.raises(UsageError, match=line) as error:
        optimize(space, score=step_count, trials=2, size=size)
    assert "\n" not in str(error.value)
    assert not [*folder.glob("*.png")]
    assert not [*folder.glob(".imagen/studies/*.jsonl")]
