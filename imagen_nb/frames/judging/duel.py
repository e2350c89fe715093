"""The state of a duel: all its votes, and what they tell of the pictures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from imagen_nb.errors import UsageError
from imagen_nb.frames.judging.comparisons import (
    OUTCOMES,
    compare,
    ids_of_rows,
    with_distinct_ids,
)
from imagen_nb.frames.judging.outcomes import site_of
from imagen_nb.frames.judging.strengths import Posterior, components_of, fit_posterior
from imagen_nb.frames.schema import require_columns
from imagen_nb.system.spelling import describe_meant

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from imagen_nb.frames.judging.outcomes import Floats, Integers

WITHIN = "prompt"  # pictures of one prompt are compared with each other
MOST_PICTURES = 1_000  # of a duel
_REFIT_AFTER = 1.15  # times as many votes: until then each is added to what is known


@dataclass(frozen=True, slots=True, eq=False)
class DuelState:
    """All votes of a duel, and what they tell; `after` returns that after another one.

    Invariant: `mean` and `covariance` belong to all votes; the last of them may be added
    one by one to the `posterior`, which belongs to the first ones.

    `items`: ids of pictures. `group`: of each, those that are compared with each other
    have the same number. `pairs`: the places of all such two. `first`: how many of each
    group are to be in order, None for all. `left`, `right`, `outcome`: the votes (NaN:
    skipped), of which those of `own` are by the present voter.
    """

    items: tuple[str, ...]
    group: Integers
    pairs: tuple[Integers, Integers]
    first: int | None
    left: Integers
    right: Integers
    outcome: Floats
    own: NDArray[np.bool_]
    posterior: Posterior
    mean: Floats
    covariance: Floats

    def after(self, left: str, right: str, outcome: str) -> DuelState:
        """Return the state after the present voter's vote on two pictures, by their ids.

        Raises:
            UsageError: for an unknown outcome, or pictures that are not in the duel.
        """
        import numpy as np

        if outcome not in OUTCOMES:
            raise UsageError(
                f"an outcome is one of {', '.join(OUTCOMES)}, not {outcome!r}"
                f"{describe_meant(outcome, OUTCOMES)}"
            )
        places = {item: place for place, item in enumerate(self.items)}
        if left not in places or right not in places or left == right:
            raise UsageError(f"{left} and {right} are no pair of this duel")
        voted = replace(
            self,
            left=np.append(self.left, places[left]),
            right=np.append(self.right, places[right]),
            outcome=np.append(self.outcome, OUTCOMES[outcome]),
            own=np.append(self.own, True),
        )
        return voted if outcome == "skip" else _with_last_vote(voted)


def begin_duel(
    frame: pd.DataFrame,
    votes: pd.DataFrame | None = None,
    *,
    voter: str | None = None,
    first: int | None = None,
    within: str | None = WITHIN,
) -> DuelState:
    """Return the state of a duel of the frame's pictures after these votes.

    Args:
        frame: pictures; needs `id`, and the column `within`.
        votes: as of `im.votes()`; None for none yet.
        voter: who votes now; None counts all votes as theirs.
        first: how many pictures of each group are to be in order; None for all.
        within: pictures with the same value in this column are compared with each
            other; None compares all with all.

    Raises:
        UsageError: for more than 1,000 pictures, a `first` that is not 1 or more, a
            frame or votes that lack a column, or votes on several questions.
    """
    import numpy as np
    import pandas as pd

    if first is not None and (isinstance(first, bool) or int(first) < 1):
        raise UsageError(
            f"first is how many pictures, 1 or more, or None, not {first!r}"
        )
    require_columns(frame, "id", *([within] if within else []))
    rows = with_distinct_ids(frame)
    if len(rows) > MOST_PICTURES:
        raise UsageError(
            f"a duel takes {MOST_PICTURES:,} pictures at most, and these are"
            f" {len(rows):,}: choose some of them"
        )
    items = tuple(ids_of_rows(rows))
    group = np.zeros(len(rows), np.int64)
    if within:  # those without a prompt are a group of their own
        group = pd.factorize(rows[within].astype(object), use_na_sentinel=False)[0]
    if votes is None:
        votes = pd.DataFrame({"left": [], "right": [], "outcome": []}, dtype=object)
    given = compare(items, votes)
    own = np.full(len(given.left), True) if voter is None else given.voter == voter
    none = fit_posterior(len(items), *_no_votes(), component=np.zeros(0, np.int64))
    state = DuelState(
        items,
        group,
        _pairs_within(group),
        first,
        given.left,
        given.right,
        given.outcome,
        np.asarray(own, np.bool_),
        none,
        none.mean,
        np.zeros((len(items), len(items))),
    )
    return refitted(state)


def _pairs_within(group: Integers) -> tuple[Integers, Integers]:
    """Return the places of all two pictures of the same group, the lesser one first."""
    import numpy as np

    first, second = np.nonzero(np.triu(group[:, None] == group, 1))
    return first, second


def _no_votes() -> tuple[Integers, Integers, Floats]:
    import numpy as np

    return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)


def refitted(state: DuelState) -> DuelState:
    """Return the state with all its votes fitted anew."""
    import numpy as np

    decided = ~np.isnan(state.outcome)
    i, j, y = state.left[decided], state.right[decided], state.outcome[decided]
    count = len(state.items)
    component = components_of(count, i, j)
    known = fit_posterior(count, i, j, y, component, state.posterior)
    covariance = np.diag(np.full(count, known.spread**2))
    for members, block in known.blocks:
        covariance[np.ix_(members, members)] = block
    return replace(state, posterior=known, mean=known.mean, covariance=covariance)


def _with_last_vote(state: DuelState) -> DuelState:
    """Return the state with its last vote added to what was known, or all fitted anew."""
    import numpy as np

    decided = int((~np.isnan(state.outcome)).sum())
    if decided >= len(state.posterior.sites.precision) * _REFIT_AFTER:
        return refitted(state)
    a, b = int(state.left[-1]), int(state.right[-1])
    column = state.covariance[:, a] - state.covariance[:, b]
    variance = float(column[a] - column[b])
    difference = float(state.mean[a] - state.mean[b])
    y, tie = float(state.outcome[-1]), state.posterior.tie
    precision, shift = site_of(difference, variance, y, tie)
    gain = 1 / (1 + precision * variance)
    covariance = state.covariance - np.outer(column * (precision * gain), column)
    mean = state.mean + column * (gain * (shift - precision * difference))
    return replace(state, mean=mean, covariance=covariance)
