"""Requests: what is accepted, what is refused and how, and the order of grids and wildcards."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagen_nb.errors import ImagenError, UsageError
from imagen_nb.request.request import MAX_SEED, Defaults, Limits, Request, random_seed, resolve
from imagen_nb.request.sweep import expanded_prompts, make_grid
from imagen_nb.request.sweep_syntax import escape, expand, parse_floats, parse_ints, parse_sizes

DEFAULTS = Defaults(steps=4, guidance=0.0, width=128, height=128, max_sequence_length=64)
LIMITS = Limits(min_side=64, max_side=256, multiple=16, max_sequence_length=256)
ROOM: dict[str, Any] = {"defaults": DEFAULTS, "limits": LIMITS}


def refusal(call: Any, *args: Any, **kwargs: Any) -> str:
    """The one line with which the call is refused."""
    with pytest.raises(UsageError) as caught:
        call(*args, **kwargs)
    message = str(caught.value)
    assert message
    assert "\n" not in message
    return message


def test_what_is_not_said_comes_from_the_model() -> None:
    request = resolve("a boat", **ROOM, seed=11)
    assert request == Request("a boat", 11, 4, 128, 128, 0.0, 64)


def test_what_is_said_wins_over_the_model() -> None:
    request = resolve(
        "a boat",
        **ROOM,
        seed=0,
        steps=8,
        width=192,
        height=64,
        guidance=3.5,
        max_sequence_length=32,
        tags=["sea"],
    )
    assert request == Request("a boat", 0, 8, 192, 64, 3.5, 32, ("sea",))


def test_without_a_seed_one_is_drawn_by_lot_each_time() -> None:
    seeds = {resolve("a boat", **ROOM).seed for _ in range(20)}
    assert len(seeds) > 1
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_a_seed_of_nought_is_a_seed() -> None:
    assert resolve("a boat", **ROOM, seed=0).seed == 0


@pytest.mark.parametrize("seed", [MAX_SEED, np.int64(7), np.uint8(3)])
def test_whole_numbers_of_any_kind_become_plain_ones(seed: Any) -> None:
    kept = resolve("a boat", **ROOM, seed=seed).seed
    assert type(kept) is int
    assert kept == operator.index(seed)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("seed", -1, "from 0 to 9007199254740991, not -1"),
        ("seed", 2**60, "from 0 to 9007199254740991"),
        ("seed", 1.5, "whole number, not 1.5"),
        ("seed", True, "whole number, not True"),
        ("seed", "11", "whole number, not '11'"),
        ("steps", 0, "from 1 to 200, not 0"),
        ("steps", 201, "from 1 to 200"),
        ("width", 0, "from 64 to 256, not 0"),
        ("width", 130, "multiple of 16, not 130: try 128 or 144"),
        ("width", 10**6, "from 64 to 256, not 1000000"),
        ("height", -128, "from 64 to 256"),
        ("height", float("nan"), "whole number"),
        ("guidance", float("nan"), "from 0 to 100, not nan"),
        ("guidance", float("inf"), "from 0 to 100, not inf"),
        ("guidance", -0.5, "from 0 to 100"),
        ("guidance", "much", "a number, not 'much'"),
        ("guidance", True, "a number, not True"),
        ("guidance", 10**400, "from 0 to 100"),
        ("max_sequence_length", 0, "from 1 to 256"),
        ("max_sequence_length", 512, "from 1 to 256"),
    ],
)
def test_what_cannot_be_drawn_is_refused_by_name(field: str, value: Any, says: str) -> None:
    message = refusal(resolve, "a boat", **ROOM, **{field: value})
    assert message.startswith(field)
    assert says in message


@pytest.mark.parametrize(
    "seed", [10**5000, np.arange(10_000), ["x"] * 10_000], ids=["number", "array", "list"]
)
def test_a_refusal_is_short_however_long_the_value(seed: Any) -> None:
    assert len(refusal(resolve, "a boat", **ROOM, seed=seed)) < 150


def test_near_the_limits_only_sides_that_are_allowed_are_suggested() -> None:
    odd = Limits(min_side=60, max_side=250, multiple=16)
    assert refusal(resolve, "x", defaults=DEFAULTS, limits=odd, width=250).endswith("try 240")
    assert refusal(resolve, "x", defaults=DEFAULTS, limits=odd, width=60).endswith("try 64")


@pytest.mark.parametrize("prompt", ["", "  ", "\n\t", "\N{IDEOGRAPHIC SPACE}"])
def test_a_blank_prompt_is_refused(prompt: str) -> None:
    assert refusal(resolve, prompt, **ROOM) == "the prompt is empty: say what to draw"


@pytest.mark.parametrize("prompt", [None, 3, b"a boat", ["a boat"]])
def test_a_prompt_that_is_no_text_is_refused(prompt: Any) -> None:
    assert "must be text" in refusal(resolve, prompt, **ROOM)


def test_half_a_character_is_refused_and_its_place_named() -> None:
    assert "position 2" in refusal(resolve, "a \ud83d boat", **ROOM)


@given(st.text(st.characters(codec="utf-8")))
def test_any_text_that_is_not_blank_stays_as_it_is(prompt: str) -> None:
    if prompt.strip():
        assert resolve(prompt, **ROOM).prompt == prompt


def test_tags_are_stripped_and_kept_once_in_order() -> None:
    assert resolve("x", **ROOM, tags=[" sea", "boat", "sea "]).tags == ("sea", "boat")
    assert resolve("x", **ROOM, tags="sea").tags == ("sea",)


@pytest.mark.parametrize("tag", ["", " ", "two\nlines", "\x1b[31m", 3])
def test_what_is_no_tag_is_refused(tag: Any) -> None:
    assert "a tag must be" in refusal(resolve, "x", **ROOM, tags=[tag])


def test_every_refusal_is_an_imagen_error_and_a_value_error() -> None:
    assert issubclass(UsageError, ImagenError)
    assert issubclass(UsageError, ValueError)
    assert UsageError.exit_code == 2


@pytest.mark.parametrize(
    ("prompt", "texts"),
    [
        ("a boat", ["a boat"]),
        ("{red|blue} boat", ["red boat", "blue boat"]),
        ("{a|b} {1|2}", ["a 1", "a 2", "b 1", "b 2"]),
        ("{red|{dark|pale} blue} boat", ["red boat", "dark blue boat", "pale blue boat"]),
        ("{|red }boat", ["boat", "red boat"]),
        ("{one}", ["one"]),
        ("{}", [""]),
        ("a|b", ["a|b"]),
        (r"\{a\|b\}", ["{a|b}"]),
        (r"{a\|b|c}", ["a|b", "c"]),
        (r"C:\new", [r"C:\new"]),
        ("", [""]),
    ],
)
def test_alternatives_expand_in_order(prompt: str, texts: list[str]) -> None:
    assert expand(prompt) == texts


@pytest.mark.parametrize("prompt", ["{red", "red}", "{a|{b}", "{a}}", "}{", "{" * 10_000])
def test_a_brace_without_its_partner_is_refused(prompt: str) -> None:
    assert "write \\" in refusal(expand, prompt)


@pytest.mark.parametrize(
    "prompt",
    [
        "{a|b}" * 60,
        "{" + "{a|b}" * 16 + "}{" + "{a|b}" * 16 + "}",
        "{" + "|".join(["{a|b}" * 16] * 9) + "}",
    ],
)
def test_alternatives_without_end_are_refused_before_they_fill_the_memory(prompt: str) -> None:
    assert "alternatives" in refusal(expand, prompt)


@given(st.text(st.characters(codec="utf-8")))
def test_a_prompt_with_escaped_braces_is_itself(prompt: str) -> None:
    assert expand(escape(prompt)) == [prompt]


@given(st.text("{}|\\ab", max_size=30))
def test_any_text_expands_or_is_refused_in_one_line(prompt: str) -> None:
    try:
        texts = expand(prompt)
    except UsageError:
        refusal(expand, prompt)
    else:
        assert texts


def test_a_grid_runs_prompt_slowest_and_seed_fastest() -> None:
    made = make_grid(
        expanded_prompts(["{red|blue} boat"]),
        **ROOM,
        seeds=[1, 2],
        steps=[2, 4],
        size=[(64, 64), (128, 64)],
    )
    seen = [(r.prompt, r.width, r.steps, r.seed) for r in made.requests]
    assert seen == [
        (prompt, width, steps, seed)
        for prompt in ("red boat", "blue boat")
        for width in (64, 128)
        for steps in (2, 4)
        for seed in (1, 2)
    ]


def test_the_axes_of_a_grid_are_what_varies() -> None:
    made = make_grid(
        expanded_prompts("{red|blue} boat"), **ROOM, seeds=range(3), steps=4, guidance=0
    )
    assert [(axis.name, axis.values) for axis in made.axes] == [
        ("prompt", ("red boat", "blue boat")),
        ("seed", (0, 1, 2)),
    ]


def test_a_single_seed_number_is_that_seed() -> None:
    assert [r.seed for r in make_grid(["x"], **ROOM, seeds=8).requests] == [8]


def test_without_seeds_one_random_seed_serves_the_whole_grid() -> None:
    made = make_grid(["x", "y"], **ROOM, steps=[1, 2])
    assert len({r.seed for r in made.requests}) == 1


def test_numpy_ranges_and_generators_are_lists_too() -> None:
    made = make_grid(["x"], **ROOM, seeds=np.arange(3), guidance=(g / 2 for g in range(2)))
    assert [(r.guidance, r.seed) for r in made.requests] == [
        (0.0, 0),
        (0.0, 1),
        (0.0, 2),
        (0.5, 0),
        (0.5, 1),
        (0.5, 2),
    ]


def test_one_size_may_be_a_list_a_tuple_or_a_list_of_them() -> None:
    for size in ((64, 128), [64, 128], [(64, 128)], [[64, 128]]):
        request = make_grid(["x"], **ROOM, size=size).requests[0]
        assert (request.width, request.height) == (64, 128)


@pytest.mark.parametrize("size", [64, (64, 64, 64), [64], "64x64", [(64,)]])
def test_what_is_no_size_is_refused(size: Any) -> None:
    refusal(make_grid, ["x"], **ROOM, size=size)


def test_an_empty_list_or_a_grid_without_end_is_refused() -> None:
    assert "empty" in refusal(make_grid, [], **ROOM)
    assert "empty" in refusal(make_grid, ["x"], **ROOM, seeds=[])
    assert "split it" in refusal(make_grid, ["x"], **ROOM, seeds=range(1001), steps=range(1, 200))


def test_one_bad_value_refuses_the_whole_grid() -> None:
    assert "multiple of 16" in refusal(make_grid, ["x"], **ROOM, size=[(64, 64), (130, 64)])
    assert "list of numbers" in refusal(make_grid, ["x"], **ROOM, seeds="1..8")


def test_ranges_are_read_with_both_ends() -> None:
    assert parse_ints("1..4,12") == [1, 2, 3, 4, 12]
    assert parse_ints(" 7 ") == [7]
    assert parse_floats("0,3.5") == [0.0, 3.5]
    assert parse_sizes("128x128, 192X128") == [(128, 128), (192, 128)]


@pytest.mark.parametrize("text", ["", "a", "1..", "..3", "1.5", "3..1", "0..9999999999", "1,,2"])
def test_what_is_no_list_of_whole_numbers_is_refused(text: str) -> None:
    refusal(parse_ints, text)


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parse_floats, "a"),
        (parse_floats, ""),
        (parse_sizes, "128"),
        (parse_sizes, "axb"),
        (parse_sizes, ""),
    ],
)
def test_what_is_no_list_of_numbers_or_sizes_is_refused(parse: Any, text: str) -> None:
    refusal(parse, text)


@given(st.lists(st.integers(0, MAX_SEED), min_size=1, max_size=20))
def test_numbers_written_with_commas_read_back(numbers: list[int]) -> None:
    assert parse_ints(",".join(map(str, numbers))) == numbers


def test_random_seeds_are_short_enough_to_read_aloud() -> None:
    assert max(random_seed() for _ in range(100)) < 2**32
