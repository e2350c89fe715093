"""Pairs of settings of which one changes what the other does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from imagen_nb.frames.effects.comparing import (
    BlockStudy,
    interval_quantile,
    require_statistics,
)
from imagen_nb.frames.effects.factors import OTHERS, Factor
from imagen_nb.frames.effects.within import Basis, Fit, fit_within

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_MOST_PAIRS = 28  # of eight settings; more are not looked at
_LEAST_PAIR_FREEDOM = 4.0


@dataclass(frozen=True, slots=True)
class Move:
    """From one level of a setting to another. `row`: as a contrast of its columns."""

    factor: Factor
    level: str
    reference: str
    row: Floats


@dataclass(frozen=True, slots=True)
class Interaction:
    """How the effect of one setting depends on another.

    `first` and `second`: the moves whose effects depend most on each other; `effect`,
    with `low` and `high`, is by how much more the first does after the second. `p`: of
    all levels of both together.
    """

    first: Move
    second: Move
    effect: float
    low: float
    high: float
    p: float
    blocks: int


def interactions(study: BlockStudy, factors: Sequence[Factor]) -> Iterator[Interaction]:
    """Yield the pairs of these settings that the blocks tell of.

    All levels of a pair are tested together, by Wald's test with the covariance of
    `Fit.covariance` and Hotelling's F.
    """
    pairs = [*combinations(factors, 2)][:_MOST_PAIRS]
    for first, second in pairs:
        found = _interaction(study, first, second)
        if found:
            yield found


def _interaction(
    study: BlockStudy, first: Factor, second: Factor
) -> Interaction | None:
    import numpy as np

    products = first.columns()[:, :, None] * second.columns()[:, None, :]
    products = products.reshape(len(products), -1)
    weights = np.ones(len(products))
    columns = np.column_stack([study.columns, products])
    basis = Basis(columns, study.blocks, weights)
    cells, rows = [], []
    for one in _moves_of(first):
        for other in _moves_of(second):
            row = np.zeros(columns.shape[1])
            row[study.columns.shape[1] :] = np.outer(one.row, other.row).ravel()
            if basis.tells(row[None])[0]:
                cells.append((one, other))
                rows.append(row)
    if not cells:
        return None
    fit = fit_within(basis, study.values)
    return _tested(fit, cells, basis.directions(np.array(rows)))


def _moves_of(factor: Factor) -> Iterator[Move]:
    """Yield the moves from the reference to each other level, and the slope's."""
    import numpy as np

    width = factor.columns().shape[1]
    counts = np.bincount(factor.codes[factor.codes >= 0], minlength=len(factor.labels))
    reference = factor.reference(np.flatnonzero(counts).tolist())
    for level, label in enumerate(factor.labels):
        if level != reference and label != OTHERS and counts[level]:
            row = np.zeros(width)
            row[level], row[reference] = 1, -1
            yield Move(factor, label, factor.labels[reference], row)
    if factor.slope is not None:
        row = np.zeros(width)
        row[-1] = 1
        yield Move(factor, factor.span[1], factor.span[0], row)


def _tested(
    fit: Fit, cells: list[tuple[Move, Move]], directions: Floats
) -> Interaction | None:
    import numpy as np

    certainties = [fit.certainty(one) for one in directions]
    freedom = min(one.freedom for one in certainties)
    left = freedom - len(cells) + 1
    if left < _LEAST_PAIR_FREEDOM:
        return None
    values = directions @ fit.estimates
    wald = float(values @ np.linalg.pinv(fit.covariance(directions)) @ values)
    p = require_statistics().f.sf(
        wald * left / (freedom * len(cells)), len(cells), left
    )
    strengths = [
        abs(value) / max(1e-300, one.error)
        for value, one in zip(values, certainties, strict=True)
    ]
    place = int(np.argmax(strengths))
    half = interval_quantile(certainties[place].freedom) * certainties[place].error
    value = float(values[place])
    return Interaction(
        *cells[place],
        *(value, value - half, value + half, float(p)),
        certainties[place].count,
    )
