"""How sure an order is, by draws from the posterior of strengths."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagen_nb.frames.judging.duel import refitted

if TYPE_CHECKING:
    import numpy as np

    from imagen_nb.frames.judging.duel import DuelState
    from imagen_nb.frames.judging.outcomes import Floats, Integers

SURE = 0.9  # how certain an order has to be
MARGIN = 0.5  # log odds: the better of two wins 62 of 100 votes
_ORDER_DRAWS = 1_000  # a probability of 0.9 to within 0.02
_QUICK_DRAWS = 64  # where it only weighs pairs
_SEED = 20  # the same votes are equally certain each time
_CONTENDERS = 64  # pictures that may overtake: more of them hardly matter


def certainty(
    state: DuelState, first: int | None = None, margin: float = MARGIN
) -> float:
    """Return how likely the order of the first ones is right: 0 to 1.

    The share of draws from the posterior's normal approximation in which no picture that
    comes later is stronger than one before it by more than `margin`. The smallest of all
    groups'.

    Args:
        state: the duel's.
        first: how many pictures of each group; None for those of the duel.
        margin: in log odds; what is nearer to each other may stand in any order. At the
            default the better one would win 62 of 100 votes.
    """
    import numpy as np

    chances = [1.0]
    for number in np.unique(state.group):
        members = np.flatnonzero(state.group == number)
        covariance = state.covariance[np.ix_(members, members)]
        wanted = first or state.first or len(members)
        chances.append(
            _certainty_of_group(state.mean[members], covariance, wanted, margin)
        )
    return min(chances)


def is_certain(
    state: DuelState,
    first: int | None = None,
    at: float = SURE,
    margin: float = MARGIN,
) -> bool:
    """Return whether the order of the first ones is as certain as `at`, 0 to 1.

    If it seems so, all votes are fitted anew, and it has to be so then.
    """
    if certainty(state, first, margin) < at:
        return False
    return certainty(refitted(state), first, margin) >= at


def _certainty_of_group(
    mean: Floats, covariance: Floats, first: int, margin: float
) -> float:
    """Return how likely the order of the first ones is right: 0 to 1.

    Args:
        mean: of strengths: (pictures,).
        covariance: (pictures, pictures).
        first: how many are to be in order.
        margin: by how much a later one may be stronger, in log odds.
    """
    import numpy as np

    if len(mean) < 2:
        return 1.0
    order = np.argsort(-mean, kind="stable")
    first = min(first, len(mean) - 1)
    chosen = order[:first]
    rest = order[first:]
    near = mean[rest] + 2 * np.sqrt(covariance.diagonal()[rest])
    rest = rest[np.argsort(-near, kind="stable")[:_CONTENDERS]]
    members = np.concatenate([chosen, rest])
    drawn = _draws(mean[members], covariance[np.ix_(members, members)])
    # Of each place, the strongest of those that come later.
    later = np.maximum.accumulate(drawn[:, ::-1], axis=1)[:, ::-1]
    right = (drawn[:, :first] > later[:, 1 : first + 1] - margin).all(axis=1)
    return float(right.mean())


def _draws(mean: Floats, covariance: Floats) -> Floats:
    """Return draws of a normal distribution: (draws, pictures)."""
    import numpy as np

    size = len(mean)
    slack = 1e-9 * float(covariance.trace()) / size
    factor = np.linalg.cholesky(covariance + slack * np.eye(size))
    normal = np.random.default_rng(_SEED).standard_normal((_ORDER_DRAWS, size))
    drawn: Floats = mean + normal @ factor.T
    return drawn


def chances_to_be_first(
    mean: Floats,
    deviation: Floats,
    group: Integers,
    first: int,
    rng: np.random.Generator,
) -> Floats:
    """Return how likely each picture is among the first of its group, about: (pictures,).

    Args:
        mean: of strengths: (pictures,).
        deviation: their standard deviations; strengths are drawn independently.
        group: of each picture, from 0 on.
        first: how many of each group.
        rng: for the draws.
    """
    import numpy as np

    count = len(mean)
    if not count:
        return np.zeros(0)
    drawn = mean + deviation * rng.standard_normal((_QUICK_DRAWS, count))
    apart = 2 * float(np.abs(drawn).max()) + 1  # groups follow each other
    order = np.argsort(group * apart - drawn, axis=1)
    sizes = np.bincount(group)
    starts = np.cumsum(sizes) - sizes
    ranks = np.empty((_QUICK_DRAWS, count), np.int64)
    np.put_along_axis(ranks, order, np.arange(count)[None, :], axis=1)
    return np.asarray((ranks - starts[group] < first).mean(axis=0))
