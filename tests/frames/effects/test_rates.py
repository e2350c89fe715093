"""Intervals cover and alarms are false at their rates: bench/effects.py in small."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from imagen_nb.frames.effects.estimating import estimate_effects
from imagen_nb.frames.effects.within import Basis, Blocks, fit_within, ridits
from tests.fixtures.simulated_histories import DESIGNS, NONE, Design, numbers, times

SIMULATED = 60
# What 60 histories with rates of 95 % and of 5 % give but once in 100,000 times.
FEWEST_COVERED, MOST_ALARMS = 0.78, 0.22


def histories(design: Design, effects: dict[str, float]) -> list[pd.DataFrame]:
    makers = (np.random.default_rng([3, number]) for number in range(SIMULATED))
    return [design.make(rng, effects, 1) for rng in makers]


@pytest.mark.parametrize("design", DESIGNS, ids=lambda design: design.name)
def test_what_does_nothing_raises_few_alarms(design: Design) -> None:
    alarms, any_seen = [], []
    for frame in histories(design, NONE):
        found = estimate_effects(frame, design.on, words=design.name == "words")
        alarms += [*(found["p"] < 0.05)]
        any_seen.append((found["p_adjusted"] < 0.05).any())
    assert len(alarms) >= SIMULATED - 5
    assert np.mean(alarms) <= MOST_ALARMS
    assert np.mean(any_seen) <= MOST_ALARMS


@pytest.mark.parametrize(
    ("make", "on", "effects", "setting", "true"),
    [
        (times, "latency_ms", {"steps": 0.69}, "steps", 100 * np.expm1(0.69)),
        (numbers, "score", {"slope": 0.8}, "guidance", 0.8),
    ],
    ids=["times", "slopes"],
)
def test_intervals_cover_what_is_true(
    make: object, on: str, effects: dict[str, float], setting: str, true: float
) -> None:
    covered = []
    for frame in histories(Design("", on, make, effects), effects):  # type: ignore[arg-type]
        found = estimate_effects(frame, on).set_index("setting").loc[setting]
        flipped = found["level"] == "4"  # which of two levels is usual differs
        ends = sorted(-100 * x / (100 + x) if flipped else x for x in found[["low", "high"]])
        covered.append(ends[0] <= true <= ends[1])
    assert np.mean(covered) >= FEWEST_COVERED


class TestWithinBlocks:
    """The engine beside what is known: the paired t test, least squares with dummies."""

    def pairs(self, count: int) -> tuple[Blocks, np.ndarray, np.ndarray]:
        rng = np.random.default_rng(1)
        groups = np.repeat(np.arange(count), 2)
        levels = np.tile([0, 1], count)
        outcome = rng.normal(size=2 * count) + levels + 5 * rng.normal(size=count)[groups]
        columns = np.stack([levels == 0, levels == 1], 1).astype(float)
        return Blocks(groups, groups, ""), columns, outcome

    def test_two_pictures_a_block_are_the_paired_t_test(self) -> None:
        blocks, columns, outcome = self.pairs(9)
        basis = Basis(columns, blocks, np.ones(18))
        direction = basis.directions(np.array([[-1.0, 1.0]]))[0]
        fit = fit_within(basis, outcome)
        certainty = fit.certainty(direction)
        paired = stats.ttest_rel(outcome[1::2], outcome[::2])
        assert fit.value(direction) == pytest.approx(np.mean(outcome[1::2] - outcome[::2]))
        assert fit.value(direction) / certainty.error == pytest.approx(paired.statistic)
        assert certainty.freedom == pytest.approx(8)
        assert certainty.count == 9

    def test_the_order_in_blocks_is_how_often_one_is_better(self) -> None:
        blocks, columns, _ = self.pairs(9)
        stars = np.random.default_rng(2).integers(1, 6, 18).astype(float)
        basis = Basis(columns, blocks, blocks.sizes().astype(float))
        fit = fit_within(basis, ridits(stars, blocks))
        first, second = stars[::2], stars[1::2]
        better = np.mean((second > first) + 0.5 * (second == first))
        direction = basis.directions(np.array([[-1.0, 1.0]]))[0]
        assert 0.5 + fit.value(direction) == pytest.approx(better)

    @pytest.mark.parametrize("cluster_rows", [1, 2])
    def test_leaving_out_is_that_of_least_squares_with_a_column_a_block(
        self, cluster_rows: int
    ) -> None:
        rng = np.random.default_rng(4)
        groups, clusters = np.repeat([0, 1, 2], 10), np.arange(30) // cluster_rows
        level, number = rng.integers(0, 2, 30), rng.normal(size=30)
        outcome = rng.normal(size=30) + level
        dummies = np.stack([groups == 0, groups == 1, groups == 2, level, number], 1)

        def by_dummies(rows: np.ndarray) -> float:
            return np.linalg.lstsq(dummies[rows], outcome[rows])[0][3]

        columns = np.stack([level == 0, level == 1, number], 1).astype(float)
        basis = Basis(columns, Blocks(groups, clusters, ""), np.ones(30))
        fit = fit_within(basis, outcome)
        direction = basis.directions(np.array([[-1.0, 1.0, 0.0]]))[0]
        whole = by_dummies(clusters >= 0)
        without = [by_dummies(clusters != one) - whole for one in range(clusters.max() + 1)]
        assert fit.value(direction) == pytest.approx(whole)
        assert fit.left_out @ direction == pytest.approx(np.array(without))
