"""What people prefer, as a number for each trial: strengths of Bradley and Terry."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from imagen_nb.errors import UsageError
from imagen_nb.request.validation import short_repr
from imagen_nb.storage.picture import Picture

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Voter = Callable[[Sequence[Picture]], Sequence[float]]
_PRIOR_SD = 2.0  # of strengths, in log odds: who always wins is not infinitely strong
_NEWTON_STEPS = 50  # of Newton's method at most; some five are enough
_SMALL = 1e-9


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

    Bradley and Terry's model ("Rank analysis of incomplete block designs", Biometrika
    1952, https://doi.org/10.2307/2334029) with a normal prior of standard deviation 2,
    so that who won or lost everything, or was never asked about, has a strength too;
    the mode by Newton's method, errors from the curvature there.
    """
    import numpy as np

    place = {number: index for index, number in enumerate(trials)}
    wins = np.zeros((len(place), len(place)))
    for winner, loser in (pair for ballot in ballots for pair in ballot.wins()):
        if winner in place and loser in place:
            wins[place[winner], place[loser]] += 1
    strengths = np.zeros(len(place))
    for _ in range(_NEWTON_STEPS):
        gradient, curvature = _derivatives(wins, strengths)
        step = np.linalg.solve(curvature, gradient)
        strengths = strengths + step
        if np.abs(step).max(initial=0) < _SMALL:
            break
    covariance = np.linalg.inv(_derivatives(wins, strengths)[1])
    # Of a strength against the others' mean: votes say nothing of all together.
    among = np.eye(len(place)) - 1 / max(len(place), 1)
    errors = np.sqrt(np.diag(among @ covariance @ among))
    return {
        number: (float(strengths[index]), float(errors[index]))
        for number, index in place.items()
    }


def _derivatives(
    wins: NDArray[np.float64], strengths: NDArray[np.float64]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return gradient and negative Hessian of the log posterior: (n,), (n, n)."""
    import numpy as np

    met = wins + wins.T
    expected = 1 / (1 + np.exp(strengths[None, :] - strengths[:, None]))
    gradient = (wins - met * expected).sum(axis=1) - strengths / _PRIOR_SD**2
    information = met * expected * (1 - expected)
    precision = np.eye(len(strengths)) / _PRIOR_SD**2
    return gradient, np.diag(information.sum(axis=1)) - information + precision
