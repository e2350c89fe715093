"""Levels of settings compared within one kind of blocks, all settings at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from imagen_nb.errors import UsageError
from imagen_nb.frames.effects.factors import OTHERS, Factor, merged, moving_together
from imagen_nb.frames.effects.outcomes import Compared
from imagen_nb.frames.effects.within import (
    Basis,
    Blocks,
    Certainty,
    Fit,
    fit_within,
    ridits,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

FEWEST_BLOCKS = 5  # that a comparison is told of
COVERAGE = 0.95  # of intervals
_LEAST_FREEDOM = 2.0  # degrees, or one or two blocks decide alone
_ROUNDING_VARIANCE = 1 / 12  # of a number that is rounded to whole ones
_LEAST_MOVE = 1e-9  # of a column, which is 0 to 1
_CLASS_DIGITS = 5  # of what cannot be told of a level


@dataclass(frozen=True, slots=True)
class Comparison:
    """One level of a setting beside another.

    `effect`, `low` and `high`: on the outcome's scale, with an interval of `COVERAGE`.
    `superiority`: in which part of the pairs of a block the level is better (ties count
    half), with its interval; three NaN where the outcome is no order.
    """

    factor: Factor
    level: str
    reference: str
    effect: float
    low: float
    high: float
    superiority: tuple[float, float, float]
    p: float
    blocks: int
    pictures: int
    within: str
    noun: tuple[str, str]
    is_slope: bool = False


@dataclass(frozen=True, slots=True)
class Untold:
    """Why levels are not compared: `others`, settings that changed with it, or few blocks.

    `blocks`: how many there are, if these are too few.
    """

    factor: Factor
    level: str
    reference: str
    others: tuple[str, ...] = ()
    blocks: int = 0
    noun: tuple[str, str] = ("block", "blocks")


class BlockStudy:
    """Pictures that are compared within one kind of blocks.

    Invariant: every group has two rows or more, and `factors` are those that vary
    within some group; settings that always changed together are one of them.
    """

    def __init__(
        self, outcome: Compared, factors: Sequence[Factor], blocks: Blocks
    ) -> None:
        import numpy as np

        rows = np.flatnonzero(blocks.sizes() > 1)
        self.outcome = outcome
        self.values: Floats = outcome.values[rows]
        self.blocks = blocks.taken(rows)
        self.rows = rows
        taken = [factor.taken(rows) for factor in factors]
        varying = [self._varying(factor) for factor in taken]
        kept = [place for place, mask in enumerate(varying) if mask.any()]
        self.factors = _merged_factors(
            [taken[place] for place in kept], [varying[place] for place in kept]
        )

    def _varying(self, factor: Factor) -> NDArray[np.bool_]:
        """Return which rows are in a group in which it varies."""
        import numpy as np

        if not len(self.rows):
            return np.zeros(0, bool)
        groups, count = self.blocks.groups, int(self.blocks.groups.max()) + 1
        columns = self.blocks.centred(factor.columns())
        moves = np.abs(columns).max(axis=1) > _LEAST_MOVE
        return np.asarray(np.bincount(groups, moves, count)[groups] > 0)

    @cached_property
    def columns(self) -> Floats:
        """Return all factors' columns, side by side."""
        import numpy as np

        return np.column_stack([factor.columns() for factor in self.factors])

    @cached_property
    def fit(self) -> Fit:
        """Return the fit of the outcome itself."""
        import numpy as np

        weights = np.ones(len(self.values))
        return fit_within(Basis(self.columns, self.blocks, weights), self.values)

    @cached_property
    def order_fit(self) -> Fit:
        """Return the fit of the order in each block."""
        weights = self.blocks.sizes().astype("float64")
        basis = Basis(self.columns, self.blocks, weights)
        return fit_within(basis, ridits(self.values, self.blocks))

    def offset(self, factor: Factor) -> int:
        """Return where the factor's columns begin."""
        before = self.factors[: self.factors.index(factor)]
        return sum(one.columns().shape[1] for one in before)

    def contrast(self, factor: Factor, level: int, reference: int) -> Floats:
        """Return the row that takes one level and leaves the other: (columns,)."""
        import numpy as np

        row = np.zeros(self.columns.shape[1])
        start = self.offset(factor)
        row[start + level] = 1
        if reference >= 0:
            row[start + reference] = -1
        return row

    def results(self) -> Iterator[Comparison | Untold]:
        """Yield what can be told of each factor, and what cannot, and why."""
        for factor in self.factors:
            yield from self._levels(factor)
            if factor.slope is not None:
                row = self.contrast(factor, len(factor.labels), -1)
                yield self._result(factor, row, factor.span[1], factor.span[0], None)

    def _levels(self, factor: Factor) -> Iterator[Comparison | Untold]:
        import numpy as np

        classes = self._classes(factor)
        counts = np.bincount(
            factor.codes[factor.codes >= 0], minlength=len(factor.labels)
        )
        for members in classes.values():
            reference = factor.reference(members)
            for level in members:
                if level != reference and factor.labels[level] != OTHERS:
                    row = self.contrast(factor, level, reference)
                    at = np.isin(factor.codes, [level, reference])
                    yield self._result(
                        factor, row, factor.labels[level], factor.labels[reference], at
                    )
        yield from self._apart(factor, [*classes.values()], counts)

    def _classes(self, factor: Factor) -> dict[Any, list[int]]:
        """Return the levels that can be told from each other, together."""
        import numpy as np

        start, levels = self.offset(factor), range(len(factor.labels))
        rows = np.zeros((len(factor.labels), self.columns.shape[1]))
        rows[levels, [start + level for level in levels]] = 1
        residues = self.fit.basis.residue(rows).round(_CLASS_DIGITS) + 0.0
        classes: dict[Any, list[int]] = {}
        for level in np.unique(factor.codes[factor.codes >= 0]).tolist():
            classes.setdefault(residues[level].tobytes(), []).append(level)
        return classes

    def _apart(
        self, factor: Factor, classes: list[list[int]], counts: NDArray[np.int64]
    ) -> Iterator[Untold]:
        """Yield the classes that stood beside the largest one, and what changed with them."""
        import numpy as np

        classes = sorted(classes, key=lambda one: -sum(counts[level] for level in one))
        for place, members in enumerate(classes[1:], 1):
            for beside in classes[:place]:
                pairs = [
                    (a, b) for a in members for b in beside if self._meet(factor, a, b)
                ]
                if pairs:
                    a, b = max(pairs, key=lambda pair: int(np.min(counts[[*pair]])))
                    others = self._entangled(factor, self.contrast(factor, a, b))
                    yield Untold(factor, factor.labels[a], factor.labels[b], others)
                    break

    def _meet(self, factor: Factor, a: int, b: int) -> bool:
        import numpy as np

        groups = self.blocks.groups
        return bool(np.isin(groups[factor.codes == a], groups[factor.codes == b]).any())

    def _entangled(self, factor: Factor, contrast: Floats) -> tuple[str, ...]:
        """Return the settings without any one of which the contrast could be told."""
        found = []
        for other in self.factors:
            start = self.offset(other)
            columns = slice(start, start + other.columns().shape[1])
            if other is not factor and self.fit.basis.tells_without(columns, contrast):
                found.append(other.name)
        return tuple(found)

    def _result(
        self,
        factor: Factor,
        row: Floats,
        level: str,
        reference: str,
        at: NDArray[np.bool_] | None,
    ) -> Comparison | Untold:
        """Compare, if enough blocks tell of it. `at`: the rows of either level, or all."""
        if not self.fit.basis.tells(row[None])[0]:
            return Untold(factor, level, reference, self._entangled(factor, row))
        direction = self.fit.basis.directions(row[None])[0]
        certainty = self.fit.certainty(direction)
        if certainty.count < FEWEST_BLOCKS or certainty.freedom < _LEAST_FREEDOM:
            few = min(certainty.count, round(certainty.freedom + 1), FEWEST_BLOCKS - 1)
            return Untold(factor, level, reference, (), few, self.blocks.noun)
        effect, low, high, p = self._interval(direction, certainty)
        superiority = (float("nan"),) * 3
        if self.outcome.is_ordinal:
            superiority, p = self._superiority(row)
        telling = certainty.telling[self.blocks.clusters]
        pictures = int((telling if at is None else telling & at).sum())
        return Comparison(
            *(factor, level, reference, effect, low, high, superiority, p),
            *(certainty.count, pictures, self.blocks.within, self.blocks.noun),
            is_slope=at is None,
        )

    def _interval(
        self, direction: Floats, certainty: Certainty
    ) -> tuple[float, float, float, float]:
        effect, error = self.fit.value(direction), certainty.error
        if self.outcome.is_ordinal and (self.values % 1 == 0).all():
            # Whole stars are rounded: blocks that agree to the star may yet differ.
            rounding = _ROUNDING_VARIANCE * float(direction @ direction)
            error = max(error, rounding**0.5)
        half = interval_quantile(certainty.freedom) * error
        p = _two_sided_p(effect, error, certainty.freedom)
        return effect, effect - half, effect + half, p

    def _superiority(self, row: Floats) -> tuple[tuple[float, float, float], float]:
        """Return how often the level is better, with an interval, and the p of 1/2."""
        direction = self.order_fit.basis.directions(row[None])[0]
        certainty = self.order_fit.certainty(direction)
        lead = self.order_fit.value(direction)
        # As if one more block had not led: blocks that all agree leave a doubt.
        doubt = lead / (certainty.freedom + 2)
        error = (certainty.error**2 + doubt**2) ** 0.5
        half = interval_quantile(certainty.freedom) * error
        p = _two_sided_p(lead, error, certainty.freedom)
        bounds = [
            min(1.0, max(0.0, 0.5 + one)) for one in (lead, lead - half, lead + half)
        ]
        # No test of signs gives less: all blocks on one side.
        return (bounds[0], bounds[1], bounds[2]), max(p, 2.0 ** (1 - certainty.count))


def _merged_factors(
    factors: list[Factor], varying: list[NDArray[np.bool_]]
) -> list[Factor]:
    groups = [*moving_together(factors, varying)]
    together = {place for group in groups for place in group}
    alone = [one for place, one in enumerate(factors) if place not in together]
    joined = []
    for group in groups:
        rows = varying[group[0]].copy()
        for place in group[1:]:
            rows |= varying[place]
        joined.append(merged([factors[place] for place in group], rows))
    return [*alone, *joined]


def require_statistics() -> Any:
    """Return `scipy.stats`; raise UsageError where it is not installed."""
    try:
        from scipy import stats
    except ImportError:
        raise UsageError('effects need SciPy: pip install "imagen_nb[judge]"') from None
    return stats


def interval_quantile(freedom: float) -> float:
    """Return how many standard errors reach to the end of an interval."""
    return float(require_statistics().t.ppf((1 + COVERAGE) / 2, freedom))


def _two_sided_p(effect: float, error: float, freedom: float) -> float:
    if error <= 0:
        return 0.0 if effect else 1.0
    return float(2 * require_statistics().t.sf(abs(effect) / error, freedom))
