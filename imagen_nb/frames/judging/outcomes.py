"""What came of a comparison: Davidson's model, and what an outcome says of strengths."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Integers: TypeAlias = NDArray[np.int64]

# The logarithm of a tie's weight is normal around -2: 6 % of equal pictures, or 1 to 30 %.
TIE_MEAN, _TIE_DEVIATION = -2.0, 2.0
_SMALLEST_PRECISION = 1e-9
_COMPARISONS_AT_ONCE = 500  # comparisons
_NODES, _DEVIATIONS = 33, 5.0  # of integrals: so many points, to so far from the middle


@dataclass(frozen=True, slots=True, eq=False)
class Sites:
    """What each comparison says of a difference, as a normal factor of the posterior.

    `precision`, `shift` (precision times mean): (comparisons,).
    """

    precision: Floats
    shift: Floats


def outcome_probabilities(difference: Floats, tie: float) -> tuple[Floats, Floats]:
    """Return how likely it is that the first one wins, and that neither does.

    Args:
        difference: of the strengths, the first one's minus the second one's.
        tie: the logarithm of a tie's weight.
    """
    import numpy as np

    half = difference / 2
    total = np.logaddexp(np.logaddexp(half, -half), tie)
    return np.exp(half - total), np.exp(tie - total)


def next_sites(
    difference: Floats, variance: Floats, y: Floats, sites: Sites, tie: float
) -> tuple[Sites, float]:
    """Return the sites that match moments, and the next weight of a tie.

    Args:
        difference: of the strengths in each comparison, its posterior mean.
        variance: that of the difference.
        y: the outcomes.
        sites: those that are in this posterior.
        tie: the logarithm of a tie's weight.
    """
    import numpy as np

    rest = 1 / np.maximum(1 / variance - sites.precision, _SMALLEST_PRECISION)
    middle = rest * (difference / variance - sites.shift)
    mean, spread, chance = _tilted_moments(middle, np.sqrt(rest), y, tie)
    precision = np.maximum(1 / spread - 1 / rest, _SMALLEST_PRECISION)
    shift = mean * (precision + 1 / rest) - middle / rest
    off = (tie - TIE_MEAN) / _TIE_DEVIATION
    slope = (y == 0.5).sum() - chance.sum() - off / _TIE_DEVIATION
    curvature = (chance * (1 - chance)).sum() + _TIE_DEVIATION**-2
    step = float(np.clip(slope / curvature, -1, 1))
    return Sites(precision, shift), tie + step


def site_of(
    difference: float, variance: float, y: float, tie: float
) -> tuple[float, float]:
    """Return the precision and the shift of a new comparison's site."""
    import numpy as np

    new = Sites(np.zeros(1), np.zeros(1))
    at, of = np.array([difference]), np.array([variance])
    found, _ = next_sites(at, of, np.array([y]), new, tie)
    return float(found.precision[0]), float(found.shift[0])


def _tilted_moments(
    middle: Floats, deviation: Floats, y: Floats, tie: float
) -> tuple[Floats, Floats, Floats]:
    """Return mean and variance of differences once outcomes are known, and P(tie).

    Of a normal distribution times the likelihood of the outcome, some comparisons at a
    time: so the arrays stay in the processor's cache.
    """
    import numpy as np

    nodes, normal, powers = _quadrature()
    weight, is_tie = math.exp(tie), y == 0.5
    sign = np.where(y == 0, -0.5, 0.5)  # as if the first one had always won, or a tie
    moments, chance = np.empty((3, len(y))), np.empty(len(y))
    for begin in range(0, len(y), _COMPARISONS_AT_ONCE):
        some = slice(begin, begin + _COMPARISONS_AT_ONCE)
        half = np.exp(sign[some] * (middle[some] + nodes * deviation[some]))
        total = half + 1 / half + weight
        mass = normal * np.where(is_tie[some], weight, half) / total
        moments[:, some] = powers @ mass
        chance[some] = (mass / total).sum(axis=0)
    zeroth, first, second = moments
    first = first / zeroth
    spread = np.maximum(second / zeroth - first**2, _SMALLEST_PRECISION)
    mean = middle + deviation * first
    return mean, spread * deviation**2, weight * chance / zeroth


@functools.cache
def _quadrature() -> tuple[Floats, Floats, Floats]:
    """Return points of the standard normal distribution, evenly apart.

    The points and the density there, both (points, 1), and the points' powers 0 to 2.
    """
    import numpy as np

    nodes = np.linspace(-_DEVIATIONS, _DEVIATIONS, _NODES)
    density = np.exp(-np.square(nodes) / 2)
    return nodes[:, None], density[:, None], np.array([nodes**0, nodes, nodes**2])
