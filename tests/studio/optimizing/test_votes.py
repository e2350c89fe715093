"""People decide: strengths of what they preferred, and a search by them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from random import Random

import pytest

from imagen_nb.errors import UsageError
from imagen_nb.storage.picture import Picture
from imagen_nb.studio.optimizing.study import Study
from imagen_nb.studio.optimizing.votes import Ballot, strengths_of


def test_equal_numbers_and_none_say_nothing() -> None:
    ballot = Ballot(seed=1, trials=(4, 5, 6, 7), scores=(1.0, 0.0, 0.0, None))
    assert ballot.wins() == [(4, 5), (4, 6)]


def test_strengths_have_the_order_of_a_consistent_voter() -> None:
    ballots = [Ballot(seed=0, trials=(a, a + 1), scores=(0, 1)) for a in range(6)]
    strengths = [strengths_of(ballots, range(7))[number][0] for number in range(7)]
    assert strengths == sorted(strengths)
    assert sum(strengths) == pytest.approx(0, abs=1e-6)


def test_strengths_come_near_those_that_voters_have_in_mind() -> None:
    true, random = [-1.5, -0.5, 0.5, 1.5], Random(1)
    ballots = []
    for number in range(2000):
        one, other = random.sample(range(4), 2)
        wins = random.random() < 1 / (1 + math.exp(true[other] - true[one]))
        ballots.append(Ballot(seed=number, trials=(one, other), scores=(int(wins), int(not wins))))
    for number, (strength, error) in strengths_of(ballots, range(4)).items():
        assert error < 0.2
        assert abs(strength - true[number]) < 4 * error


def test_who_was_never_asked_about_is_average() -> None:
    found = strengths_of([Ballot(seed=0, trials=(0, 1), scores=(0, 1))], [0, 1, 2])
    assert found[2][0] == 0
    assert found[2][1] >= found[0][1]
    assert strengths_of([], []) == {}


def test_a_voter_is_followed(optimize: Callable[..., Study]) -> None:
    asked: list[list[int | None]] = []

    def likes_steps(pictures: Sequence[Picture]) -> list[float]:
        asked.append([picture.record.seed for picture in pictures])
        best = max(picture.record.steps or 0 for picture in pictures)
        return [float(picture.record.steps == best) for picture in pictures]  # the best only

    space = {"prompt": "a boat", "steps": (1, 4), "guidance": [0.0, 1.0, 2.0]}
    study = optimize(space, score="votes", ask=likes_steps, trials=8)
    assert all(len({*seeds}) == 1 for seeds in asked)  # of one seed each
    assert [len(seeds) for seeds in asked] == [4, 4, 5, 5]  # later the best so far, too
    frame = study.frame()
    assert frame["steps"].loc[frame["votes"].idxmax()] == 4
    assert study.best["steps"] == 4
    assert frame["votes_se"].between(0.1, 10).all()  # nothing was ever a surprise
    again = optimize(space, score="votes", ask=likes_steps, trials=9)
    assert len(again.frame()) == 9


def test_somebody_must_be_asked_and_answer(optimize: Callable[..., Study]) -> None:
    with pytest.raises(UsageError, match="votes need somebody to ask: give ask="):
        optimize(score="votes")
    with pytest.raises(UsageError, match="ask returns a number for each of 4 pictures"):
        optimize(score="votes", ask=lambda pictures: [1.0], trials=4)
    with pytest.raises(UsageError, match="ask returns a number for each of 4 pictures"):
        optimize(score="votes", ask=lambda pictures: "left", trials=4)  # type: ignore[arg-type]
    study = optimize(score="votes", ask=lambda pictures: [1, 0, 0, math.nan], trials=4)
    assert study.frame()["state"].tolist() == ["complete"] * 4  # the same trials, asked again
