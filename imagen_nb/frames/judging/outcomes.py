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
    at, weights, tied = _tilted(middle, rest, y, tie)
    first = (weights * at).sum(axis=0)
    second = (weights * np.square(at - first)).sum(axis=0)
    precision = np.maximum(1 / second - 1 / rest, _SMALLEST_PRECISION)
    shift = first * (precision + 1 / rest) - middle / rest
    chance = (weights * tied).sum(axis=0)
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


def _tilted(
    middle: Floats, variance: Floats, y: Floats, tie: float
) -> tuple[Floats, Floats, Floats]:
    """Return where integrals are evaluated, the weights, and the chance of a tie there.

    Each (nodes, comparisons); weights are those of a normal distribution times the
    likelihood of the outcome, and sum to 1.
    """
    import numpy as np

    nodes, normal = _quadrature()
    at = middle + nodes[:, None] * np.sqrt(variance)
    half, weight = np.exp(at / 2), math.exp(tie)
    total = half + 1 / half + weight
    tied = weight / total
    seen = np.where(y == 1, half, np.where(y == 0, 1 / half, weight)) / total
    weights = normal[:, None] * seen
    return at, weights / weights.sum(axis=0), tied


@functools.cache
def _quadrature() -> tuple[Floats, Floats]:
    """Return points of the standard normal distribution, evenly apart, and its density."""
    import numpy as np

    nodes = np.linspace(-_DEVIATIONS, _DEVIATIONS, _NODES)
    return nodes, np.exp(-np.square(nodes) / 2)
