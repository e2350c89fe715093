"""Strengths of things that were compared two at a time: Bradley–Terry, with ties.

The model is Davidson's (1970): with strengths a and b, in log odds, the first is better
with a weight of exp((a - b) / 2), the second with exp((b - a) / 2), and neither with a
weight that all comparisons share. Without ties it is Bradley and Terry's (1952).

Strengths have a normal prior around 0, so that what always won has a finite one. Its
standard deviation, the spread, is found with them: a fixed one would draw strengths that
lie far apart too near together, and no interval would cover.

Intervals are those of a normal approximation of the posterior by expectation propagation
(Minka 2001), taken together over what the spread may be (as in Rue and others 2009): votes
on pairs that are near each other, which a duel asks for, say little of it. They were
chosen by simulated coverage: bench/ranking.py has it, beside that of the Hessian of the
penalised likelihood (85 % instead of 90 %) and of a bootstrap (67 %).

Libraries that are kept up were compared in November 2026. choix 0.4.1 has expectation
propagation too, without ties (its issue 17), a spread, or speed, as it loops in Python
over votes; where there are no ties, bench/ranking.py finds the same strengths. evalica
0.4.2 knows ties, and neither a prior nor intervals but by bootstrap. GLM of statsmodels
0.15 and LogisticRegression of scikit-learn 1.9 take a tie for half a win, and give no
covariance with a prior. SciPy would maximise the likelihood, which is not what is needed.
So the hundred lines stand here, on NumPy, and rankings need nothing that is not installed.

Sources: Bradley and Terry, "Rank analysis of incomplete block designs I", Biometrika 39
(1952); Davidson, "On extending the Bradley–Terry model to accommodate ties", Journal of
the American Statistical Association 65 (1970); Minka, "Expectation propagation for
approximate Bayesian inference", UAI (2001); MacKay, "Bayesian interpolation", Neural
Computation 4 (1992), for the likeliest spread; Rue, Martino and Chopin, "Approximate
Bayesian inference for latent Gaussian models by using integrated nested Laplace
approximations", Journal of the Royal Statistical Society B 71 (2009).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imagen_nb.frames.judging.outcomes import TIE_MEAN, Sites, next_sites

if TYPE_CHECKING:
    from imagen_nb.frames.judging.outcomes import Floats, Integers

INTERVAL = 0.9  # the probability that intervals have
Z_OF_INTERVAL = 1.6448536269514722  # the standard normal's 95th percentile
# Before any vote the logarithm of the spread is normal: the spread is 0.3 to 10 at 95 %.
# At 1 the better of two pictures wins 73 % of votes, at 1.8 81 %, at 3 88 %.
_USUAL_SPREAD, _LOG_DEVIATION = 1.8, 0.9
_LOG_LIMITS = (math.log(0.05), math.log(10.0))
_GRID = (-2.0, -1.0, 0.0, 1.0, 2.0)  # standard deviations of the log spread
_LOG_STEP = 0.35  # either side of the likeliest, from which that deviation is found
_MANY = 250  # strengths that are determined: they tell the spread to within 5 %
_MAX_SWEEPS, _UNDAMPED_SWEEPS = 60, 20
_OVER_RELAXATION = 1.6  # of the spread, which comes nearer by a part of its way only
_TOLERANCE = 0.01  # of strengths in log odds, and relative of the spread


@dataclass(frozen=True, slots=True, eq=False)
class Strengths:
    """Strengths in log odds, those of a component around 0: their mean is 0.

    `strength`, `standard_error`: (items,), NaN for what was never compared.
    `component`: (items,), which of them were compared, directly or through others; 0 is
    the largest; -1 for what was never compared. Strengths of two components say nothing
    of each other. `spread`: the standard deviation of strengths. `tie`: the logarithm of
    the weight of a tie.
    """

    strength: Floats
    standard_error: Floats
    component: Integers
    spread: float
    tie: float

    @property
    def low(self) -> Floats:
        """The lower ends of the 90 % intervals."""
        return self.strength - Z_OF_INTERVAL * self.standard_error

    @property
    def high(self) -> Floats:
        """The upper ends of the 90 % intervals."""
        return self.strength + Z_OF_INTERVAL * self.standard_error


@dataclass(frozen=True, slots=True, eq=False)
class Posterior:
    """What is known of strengths after comparisons: normal, with the prior's mean 0.

    `mean`: (items,). `blocks`: the members of each component with their covariance; what
    was never compared has the prior's variance, `spread` ** 2. `tie`: as of `Strengths`.
    """

    mean: Floats
    blocks: tuple[tuple[Integers, Floats], ...]
    sites: Sites
    spread: float
    tie: float


def fit(items: Sequence[object], i: Integers, j: Integers, y: Floats) -> Strengths:
    """Return the strengths of items that were compared.

    Args:
        items: what was compared; only their number counts.
        i: of each comparison the place of the first one in `items`: (comparisons,).
        j: the place of the second one, which is another.
        y: 1 where the first one was better, 0 the second one, 0.5 for a tie.
    """
    import numpy as np

    count = len(items)
    component = components_of(count, i, j)
    weighted = _over_spreads(count, i, j, y, component)
    mean, variance = np.zeros(count), np.zeros(count)
    for weight, known in weighted:
        mean += weight * known.mean
        for members, covariance in known.blocks:
            # Of the difference to the component's mean, which only the prior decides.
            own = covariance.diagonal() - known.spread**2 / len(members)
            variance[members] += weight * (own + known.mean[members] ** 2)
    compared = component >= 0
    error = np.sqrt(variance[compared] - mean[compared] ** 2)
    strength, standard_error = np.full((2, count), np.nan)
    # Equal ones are equal, which sums of numbers in another order are not.
    strength[compared], standard_error[compared] = np.round(mean[compared], 9), error
    spread = math.exp(sum(weight * math.log(one.spread) for weight, one in weighted))
    tie = sum(weight * one.tie for weight, one in weighted)
    return Strengths(strength, standard_error, component, spread, tie)


def _over_spreads(
    count: int, i: Integers, j: Integers, y: Floats, component: Integers
) -> list[tuple[float, Posterior]]:
    """Return posteriors of several spreads, with how likely each is: they add up to 1.

    The likelihood of a spread is found from its slope, which the posterior tells.
    """
    import numpy as np

    best = fit_posterior(count, i, j, y, component)
    if not len(i) or _determined(best.blocks, best.spread) > _MANY:
        return [(1.0, best)]

    def at(log_spread: float) -> Posterior:
        return fit_posterior(count, i, j, y, component, best, math.exp(log_spread))

    middle = math.log(best.spread)
    below, above = (_slope(at(middle + step)) for step in (-_LOG_STEP, _LOG_STEP))
    curvature = max((below - above) / (2 * _LOG_STEP), _LOG_DEVIATION**-2)
    apart = curvature**-0.5
    found = [at(middle + step * apart) if step else best for step in _GRID]
    slopes = np.array([_slope(known) for known in found])
    likelihood = np.append(0, np.cumsum(apart * (slopes[1:] + slopes[:-1]) / 2))
    weights = np.exp(likelihood - likelihood.max())
    return [*zip((weights / weights.sum()).tolist(), found, strict=True)]


def components_of(count: int, i: Integers, j: Integers) -> Integers:
    """Return which items were compared with each other, directly or not: (count,).

    0 is the largest component, -1 what was never compared.
    """
    import numpy as np

    labels = np.arange(count)
    while True:  # the least number spreads to all of a component
        least = np.minimum(labels[i], labels[j])
        spread = labels.copy()
        np.minimum.at(spread, i, least)
        np.minimum.at(spread, j, least)
        spread = spread[spread]
        if np.array_equal(spread, labels):
            break
        labels = spread
    compared = np.zeros(count, bool)
    compared[i] = compared[j] = True
    sizes = np.bincount(labels[compared], minlength=count)
    numbers = np.empty(count, np.int64)
    numbers[np.argsort(-sizes, kind="stable")] = np.arange(count)
    return np.where(compared, numbers[labels], -1)


def fit_posterior(
    count: int,
    i: Integers,
    j: Integers,
    y: Floats,
    component: Integers,
    start: Posterior | None = None,
    fixed_spread: float | None = None,
) -> Posterior:
    """Return what comparisons tell of `count` items.

    Args:
        count: how many items there are.
        i: the first ones, as `fit` takes them.
        j: the second ones.
        y: the outcomes.
        component: of the items, as of `components_of`.
        start: the posterior of the first of these comparisons, to begin from.
        fixed_spread: the standard deviation of strengths; None finds the likeliest.
    """
    import numpy as np

    if not len(i):
        none = np.zeros(0)
        return Posterior(
            np.zeros(count), (), Sites(none, none), _USUAL_SPREAD, TIE_MEAN
        )
    votes_of = _grouped(component[i])
    members_of = _grouped(component)
    spread = fixed_spread or (start.spread if start else _USUAL_SPREAD)
    tie = start.tie if start else TIE_MEAN
    sites = _first_sites(y, start.sites if start else None)
    before = np.full(count, np.inf)
    for sweep in range(_MAX_SWEEPS):
        mean, variance, blocks = _posterior_of(
            count, i, j, sites, spread, members_of, votes_of
        )
        used, step = spread, 0.0
        if sweep and not fixed_spread:
            step = _log_step(mean, blocks, spread)
        found, tie = next_sites(mean[i] - mean[j], variance, y, sites, tie)
        moved = float(np.abs(mean - before).max())
        if moved < _TOLERANCE and sweep and abs(step) < _TOLERANCE:
            break
        part = 1.0 if sweep < _UNDAMPED_SWEEPS else 0.5
        sites = Sites(
            sites.precision + part * (found.precision - sites.precision),
            sites.shift + part * (found.shift - sites.shift),
        )
        before, spread = mean, _moved(spread, _OVER_RELAXATION * step)
    return Posterior(mean, blocks, sites, used, tie)


def _grouped(numbers: Integers) -> list[Integers]:
    """Return the places of 0, of 1, and so on, in numbers that may also be -1."""
    import numpy as np

    order = np.argsort(numbers, kind="stable")
    cuts = np.searchsorted(numbers[order], np.arange(numbers.max() + 2))
    return np.split(order, cuts)[1:-1]


def _first_sites(y: Floats, known: Sites | None) -> Sites:
    """Return those that are known, and weak ones for the other comparisons."""
    import numpy as np

    precision, shift = np.full(len(y), 0.1), (y - 0.5) / 2
    if known:
        precision[: len(known.precision)] = known.precision
        shift[: len(known.shift)] = known.shift
    return Sites(precision, shift)


def _posterior_of(
    count: int,
    i: Integers,
    j: Integers,
    sites: Sites,
    spread: float,
    members_of: list[Integers],
    votes_of: list[Integers],
) -> tuple[Floats, Floats, tuple[tuple[Integers, Floats], ...]]:
    """Return the posterior that sites and prior make.

    Its mean, the variance of the difference in each comparison, and its blocks.
    """
    import numpy as np

    mean, variance = np.zeros(count), np.zeros(len(i))
    places = np.zeros(count, np.int64)  # of an item in its component
    blocks = []
    for members, votes in zip(members_of, votes_of, strict=True):
        size = len(members)
        places[members] = np.arange(size)
        first, second = places[i[votes]], places[j[votes]]
        precision = _laplacian(first, second, sites.precision[votes], size)
        precision[np.diag_indices(size)] += spread**-2
        covariance: Floats = np.linalg.inv(precision).astype(np.float64, copy=False)
        shift = np.bincount(first, sites.shift[votes], size)
        shift -= np.bincount(second, sites.shift[votes], size)
        mean[members] = covariance @ shift
        own = covariance.diagonal()
        variance[votes] = own[first] + own[second] - 2 * covariance[first, second]
        blocks.append((members, covariance))
    return mean, variance, tuple(blocks)


def _laplacian(i: Integers, j: Integers, weights: Floats, size: int) -> Floats:
    """Return the Laplacian matrix of the comparisons: (size, size)."""
    import numpy as np

    matrix: Any = np.bincount(i * size + j, weights, size * size).reshape(size, size)
    matrix = matrix + matrix.T
    return np.asarray(np.diag(matrix.sum(axis=1)) - matrix)


def _slope(known: Posterior) -> float:
    """Return the slope of the logarithm of the spread's posterior, by its logarithm."""
    return _slope_at(known.mean, known.blocks, known.spread)


def _slope_at(
    mean: Floats, blocks: Sequence[tuple[Integers, Floats]], spread: float
) -> float:
    slope = -math.log(spread / _USUAL_SPREAD) / _LOG_DEVIATION**2
    for members, covariance in blocks:
        squares = float(mean[members] @ mean[members]) + float(covariance.trace())
        slope += squares / spread**2 - len(members)
    return slope


def _log_step(
    mean: Floats, blocks: Sequence[tuple[Integers, Floats]], spread: float
) -> float:
    """Return how far the logarithm of the spread is from the likeliest, about."""
    curvature = 2 * _determined(blocks, spread) + _LOG_DEVIATION**-2
    return min(max(_slope_at(mean, blocks, spread) / curvature, -1.0), 1.0)


def _determined(blocks: Sequence[tuple[Integers, Floats]], spread: float) -> float:
    """Return how many strengths the comparisons determine (MacKay's gamma)."""
    return sum(
        len(members) - float(covariance.trace()) / spread**2
        for members, covariance in blocks
    )


def _moved(spread: float, log_step: float) -> float:
    low, high = _LOG_LIMITS
    return math.exp(min(max(math.log(spread) + log_step, low), high))
