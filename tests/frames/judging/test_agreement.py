"""Votes, ratings and keepers agree or not, and how sure that is."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau
from sklearn.metrics import roc_auc_score

from imagen_nb.frames.judging.agreement import measure_agreement
from imagen_nb.frames.judging.statistics import chance_of_more, kendall, share
from tests.fixtures.voters import logistic, picture_ids, pictures, votes_frame

NAMES = picture_ids(12)
A, B, C, D = NAMES[:4]


def voted(strengths: np.ndarray, votes: int, voter: str, seed: int) -> list[tuple[str, ...]]:
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(votes):
        a, b = rng.choice(len(strengths), 2, replace=False)
        said = logistic(0.1)(float(strengths[a] - strengths[b]), rng)
        rows.append((NAMES[a], NAMES[b], said, voter))
    return rows


def found_of(frame: pd.DataFrame, rows: list[tuple[str, ...]]) -> pd.DataFrame:
    return measure_agreement(frame, votes_frame(rows)).set_index(["compared", "measure"])


class TestLabels:
    def test_stars_that_follow_strength_agree_and_others_do_not(self) -> None:
        strengths = np.linspace(-3, 3, 12)
        rows = voted(strengths, 150, "ada", 1)
        stars = [f"rating:{1 + place * 5 // 12}" for place in range(12)]
        frame = pictures(12)
        agree = found_of(frame.assign(tags=[[tag] for tag in stars]), rows)
        tau = agree.loc[("votes and ratings", "Kendall's tau")]
        assert tau["value"] > 0.8
        assert tau["low"] > 0.6
        assert tau["count"] == 12
        assert agree.loc[("votes and ratings", "share"), "low"] > 0.8
        against = found_of(frame.assign(tags=[[tag] for tag in reversed(stars)]), rows)
        assert against.loc[("votes and ratings", "Kendall's tau"), "high"] < -0.6
        shuffled = [[stars[place * 5 % 12]] for place in range(12)]
        none = found_of(frame.assign(tags=shuffled), rows).loc[
            ("votes and ratings", "Kendall's tau")
        ]
        assert none["low"] < 0 < none["high"]

    def test_a_keeper_is_more_than_a_reject_or_else_than_another(self) -> None:
        strengths = np.linspace(3, -3, 12)
        rows = voted(strengths, 150, "ada", 2)
        kept = [["keeper", "rating:5"] if place < 4 else ["rating:2"] for place in range(12)]
        found = found_of(pictures(12).assign(tags=kept), rows)
        assert found.loc[("votes and keepers", "probability"), "value"] > 0.9
        assert "than another" in found.loc[("votes and keepers", "probability"), "said"]
        assert found.loc[("ratings and keepers", "probability"), "value"] == 1
        kept[11] = ["reject"]
        found = found_of(pictures(12).assign(tags=kept), rows)
        assert "than a reject" in found.loc[("votes and keepers", "probability"), "said"]
        assert ("ratings and keepers", "probability") not in found.index  # it has no stars

    def test_without_labels_or_votes_there_is_nothing_to_compare(self) -> None:
        found = measure_agreement(pictures(3), votes_frame([]))
        assert len(found) == 0
        assert [*found.columns] == ["compared", "measure", "value", "low", "high", "count", "said"]
        assert found["count"].dtype == "Int64"


class TestVoters:
    def test_two_who_think_alike_agree(self) -> None:
        strengths = np.linspace(-4, 4, 12)
        alike = voted(strengths, 120, "ada", 3) + voted(strengths, 120, "bob", 4)
        found = found_of(pictures(12), alike).loc["ada and bob"]
        assert found.loc["share", "low"] > 0.75
        assert found.loc["Kendall's tau", "value"] > 0.75
        contrary = voted(strengths, 120, "ada", 3) + voted(-strengths, 120, "bob", 4)
        found = found_of(pictures(12), contrary).loc["ada and bob"]
        assert found.loc["share", "high"] < 0.25
        assert found.loc["Kendall's tau", "value"] < -0.75

    def test_one_who_is_asked_again_agrees_with_oneself_or_not(self) -> None:
        rows = [
            *[(A, B, "left", "ada"), (B, A, "right", "ada"), (A, B, "left", "ada")],
            *[(C, D, "left", "ada"), (C, D, "tie", "ada"), (B, C, "left", "ada")],
        ]
        again = found_of(pictures(4), rows).loc[("ada again", "share")]
        assert (again["value"], again["count"]) == (pytest.approx(2 / 3), 3)

    def test_a_favourite_side_is_told(self) -> None:
        rows = [(NAMES[k % 12], NAMES[(k + 1 + k // 12) % 12], "left") for k in range(48)]
        (said,) = found_of(pictures(12), rows).loc[("left and right", "share"), "said"].splitlines()
        assert "100%" in said
        assert said.endswith("the side matters, show pairs both ways")

    def test_names_are_shortened_and_no_name_is_told(self) -> None:
        rows = [(A, B, "left", "x\n" * 500), (A, B, "left", "")]
        found = measure_agreement(pictures(2), votes_frame(rows))
        names = found["compared"].tolist()
        assert "an unnamed voter" in names[0]
        assert max(map(len, names)) < 100
        assert "\n" not in "".join(names)


class TestStatistics:
    def test_tau_is_that_of_scipy(self) -> None:
        rng = np.random.default_rng(5)
        x, y = rng.integers(0, 5, (2, 40)).astype(float)
        found = kendall(x, y, np.zeros(40, np.int64))
        assert found is not None
        assert found.value == pytest.approx(kendalltau(x, y).statistic)

    def test_the_probability_is_the_area_under_the_curve(self) -> None:
        rng = np.random.default_rng(6)
        values, upper = rng.integers(0, 9, 60).astype(float), rng.random(60) < 0.4
        found = chance_of_more(values, upper, ~upper, np.zeros(60, np.int64))
        assert found is not None
        assert found.value == pytest.approx(roc_auc_score(upper, values))

    def test_pictures_of_two_strata_are_not_compared(self) -> None:
        x, y = np.array([1.0, 2, 1, 2]), np.array([1.0, 2, 11, 12])
        found = kendall(x, y, np.array([0, 0, 1, 1]))
        assert found is not None
        assert found.value == 1
        upper = np.array([True, False, True, False])
        assert chance_of_more(y, upper, ~upper, np.array([0, 1, 2, 3])) is None

    @pytest.mark.parametrize("kind", ["tau", "chance"])
    def test_intervals_hold_what_is_true_at_their_rate(self, kind: str) -> None:
        """Of normal pairs with a correlation of 0.6, and of two normals that are 1 apart."""
        true = {"tau": 2 / np.pi * np.arcsin(0.6), "chance": 0.7602}[kind]
        held = []
        for seed in range(200):
            rng = np.random.default_rng(seed)
            x, noise = rng.standard_normal((2, 40))
            none = np.zeros(40, np.int64)
            if kind == "tau":
                found = kendall(x, 0.6 * x + 0.8 * noise, none)
            else:
                upper = np.arange(40) < 20
                found = chance_of_more(x + upper, upper, ~upper, none)
            assert found is not None
            held.append(found.low <= true <= found.high)
        assert 0.84 <= np.mean(held) <= 0.95

    def test_few_that_agree_are_no_proof(self) -> None:
        found = kendall(np.arange(5.0), np.arange(5.0), np.zeros(5, np.int64))
        assert found is not None
        assert found.low < 0.8
        assert np.isnan(kendall(np.arange(3.0), np.arange(3.0), np.zeros(3, np.int64)).low)  # type: ignore[union-attr]
        assert kendall(np.ones(5), np.arange(5.0), np.zeros(5, np.int64)) is None
        assert share(5, 5).low < 0.7
