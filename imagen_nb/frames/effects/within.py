"""Least squares within blocks, with intervals that trust nothing but the blocks.

Only differences within a block count: each block has a level of its own (fixed effects),
so that a prompt or seed that is liked, or a slow one, moves nothing. How certain an
estimate is follows from how it changes when a block is left out (the cluster jackknife,
CV3 of MacKinnon, Nielsen and Webb, "Leverage, influence, and the jackknife in clustered
regression models", Stata Journal 23, 2023), with Student's t. Its degrees of freedom are
one less than the effective number of blocks, which is small where few blocks decide
(Carter, Schnepel and Steigerwald, "Asymptotic behavior of a t-test robust to cluster
heterogeneity", Review of Economics and Statistics 99, 2017). With one picture of each
level in every block it is the paired t test.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Whole = NDArray[np.int64]

_RANK_TOLERANCE = 1e-9  # of eigenvalues, relative to the largest
_TELLABLE_TOLERANCE = 1e-6  # of a contrast that the blocks cannot tell
_SHARE_OF_NONE = 1e-9  # of the information: a block with less tells nothing
_EXACT_ENTRIES = 200_000  # of all blocks' matrices; beyond, the jackknife is linearized
_ROUNDING = 1e-10  # of what varies
_LEFT_RIDGE = 1e-10  # where one block alone decides


@dataclass(frozen=True, slots=True)
class Blocks:
    """What is compared with what.

    `groups`: rows of one group are compared with each other; `clusters`: what is
    independent of each other, each within one group (or the group itself); both int64
    from 0 on, one a row. `noun`: what a cluster is called, in singular and plural.
    `within`: what the rows of a group have in common.
    """

    groups: Whole
    clusters: Whole
    within: str
    noun: tuple[str, str] = ("block", "blocks")

    def taken(self, rows: NDArray[Any]) -> Blocks:
        """Return it for these rows only, numbered anew."""
        import numpy as np

        groups, clusters = (
            np.unique(codes[rows], return_inverse=True)[1]
            for codes in (self.groups, self.clusters)
        )
        return Blocks(groups, clusters, self.within, self.noun)

    def centred(self, columns: Floats) -> Floats:
        """Return the columns, each without its mean in the group: (rows, columns)."""
        import numpy as np

        sizes = np.bincount(self.groups)
        sums = np.stack(
            [np.bincount(self.groups, column, len(sizes)) for column in columns.T], 1
        )
        return columns - (sums / sizes[:, None])[self.groups]

    def sizes(self) -> Whole:
        """Return how many rows the group of each row has."""
        import numpy as np

        return np.bincount(self.groups)[self.groups]


class Basis:
    """Independent combinations of columns, as far as the blocks tell them apart.

    Orthonormal over the rows, so that its estimates are sums of products. Invariant:
    `rows` has only zeros in a group in which none of the columns varies.
    """

    def __init__(self, columns: Floats, blocks: Blocks, weights: Floats) -> None:
        import numpy as np

        self.blocks = blocks
        self._roots = np.sqrt(weights)
        centred = blocks.centred(columns) * self._roots[:, None]
        self._products: Floats = centred.T @ centred
        self._vectors, self._scales = _independent(self._products)
        self.rows: Floats = centred @ (self._vectors / self._scales)

    @property
    def rank(self) -> int:
        """How many combinations can be told."""
        return len(self._scales)

    def residue(self, contrasts: Floats) -> Floats:
        """Return what of contrasts (count, columns) cannot be told, as such rows."""
        return contrasts - (contrasts @ self._vectors) @ self._vectors.T

    def tells(self, contrasts: Floats) -> NDArray[np.bool_]:
        """Return which contrasts of the columns, (count, columns), can be told."""
        import numpy as np

        largest = np.abs(self.residue(contrasts)).max(axis=1)
        return np.asarray(largest < _TELLABLE_TOLERANCE)

    def tells_without(self, left_out: slice, contrast: Floats) -> bool:
        """Return whether one contrast could be told, had these columns not varied."""
        import numpy as np

        kept = np.delete(np.arange(len(contrast)), left_out)
        vectors, _ = _independent(self._products[np.ix_(kept, kept)])
        shorter = contrast[kept]
        residue = shorter - vectors @ (vectors.T @ shorter)
        return bool(np.abs(residue).max() < _TELLABLE_TOLERANCE)

    def directions(self, contrasts: Floats) -> Floats:
        """Return contrasts that can be told in this basis: (count, rank)."""
        return (contrasts @ self._vectors) / self._scales

    def centred(self, outcome: Floats) -> Floats:
        """Return the outcome without the means of groups, weighted as the columns are."""
        found: Floats = self.blocks.centred(outcome[:, None])[:, 0] * self._roots
        return found


def _independent(products: Floats) -> tuple[Floats, Floats]:
    """Return the directions in which columns vary, as columns, and how far they do."""
    import numpy as np

    values, vectors = np.linalg.eigh(products)
    kept = values > _RANK_TOLERANCE * max(1e-300, float(values.max(initial=0)))
    return vectors[:, kept], np.sqrt(values[kept])


@dataclass(frozen=True, slots=True)
class Fit:
    """What the blocks say of the combinations of a basis.

    `estimates`: (rank,); `left_out`: how they change without each cluster, (clusters,
    rank); `rounding`: what an estimate along a direction of length 1 may be by the
    rounding of calculations alone.
    """

    basis: Basis
    estimates: Floats
    left_out: Floats
    rounding: float

    def value(self, direction: Floats) -> float:
        """Return the estimate in a direction of the basis."""
        return self._without_rounding(direction, float(direction @ self.estimates))

    def _without_rounding(self, direction: Floats, value: float) -> float:
        least = self.rounding * float(direction @ direction) ** 0.5
        return value if abs(value) > least else 0.0

    def information(self, direction: Floats) -> Floats:
        """Return how much each cluster tells of it: (clusters,), together about 1."""
        import numpy as np

        blocks = self.basis.blocks
        along = self.basis.rows @ direction
        own = np.bincount(blocks.clusters, along**2, len(self.left_out))
        sums = np.bincount(blocks.clusters, along, len(self.left_out))
        told: Floats = own + sums**2 * _of_others(blocks)
        return told / max(1e-300, float(own.sum()))

    def certainty(self, direction: Floats) -> Certainty:
        """Return how certain the estimate in this direction is."""
        shares = self.information(direction)
        telling = shares > _SHARE_OF_NONE
        count = int(telling.sum())
        effective = shares.sum() ** 2 / max(1e-300, (shares**2).sum())
        changes = self.left_out[telling] @ direction
        variance = float((changes**2).sum()) * (count - 1) / max(1, count)
        error = self._without_rounding(direction, variance**0.5)
        return Certainty(error, float(effective) - 1, telling)

    def covariance(self, directions: Floats) -> Floats:
        """Return the covariance of estimates in several directions: (count, count)."""
        changes = self.left_out @ directions.T
        count = len(changes)
        found: Floats = changes.T @ changes * ((count - 1) / max(1, count))
        return found


@dataclass(frozen=True, slots=True)
class Certainty:
    """`error`: the standard error; `freedom`: degrees of freedom, of Student's t.

    `telling`: which clusters say something.
    """

    error: float
    freedom: float
    telling: NDArray[np.bool_]

    @property
    def count(self) -> int:
        """How many clusters say something."""
        return int(self.telling.sum())


def fit_within(basis: Basis, outcome: Floats) -> Fit:
    """Return the least-squares fit of the outcome, one a row, on the basis."""
    import numpy as np

    rows, blocks = basis.rows, basis.blocks
    centred = basis.centred(outcome)
    estimates = rows.T @ centred
    residuals = centred - rows @ estimates
    count = int(blocks.clusters.max(initial=-1)) + 1
    # What each cluster adds: to the sums of products, and of residuals.
    scores, sums = (
        _summed(of, blocks.clusters, count)
        for of in (
            rows * residuals[:, None],
            rows,
        )
    )
    left_sums = np.bincount(blocks.clusters, residuals, count) * _of_others(blocks)
    scores += sums * left_sums[:, None]
    if count * basis.rank**2 <= _EXACT_ENTRIES:
        scores = _exactly_left_out(rows, sums, scores, blocks)
    rounding = _ROUNDING * float(np.sqrt(centred @ centred))
    return Fit(basis, estimates, -scores, rounding)


def _exactly_left_out(
    rows: Floats, sums: Floats, scores: Floats, blocks: Blocks
) -> Floats:
    """Return by how much less the estimates are without each cluster: (clusters, rank)."""
    import numpy as np

    count, rank = scores.shape
    products = (rows[:, :, None] * rows[:, None, :]).reshape(len(rows), rank * rank)
    lost = _summed(products, blocks.clusters, count).reshape(count, rank, rank)
    lost += sums[:, :, None] * (sums * _of_others(blocks)[:, None])[:, None, :]
    left = np.eye(rank) * (1 + _LEFT_RIDGE) - lost
    found = np.linalg.solve(left, scores[:, :, None])[:, :, 0]
    return np.asarray(found, np.float64)


def _summed(values: Floats, codes: Whole, count: int) -> Floats:
    """Return the sums of rows with the same code: (count, columns)."""
    import numpy as np

    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(count))
    return np.add.reduceat(values[order], starts) if count else values[:0]


def _of_others(blocks: Blocks) -> Floats:
    """Return for each cluster 1 / the rows that the rest of its group has; 0 for none."""
    import numpy as np

    count = int(blocks.clusters.max(initial=-1)) + 1
    own = np.bincount(blocks.clusters, minlength=count)
    group = np.zeros(count, np.int64)
    group[blocks.clusters] = blocks.groups
    others = np.bincount(blocks.groups)[group] - own if count else own
    return np.where(others > 0, 1 / np.maximum(1, others), 0.0)


def ridits(outcome: Floats, blocks: Blocks) -> Floats:
    """Return each row's rank in its group, ties in the middle, as a part of the group.

    Regressed with the sizes of groups as weights it is the probabilistic index model
    with the identity link over all pairs of a group (Thas, De Neve, Clement and Ottoy,
    "Probabilistic index models", Journal of the Royal Statistical Society B 74, 2012):
    a coefficient is how much more often than in half of the pairs the one is better.
    """
    import pandas as pd

    ranks = pd.Series(outcome).groupby(blocks.groups).rank(method="average")
    found: Floats = ranks.to_numpy() / blocks.sizes()
    return found
