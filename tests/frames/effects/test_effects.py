"""What is told of a history's settings, and what is said where nothing can be told."""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
import pandas as pd
import pytest

import imagen_nb as im
from imagen_nb.errors import UsageError
from imagen_nb.frames.effects.estimating import COLUMNS, estimate_effects
from tests.fixtures.evil import EVIL, steers
from tests.fixtures.simulated_histories import balanced, times


def sweep(prompts: int = 4, seeds: int = 5, **levels: list[Any]) -> pd.DataFrame:
    """Every combination, rated by its block and by noise."""
    names = ["prompt", "seed", *levels]
    product = pd.MultiIndex.from_product(
        [[f"p{n}" for n in range(prompts)], range(seeds), *levels.values()], names=names
    )
    frame = product.to_frame(index=False)
    rng = np.random.default_rng(8)
    liked = 3 + rng.normal(0, 0.8, len(frame))
    return frame.assign(rating=np.clip(np.round(liked), 1, 5))


def untold(effects: pd.DataFrame) -> str:
    return "\n".join([*effects.attrs["confounded"], *effects.attrs["untold"]])


class TestTold:
    def test_a_setting_that_matters_is_a_row_and_a_sentence(self) -> None:
        frame = balanced(np.random.default_rng(1), {"steps": 1.0})
        effects = estimate_effects(frame, "rating")
        assert [*effects.columns] == [*COLUMNS]
        steps = effects.set_index("setting").loc["steps"]
        assert (steps["level"], steps["reference"], steps["unit"]) == ("8", "4", "stars")
        assert steps["low"] < steps["effect"] < steps["high"]
        assert 0.5 < steps["superiority_low"] < steps["superiority"] <= 1
        assert steps["p_adjusted"] < 0.05
        assert (steps["pictures"], steps["blocks"]) == (96, 24)
        assert steps["within"] == "prompt and seed"
        wanted = (
            f"8 steps instead of 4: rated {steps['effect']:.1f} stars higher "
            f"({steps['low']:.1f} to {steps['high']:.1f}), the better one in "
            f"{100 * steps['superiority']:.0f} % of pairs, 24 blocks"
        )
        assert steps["said"] == wanted
        assert f"- {wanted}" in effects.attrs["summary"].splitlines()

    def test_a_latency_is_told_in_percent(self) -> None:
        frame = times(np.random.default_rng(1), {"steps": np.log(2)})
        steps = estimate_effects(frame, "latency_ms").set_index("setting").loc["steps"]
        assert steps["low"] < 100 < steps["high"]
        assert steps["unit"] == "%"
        assert "% longer (" in steps["said"]
        assert np.isnan(steps["superiority"])

    def test_prompts_that_are_liked_anyway_move_nothing(self) -> None:
        """Good prompts had more steps: without blocks that would be an effect of 2 stars."""
        frame = sweep(prompts=6, steps=[4, 8], scheduler=["a", "b"])
        good = frame["prompt"].isin(["p0", "p1", "p2"])
        frame["rating"] = frame["rating"] * 0.25 + np.where(good, 3, 1)
        usual = frame[np.where(good, frame["steps"] == 8, frame["steps"] == 4)]
        few = frame[(frame["seed"] == 0) & (frame["scheduler"] == "a")]
        frame = pd.concat([usual, few]).drop_duplicates()
        rows = estimate_effects(frame, "rating").set_index("setting").loc[["steps"]]
        assert rows["effect"].abs().max() < 0.6
        assert rows["p"].min() > 0.01

    def test_pictures_with_seeds_of_their_own_are_compared_within_prompts(self) -> None:
        frame = sweep(steps=[4, 8]).assign(seed=range(40))
        (row,) = estimate_effects(frame, "rating").to_dict("records")
        assert row["within"] == "prompt"
        assert "40 seeds" in row["said"]
        assert estimate_effects(frame.assign(seed=None), "rating")["p"][0] == row["p"]

    def test_many_numbers_are_a_slope_between_quartiles(self) -> None:
        frame = sweep(guidance=[float(n) for n in range(9)])
        frame["score"] = frame["guidance"] * 0.5
        (row,) = estimate_effects(frame, "score", settings="guidance").to_dict("records")
        assert (row["level"], row["reference"]) == ("6", "2")
        assert row["effect"] == pytest.approx(2.0)
        assert "(along a straight line)" in row["said"]

    def test_settings_of_ones_own_missing_values_and_truth_values(self) -> None:
        frame = sweep(seeds=8, flag=[True, False], mood=["calm", None])
        effects = estimate_effects(frame, "rating", settings=["flag", "mood"])
        told = {tuple(row) for row in effects[["setting", "level", "reference"]].to_numpy()}
        assert told == {("flag", "yes", "no"), ("mood", "calm", "none")}
        assert len(estimate_effects(frame, "rating")) == 0

    def test_texts_that_begin_alike_are_levels_of_their_own(self) -> None:
        begins = "blurry, low quality, watermark, text, signature, "
        frame = sweep(negative_prompt=[begins + "frame", begins + "jpeg", ""])
        effects = estimate_effects(frame, "rating")
        (reference,) = {*effects["reference"]}
        labels = {*effects["level"], reference}
        assert len(labels) == 3
        assert "(empty)" in labels
        assert max(map(len, labels)) < 50

    def test_numbers_beyond_all_numbers_are_none(self) -> None:
        frame = sweep(guidance=[0.0, float("inf"), -float("inf"), *map(float, range(1, 9))])
        told = {
            tuple(row)
            for row in estimate_effects(frame, "rating")[["level", "reference"]].to_numpy()
        }
        assert told == {("6", "2"), ("none", "given")}

    def test_a_lora_is_told_beside_leaving_it_out(self) -> None:
        frame = sweep(**{"LoRA flat": [0.0, 0.5, 1.0]})
        said = "\n".join(estimate_effects(frame, "rating")["said"])
        assert "LoRA flat at 0.5 instead of left out: " in said
        assert "LoRA flat at 1 instead of left out: " in said

    def test_pairs_that_interact_are_told_and_others_not(self) -> None:
        frame = sweep(prompts=6, steps=[4, 8], guidance=[0.0, 3.5])
        both = (frame["steps"] == 8) & (frame["guidance"] == 3.5)
        rng = np.random.default_rng(3)
        alone = rng.normal(size=len(frame))
        (pair,) = estimate_effects(frame.assign(score=alone), "score").attrs["pairs"]
        assert pair["p_adjusted"] > 0.01
        (pair,) = estimate_effects(frame.assign(score=alone + 3 * both), "score").attrs["pairs"]
        assert pair["p_adjusted"] < 1e-4
        assert pair["said"].startswith("8 steps instead of 4: 2.")
        assert pair["said"].endswith(") with guidance 3.5 than with guidance 0")

    def test_an_order_of_names_is_compared_as_an_order(self) -> None:
        frame = sweep(steps=[4, 8])
        grades = pd.cut(frame["rating"] + (frame["steps"] == 8), [0, 2, 4, 7], labels=list("cba"))
        effects = estimate_effects(frame.assign(grade=grades), "grade")
        assert effects["unit"][0] == "levels"
        assert effects["superiority"][0] > 0.5

    def test_strengths_of_a_ranking_are_told_as_votes(self) -> None:
        frame = sweep(steps=[4, 8])
        noise = np.random.default_rng(1).normal(0, 0.2, len(frame))
        frame["strength"] = np.log(3) * (frame["steps"] == 8) + noise
        (said,) = estimate_effects(frame, "votes")["said"]
        assert said.startswith("8 steps instead of 4: preferred in 7")
        assert " % of votes (7" in said

    def test_the_same_frame_in_any_order_and_index_gives_the_same(self) -> None:
        frame = balanced(np.random.default_rng(5), {"steps": 0.5})
        mixed = frame.sample(frac=1, random_state=1).set_index(pd.Index(["a"] * len(frame)))
        first, second = (estimate_effects(one, "rating") for one in (frame, mixed))
        pd.testing.assert_frame_equal(first, second, check_exact=False)
        assert pd.concat([first, first]).attrs == first.attrs  # pandas compares these


class TestNotTold:
    def test_settings_that_always_changed_together_are_one(self) -> None:
        frame = sweep(steps=[4, 8])
        frame["guidance"] = np.where(frame["steps"] == 8, 3.5, 0.0)
        effects = estimate_effects(frame, "rating")
        assert [*effects["setting"]] == ["steps and guidance"]
        assert [*effects["level"]] == ["8 and 3.5"]
        assert effects.attrs["confounded"] == [
            "steps and guidance always changed together: which of them it was cannot be told"
        ]

    def test_what_is_partly_confounded_is_told_as_far_as_it_can_be(self) -> None:
        """One model knows one guidance only: of the other model guidances are compared."""
        frame = sweep(guidance=[0.0, 2.5, 3.5])
        frame["model"] = np.where(frame["guidance"] == 0, "schnell", "dev")
        effects = estimate_effects(frame, "rating")
        assert {*effects["setting"]} == {"guidance"}
        assert {*effects["level"], *effects["reference"]} == {"2.5", "3.5"}
        assert "model schnell instead of dev cannot be told from guidance" in untold(effects)

    @pytest.mark.parametrize(
        ("frame", "reason"),
        [
            (sweep(steps=[4]), "words: no two prompts differ in one place only"),
            (
                sweep(1, 1, steps=[4, 8]).assign(rating=[2, 5]),
                "only 1 block of the 5 that it takes",
            ),
            (sweep(1, 4, steps=[4, 8]), "only 4 blocks of the 5 that it takes"),
            (sweep(steps=[4, 8]).head(1), "all have the same rating: there is nothing to compare"),
            (sweep(steps=[4, 8]).head(0), "rating: no picture has any"),
            (sweep(steps=[4, 8]).assign(rating=None), "rating: no picture has any"),
            (sweep(steps=[4, 8]).assign(rating=3), "all have the same rating"),
            (
                sweep(steps=[4, 8]).assign(prompt=[f"q{n}" for n in range(40)]),
                "steps varies, but never within one prompt",
            ),
            (sweep(steps=[4, 8]).assign(prompt=None), "steps varies, but never within"),
        ],
        ids=[
            "nothing varies",
            "one block",
            "four blocks",
            "one picture",
            "none",
            "no ratings",
            "all alike",
            "other prompts",
            "no prompts",
        ],
    )
    def test_it_says_why(self, frame: pd.DataFrame, reason: str) -> None:
        effects = estimate_effects(frame, "rating", words=True)
        assert len(effects) == 0
        assert [*effects.columns] == [*COLUMNS]
        assert reason in untold(effects)
        assert "nothing can be told" in effects.attrs["summary"]

    def test_what_never_varied_is_named(self) -> None:
        effects = estimate_effects(sweep(steps=[4, 8], model=["m"]), "rating")
        assert effects.attrs["unvaried"] == ["model"]
        assert "never varied: model" in effects.attrs["summary"]
        asked = estimate_effects(sweep(steps=[4, 8]), "rating", settings=["guidance"])
        assert "guidance is not known of these pictures" in untold(asked)

    def test_rows_without_a_rating_are_left_out(self) -> None:
        frame = balanced(np.random.default_rng(2), {})
        more = frame.assign(rating=np.nan, steps=99)
        whole, part = (estimate_effects(one, "rating") for one in (pd.concat([frame, more]), frame))
        pd.testing.assert_frame_equal(whole, part)

    def test_blocks_that_all_agree_are_not_certain(self) -> None:
        frame = sweep(1, 6, steps=[4, 8])
        frame["rating"] = np.where(frame["steps"] == 8, 4, 3)
        (row,) = estimate_effects(frame, "rating").to_dict("records")
        assert row["effect"] == pytest.approx(1)
        assert row["low"] < 0.7
        assert row["high"] > 1.3
        assert row["superiority_low"] < 0.9 < row["superiority"] <= 1
        assert row["p"] >= 2 / 2**6  # what a test of signs gives


class TestRefused:
    @pytest.mark.parametrize(
        ("change", "line"),
        [
            ({"on": "ratng"}, "no column 'ratng' to compare by; did you mean rating"),
            ({"on": "beauty"}, "give rating, votes, steps"),
            ({"on": "prompt"}, "the column 'prompt' is no numbers"),
            ({"on": None}, "on is the name of a column, not NoneType"),
            ({"on": "votes"}, "no votes to compare by: give votes="),
            ({"settings": ["stps"]}, "there is no setting 'stps'; did you mean steps"),
            ({"settings": "xxxxxxxx"}, "settings are columns of the frame"),
            ({"settings": "prompt"}, "words=True compares words of prompts"),
            ({"settings": ["seed"]}, "seed is what pictures are compared within"),
            ({"settings": []}, "settings are names"),
            ({"settings": [3]}, "settings are names"),
            ({"word": True}, "unknown argument word; did you mean words"),
        ],
        ids=str,
    )
    def test_one_line_says_what_to_do(self, change: dict[str, Any], line: str) -> None:
        with pytest.raises(UsageError, match=line.replace("(", r"\(")):
            im.effects(sweep(steps=[4, 8]), **change)

    def test_no_votes_are_none_however_they_are_given(self) -> None:
        with pytest.raises(UsageError, match="no votes to compare by"):
            im.effects(sweep(steps=[4, 8]), "votes", votes=pd.DataFrame())

    def test_columns_that_lack_are_named(self) -> None:
        with pytest.raises(UsageError, match="this frame lacks prompt, seed: start from"):
            im.effects(sweep(steps=[4, 8])[["steps", "rating"]])
        with pytest.raises(UsageError, match="this frame lacks tags"):
            im.effects(sweep(steps=[4, 8]).drop(columns="rating"))
        with pytest.raises(UsageError, match="expected a DataFrame of pictures"):
            im.effects([1, 2])  # type: ignore[arg-type]

    def test_without_scipy_one_line_says_how_to_get_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "scipy", None)
        with pytest.raises(UsageError, match=r'need SciPy: pip install "imagen_nb\[judge\]"'):
            estimate_effects(sweep(steps=[4, 8]), "rating")


def test_names_that_are_not_meant_well_stay_one_line() -> None:
    names = [*EVIL.values()]
    frame = sweep(2, 6, scheduler=names[:8])
    for place, name in enumerate(names):
        weight = np.random.default_rng(place).choice([0.0, 1.0], len(frame))
        frame[f"LoRA {name}"] = weight
    frame["prompt"] = frame["prompt"].map({"p0": names[0], "p1": names[6]})
    effects = estimate_effects(frame, "rating", words=True)
    said = [*effects["said"], *effects["setting"], *effects["level"], *effects["reference"]]
    said += [pair["said"] for pair in effects.attrs["pairs"]]
    assert len(effects) >= 10
    assert [text for text in said if steers(text) or len(text) > 400] == []
    assert steers(effects.attrs["summary"], lines=True) == []


def test_twenty_thousand_pictures_take_seconds() -> None:
    rng = np.random.default_rng(6)
    count = 20_000
    frame = pd.DataFrame(
        {
            "prompt": [f"a thing {n}" for n in rng.integers(0, 400, count)],
            "seed": rng.integers(0, 10, count),
            "steps": rng.choice([1, 2, 4, 8, 16, 28], count),
            "guidance": rng.choice([0, 2.5, 3.5, 5], count),
            "model": rng.choice(["a", "b", "c"], count),
            "scheduler": rng.choice(["w", "x", "y", "z"], count),
            "strength": rng.uniform(0, 1, count),
            "rating": rng.integers(1, 6, count),
        }
    )
    started = time.process_time()  # a busy machine slows the clock, not this
    assert len(estimate_effects(frame, "rating")) >= 10
    assert time.process_time() - started < 5
