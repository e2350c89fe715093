"""Statistics of pairs, each with a 90 % interval.

Intervals of shares are Wilson's (1927); those of Kendall's tau and of the probability
that one is more than another are by the jackknife over pictures, which for the latter is
nearly DeLong's (1988).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imagen_nb.frames.judging.strengths import Z_OF_INTERVAL

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from imagen_nb.frames.judging.outcomes import Floats, Integers

_FEWEST_FOR_INTERVAL = 4  # pictures, for an interval
_PICTURES_PER_BLOCK = 512  # compared with all others at once


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 90 % interval (NaN where there is none), of so many."""

    value: float
    low: float
    high: float
    count: int


def share(part: int, whole: int) -> Estimate:
    """Return a share with Wilson's interval; `whole` is 1 or more."""
    z = Z_OF_INTERVAL
    middle = (part + z**2 / 2) / (whole + z**2)
    half = z / (whole + z**2) * math.sqrt(part * (whole - part) / whole + z**2 / 4)
    return Estimate(part / whole, max(0, middle - half), min(1, middle + half), whole)


def kendall(x: Floats, y: Floats, stratum: Integers) -> Estimate | None:
    """Return Kendall's tau-b of pairs within strata; None where no pair says anything.

    Args:
        x: a number for each picture, NaN for none.
        y: another one.
        stratum: only pictures of the same one are compared.
    """
    import numpy as np

    known = ~(np.isnan(x) | np.isnan(y))
    x, y, stratum = x[known], y[known], stratum[known]
    sums = np.zeros((3, len(x)))
    for start in range(0, len(x), _PICTURES_PER_BLOCK):
        rows = slice(start, start + _PICTURES_PER_BLOCK)
        same = stratum[rows, None] == stratum
        of_x = np.sign(x[rows, None] - x) * same
        of_y = np.sign(y[rows, None] - y)
        sums[0, rows] = (of_x * of_y).sum(axis=1)
        sums[1, rows] = np.abs(of_x).sum(axis=1)
        sums[2, rows] = (np.abs(of_y) * same).sum(axis=1)

    def tau(agreeing: Floats, differing_x: Floats, differing_y: Floats) -> Floats:
        possible = np.sqrt(differing_x * differing_y)
        found: Floats = np.full(len(possible), np.nan)
        return np.divide(agreeing, possible, out=found, where=possible > 0)

    return _jackknifed(sums, 2, tau, (-1.0, 1.0))


def chance_of_more(
    values: Floats,
    upper: NDArray[np.bool_],
    lower: NDArray[np.bool_],
    stratum: Integers,
) -> Estimate | None:
    """Return how likely one of the upper pictures has more than one of the lower ones.

    Equal values count half (it is the area under the ROC curve). None where no two can be
    compared.

    Args:
        values: a number for each picture, NaN for none.
        upper: which pictures are those that should have more.
        lower: which are the others.
        stratum: only pictures of the same one are compared.
    """
    import numpy as np

    known = ~np.isnan(values) & (upper | lower)
    values, upper, stratum = values[known], upper[known], stratum[known]
    sums = np.zeros((2, len(values)))  # of each picture: wins of the upper one, pairs
    for number in np.unique(stratum):
        own = np.flatnonzero(stratum == number)
        above, below = own[upper[own]], own[~upper[own]]
        sums[0, above] = _count_less(values[above], values[below])
        sums[0, below] = len(above) - _count_less(values[below], values[above])
        sums[1, above], sums[1, below] = len(below), len(above)

    def chance(wins: Floats, pairs: Floats) -> Floats:
        found: Floats = np.full(len(pairs), np.nan)
        return np.divide(wins, pairs, out=found, where=pairs > 0)

    # Each pair is in the sums of both of its pictures: so half of a sum is the number.
    return _jackknifed(sums, 2, chance, (0.0, 1.0))


def _count_less(values: Floats, others: Floats) -> Floats:
    """Return how many of the others are less than each value; equal ones count half."""
    import numpy as np

    ordered = np.sort(others)
    less = np.searchsorted(ordered, values, "left")
    not_more = np.searchsorted(ordered, values, "right")
    return np.asarray((less + not_more) / 2)


def _jackknifed(
    sums: Floats,
    shared_by: int,
    statistic: Callable[..., Floats],
    limits: tuple[float, float],
) -> Estimate | None:
    """Return the statistic of all pictures, with an interval by leaving out each of them.

    Few pictures that agree wholly are no proof: the standard error is 1/n at least.

    Args:
        sums: what of the totals each picture takes part in: (totals, pictures).
        shared_by: how many pictures' sums have the same part.
        statistic: of totals: arrays in, an array out.
        limits: of its values.
    """
    import numpy as np

    totals = sums.sum(axis=1)
    value = float(statistic(*(np.array([total]) for total in totals))[0])
    if math.isnan(value):
        return None
    count = int((sums[-1] > 0).sum())
    without = statistic(*(totals[:, None] - shared_by * sums))
    without = without[~np.isnan(without)]
    if count < _FEWEST_FOR_INTERVAL or len(without) < _FEWEST_FOR_INTERVAL:
        return Estimate(value, math.nan, math.nan, count)
    spread = float(np.square(without - without.mean()).sum())
    error = max(math.sqrt(spread * (count - 1) / count), 1 / count)
    low, high = value - Z_OF_INTERVAL * error, value + Z_OF_INTERVAL * error
    return Estimate(value, max(low, limits[0]), min(high, limits[1]), count)
