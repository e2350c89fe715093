"""Words of prompts as settings: in one place of prompts, and across prompts."""

from __future__ import annotations

import numpy as np
import pandas as pd

from imagen_nb.frames.effects.estimating import estimate_effects
from imagen_nb.frames.effects.prompt_words import alternatives, scattered_words


def levels(prompts: list[str]) -> list[tuple[str, ...]]:
    return [one.factor.labels for one in alternatives(prompts)]


def test_places_of_a_template_are_settings_of_their_own() -> None:
    prompts = [
        f"a {colour} boat, {style}"
        for colour in ("red", "blue", "dark green")
        for style in ("flat", "pencil sketch")
    ]
    found = levels(prompts)
    assert sorted(found) == [("“blue”", "“dark green”", "“red”"), ("“flat”", "“pencil sketch”")]
    (colours,) = (one for one in alternatives(prompts) if len(one.factor.labels) == 3)
    assert colours.places.tolist() == [0, 1, 0, 1, 0, 1]


def test_a_word_more_is_beside_nothing() -> None:
    assert levels(["a boat", "a red boat"]) == [("nothing", "“red”")]


def test_prompts_that_differ_in_several_places_are_not_compared() -> None:
    assert levels(["a red boat, flat", "a blue boat, sketch"]) == []
    assert levels(["a boat", "a boat"]) == []
    assert levels([]) == []


def test_words_are_compared_with_the_same_seed_and_settings_beside_them() -> None:
    product = pd.MultiIndex.from_product(
        [["a red boat", "a blue boat"], range(12), [4, 8]], names=["prompt", "seed", "steps"]
    )
    frame = product.to_frame(index=False)
    rng = np.random.default_rng(2)
    of_seeds = 5 * rng.normal(size=12)[frame["seed"]]
    red = frame["prompt"].str.contains("red")
    frame["score"] = of_seeds + red + 3 * (frame["steps"] == 8) + rng.normal(0, 0.3, len(frame))
    effects = estimate_effects(frame, "score", words=True).set_index("setting")
    words = effects.loc["words"]
    assert words["said"].startswith("“red” instead of “blue”: score 0.")
    assert words["low"] < 1 < words["high"] < 2
    assert words["within"] == "prompt but for the words, and seed"
    assert "words" not in set(estimate_effects(frame, "score")["setting"])


def test_words_across_prompts_are_as_certain_as_there_are_prompts() -> None:
    prompts = [f"thing{n} near place{n} {'night' if n % 2 else 'day'}" for n in range(12)]
    rows = [(prompt, seed) for prompt in prompts for seed in range(20)]
    frame = pd.DataFrame(rows, columns=["prompt", "seed"])
    of_prompts = np.random.default_rng(1).normal(size=12)
    frame["score"] = of_prompts[np.arange(len(frame)) // 20]
    (row,) = estimate_effects(frame, "score", words=True).to_dict("records")
    assert {row["level"], row["reference"]} == {"with “day”", "with “night”"}
    assert (row["blocks"], row["within"]) == (12, "all")
    assert "12 prompts" in row["said"]
    assert row["p"] > 0.05  # twenty seeds of a prompt say no more of it than one


def test_two_words_of_which_each_prompt_has_one_are_one_setting() -> None:
    prompts = [f"x{n} {'night' if n % 2 else 'day'}" for n in range(12)]
    found = scattered_words(prompts, set())
    assert [factor.labels for factor in found] == [("with “night”", "with “day”")]
    assert scattered_words(prompts, {"night", "day"}) == []
