"""What people prefer, as a number for each trial: strengths of Bradley and Terry."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence

from pydantic import BaseModel, ConfigDict

from imagen_nb.errors import UsageError
from imagen_nb.frames.judging.strengths import fit
from imagen_nb.request.validation import short_repr
from imagen_nb.storage.picture import Picture

Voter = Callable[[Sequence[Picture]], Sequence[float]]


class Ballot(BaseModel):
    """One question that was answered: pictures of one seed, of several trials.

    `scores`: what the voter gave each trial's picture, the higher the better. Equal
    ones, and None, say nothing of which is better.
    """

    model_config = ConfigDict(frozen=True)

    seed: int
    trials: tuple[int, ...]
    scores: tuple[float | None, ...]

    def wins(self) -> list[tuple[int, int]]:
        """Return each (winner, loser), by the trials' numbers."""
        told = [
            (trial, score)
            for trial, score in zip(self.trials, self.scores, strict=True)
            if score is not None
        ]
        return [
            (one, other) if score > below else (other, one)
            for (one, score), (other, below) in itertools.combinations(told, 2)
            if score != below
        ]


def require_voter(voter: Voter | None) -> Voter:
    """Return who is asked. Raise `UsageError` if that was not said."""
    if voter is None:
        raise UsageError(
            "votes need somebody to ask: give ask=, a function of some pictures that"
            " returns a number for each, the higher the better"
        )
    return voter


def ask_voter(voter: Voter, seed: int, pictures: Mapping[int, Picture]) -> Ballot:
    """Ask about pictures of one seed, by the numbers of their trials.

    Raise `UsageError` if what comes back is not a number for each.
    """
    answer = voter([*pictures.values()])
    try:
        scores = [None if one is None else float(one) for one in answer]
    except (TypeError, ValueError):
        scores = []
    if len(scores) != len(pictures):
        raise UsageError(
            f"ask returns a number for each of {len(pictures)} pictures, not"
            f" {short_repr(answer)}"
        )
    told = [None if one is None or math.isnan(one) else one for one in scores]
    return Ballot(seed=seed, trials=tuple(pictures), scores=tuple(told))


def strengths_of(
    ballots: Sequence[Ballot], trials: Sequence[int]
) -> dict[int, tuple[float, float]]:
    """Return each trial's strength, in log odds, and its standard error.

    As of `im.ranking`; who was never asked about is average, and less is known of nobody.
    """
    import numpy as np

    place = {number: index for index, number in enumerate(trials)}
    won = [pair for ballot in ballots for pair in ballot.wins()]
    pairs = [
        (place[one], place[other]) for one, other in won if {one, other} <= {*place}
    ]
    first, second = np.array(pairs, np.int64).reshape(-1, 2).T
    fitted = fit(trials, first, second, np.ones(len(pairs)))
    asked = fitted.component >= 0
    strengths = np.where(asked, fitted.strength, 0.0)
    unknown = np.fmax.reduce(fitted.standard_error, initial=fitted.spread)
    errors = np.where(asked, fitted.standard_error, unknown)
    return {
        number: (float(strengths[index]), float(errors[index]))
        for number, index in place.items()
    }
