"""Which settings are tried next: what Optuna makes of the trials so far."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING, Any

from imagen_nb.studio.optimizing.goals import Goal
from imagen_nb.studio.optimizing.space import Label, Range, SearchSpace
from imagen_nb.studio.optimizing.study_file import (
    KeptTrial,
    directions_of,
    plan_goals,
    quiet_optuna,
)
from imagen_nb.studio.optimizing.votes import strengths_of

if TYPE_CHECKING:
    from optuna.study import Study as OptunaStudy

_STARTUP_TRIALS = 10  # at random, before there is anything to learn from
_REPEATED_QUESTIONS = 30  # to be told something new


def propose(
    name: str,
    space: SearchSpace,
    goals: Sequence[Goal],
    trials: Sequence[KeptTrial],
    count: int,
) -> list[dict[str, Label]]:
    """Return what to try next, by dimension: nothing twice; [] if all was tried.

    The tree-structured Parzen estimator of Bergstra et al., "Algorithms for
    hyper-parameter optimization", NIPS 2011; of several goals as Ozaki et al.,
    "Multiobjective tree-structured Parzen estimator", JAIR 2022,
    https://doi.org/10.1613/jair.1.13188. The same trials give the same answer.

    Args:
        name: of the study: another one begins elsewhere.
        space: what may vary.
        goals: what is to be high or low.
        trials: all there were.
        count: how many to return at most.
    """
    tried = {_key(trial.params) for trial in trials}
    digest = hashlib.sha256(f"{name} {len(trials)}".encode()).digest()
    seed = int.from_bytes(digest[:4])
    random = Random(seed)
    found: list[dict[str, Label]] = []
    with quiet_optuna():
        study = _mirror(space, goals, trials, seed)
        while len(found) < count and len(tried) < space.size:
            params = _asked(study, space, tried) or _untried(space, tried, random)
            tried.add(_key(params))
            found.append(params)
            study.add_trial(_running(space, params))
    return found


def _mirror(
    space: SearchSpace, goals: Sequence[Goal], trials: Sequence[KeptTrial], seed: int
) -> OptunaStudy:
    """Return a study in memory of what is known, with votes counted as of now."""
    import optuna
    from optuna.trial import create_trial

    sampler = optuna.samplers.TPESampler(
        n_startup_trials=_STARTUP_TRIALS,
        multivariate=len(goals) == 1,
        constant_liar=True,
        seed=seed,
    )
    directions = directions_of(plan_goals(goals))
    study = optuna.create_study(sampler=sampler, directions=directions)
    distributions = space.distributions()
    values = values_now(goals, trials)
    for trial in trials:
        if trial.state == "running":
            study.add_trial(_running(space, trial.params))
        elif trial.state == "complete":
            study.add_trial(
                create_trial(
                    params={**trial.params},
                    distributions=distributions,
                    values=[*values[trial.number]],
                )
            )
    return study


def _running(space: SearchSpace, params: Mapping[str, Any]) -> Any:
    from optuna.trial import TrialState, create_trial

    return create_trial(
        state=TrialState.RUNNING,
        params={**params},
        distributions=space.distributions(),
    )


def _asked(
    study: OptunaStudy, space: SearchSpace, tried: set[tuple[Any, ...]]
) -> dict[str, Label] | None:
    """Return what Optuna would try and was not tried yet; None if it finds nothing."""
    from optuna.trial import TrialState

    for _ in range(_REPEATED_QUESTIONS):
        trial = study.ask(space.distributions())
        study.tell(trial, state=TrialState.FAIL)  # it was but a question
        if _key(trial.params) not in tried:
            return dict(trial.params)
    return None


def _untried(
    space: SearchSpace, tried: set[tuple[Any, ...]], random: Random
) -> dict[str, Label]:
    """Return settings at random that were not tried. There must be some."""
    while True:
        params = {one.name: _random_label(one, random) for one in space.dimensions}
        if _key(params) not in tried:
            return params


def _random_label(dimension: Any, random: Random) -> Label:
    if not isinstance(dimension, Range):
        label: Label = random.choice(dimension.labels)
        return label
    if dimension.step is None:
        return random.uniform(dimension.low, dimension.high)
    return random.randrange(int(dimension.low), int(dimension.high) + 1, dimension.step)


def _key(params: Mapping[str, Label]) -> tuple[Any, ...]:
    return tuple(sorted(params.items()))


def values_now(
    goals: Sequence[Goal], trials: Sequence[KeptTrial]
) -> dict[int, tuple[float, ...]]:
    """Return the values of complete trials, by number: votes as they stand now."""
    complete = [trial for trial in trials if trial.state == "complete"]
    values = {trial.number: trial.values for trial in complete}
    place = next((at for at, goal in enumerate(goals) if goal.is_votes), None)
    if place is None:
        return values
    ballots = [ballot for trial in trials for ballot in trial.ballots]
    strengths = strengths_of(ballots, [*values])
    for number, (strength, _) in strengths.items():
        before = values[number]
        values[number] = (*before[:place], strength, *before[place + 1 :])
    return values


def is_better(
    goals: Sequence[Goal], one: Sequence[float], other: Sequence[float]
) -> bool:
    """Return whether one is better in a goal and worse in none (Pareto)."""
    signed = [goal.sign * (a - b) for goal, a, b in zip(goals, one, other, strict=True)]
    return all(gain >= 0 for gain in signed) and any(gain > 0 for gain in signed)


def front_of(goals: Sequence[Goal], values: Mapping[int, Sequence[float]]) -> list[int]:
    """Return the numbers of trials than which no other is better, the first goal's best first."""
    front = [
        number
        for number, own in values.items()
        if not any(is_better(goals, other, own) for other in values.values())
    ]
    return sorted(front, key=lambda number: -goals[0].sign * values[number][0])
