"""Which two pictures of a duel to ask for next.

    state = begin_duel(frame, votes, voter="ada", first=3)
    pair = next_pair(state, rng)
    state = state.after(pair.left, pair.right, "left")

The pair that teaches most is asked for: the one with the most mutual information of its
answer and the strengths (BALD: Houlsby and others, "Bayesian active learning for
classification and preference learning", arXiv:1112.5745, 2011; ties left out of account),
times the probability that the two stand in the wrong order now. So uncertain neighbours
and pictures of which little is known are asked for, and foregone conclusions are not.
Information alone finds strengths; weighed so, the order is found with fewer votes
(bench/ranking.py). Where only the first n matter, it counts by the probability that one of
the two is among them. Of a pair that this voter had k times it counts 1 / (1 + k), as people
answer the same again. (That pairs are chosen by the strengths found so far leaves the
posterior as it is: the likelihood does not depend on how pairs were chosen.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imagen_nb.frames.judging.certainty import chances_to_be_first
from imagen_nb.frames.judging.duel import DuelState

if TYPE_CHECKING:
    import numpy as np

    from imagen_nb.frames.judging.outcomes import Floats, Integers

_NOT_SOON = 10  # own votes after which a pair may be asked for again
_REPEATS = 0.05  # of all pairs are asked again, to see whether one agrees with oneself
_PROBIT = 1.702  # a logistic function so much narrower is about a normal distribution's
# Of the bell curve: pi · log 2 / 2 in units of the normal distribution, here in log odds.
_ENTROPY_VARIANCE = 1.0888 * _PROBIT**2
_MOST_WEIGHED = 40_000  # pairs: of more, so many by chance
_JITTER = 0.1  # of information: people who vote at once do not all get the same pair


@dataclass(frozen=True, slots=True)
class Pair:
    """Two pictures by their ids, as they are to be shown.

    `repeat`: whether it is asked for again, the other way round.
    """

    left: str
    right: str
    repeat: bool = False


def next_pair(
    state: DuelState,
    rng: np.random.Generator,
    pending: Sequence[Pair] = (),
) -> Pair | None:
    """Return the pair to ask for next; None where no two pictures can be compared.

    Within a group. Not one of the last 10 pairs of this voter, as long as there are
    others, and none that was skipped. One in 20 is a pair that this voter answered
    before, the other way round. A picture is about as often on the left as on the right.

    Args:
        state: the duel's.
        rng: what is left to chance.
        pending: pairs that are being looked at, or loaded.
    """
    import numpy as np

    places = {item: place for place, item in enumerate(state.items)}
    looked_at = [(places[pair.left], places[pair.right]) for pair in pending]
    if rng.random() < _REPEATS and (again := _repeated(state, rng, looked_at)):
        return again
    a, b = state.pairs
    if not len(a):
        return None
    if len(a) > _MOST_WEIGHED:
        some = rng.integers(len(a), size=_MOST_WEIGHED)
        a, b = a[some], b[some]
    value = _information_on_order(state, a, b)
    value *= _relevance(state, a, b, rng)
    keys, count = _pair_keys(state), len(state.items)
    asked = np.bincount(keys[state.own], minlength=count**2)
    value /= 1 + asked[a * count + b]
    value *= 1 - _JITTER * rng.random(len(a))
    best = _best_allowed(value, a * count + b, _not_now(state, looked_at, len(a)))
    return _oriented(state, int(a[best]), int(b[best]), rng, looked_at)


def _pair_keys(state: DuelState) -> Integers:
    """Return a number for the pair of each vote, whichever was on the left: (votes,)."""
    import numpy as np

    keys: Integers = np.minimum(state.left, state.right) * len(state.items)
    return keys + np.maximum(state.left, state.right)


def _information_on_order(state: DuelState, a: Integers, b: Integers) -> Floats:
    """Return what each answer tells, times how likely the order is wrong: (pairs,)."""
    import numpy as np

    own = state.covariance.diagonal()
    variance = np.maximum(own[a] + own[b] - 2 * state.covariance[a, b], 1e-9)
    difference = np.abs(state.mean[a] - state.mean[b])
    wrong = 1 / (1 + np.exp(_PROBIT * difference / np.sqrt(variance)))
    value: Floats = expected_information(difference, variance) * wrong
    return value


def expected_information(difference: Floats, variance: Floats) -> Floats:
    """Return the mutual information of strengths and a better-or-worse answer, in nats.

    The entropy of the answer, less what it would be if the strengths were known. The
    entropy by a bell curve, as Houlsby has it, which can be integrated; the mean of a
    logistic function by MacKay's approximation.

    Args:
        difference: of two strengths, its mean, 0 or more: (pairs,).
        variance: that of the difference.
    """
    import numpy as np

    odds = difference / np.sqrt(1 + np.pi / 8 * variance)
    wide = 1 + variance / _ENTROPY_VARIANCE
    unknown = np.exp(-0.5 * odds**2 / _ENTROPY_VARIANCE)
    known = np.exp(-0.5 * difference**2 / (_ENTROPY_VARIANCE * wide)) / np.sqrt(wide)
    information: Floats = np.log(2) * (unknown - known)
    return information


def _relevance(
    state: DuelState, a: Integers, b: Integers, rng: np.random.Generator
) -> Floats:
    """Return how likely one of each pair is among the first ones: (pairs,)."""
    import numpy as np

    if state.first is None:
        return np.ones(len(a))
    deviation = np.sqrt(state.covariance.diagonal())
    chance = chances_to_be_first(state.mean, deviation, state.group, state.first, rng)
    relevance: Floats = chance[a] + chance[b] - chance[a] * chance[b]
    return relevance + 1e-6


def _not_now(
    state: DuelState, looked_at: Sequence[tuple[int, int]], pairs: int
) -> tuple[Integers, Integers]:
    """Return the pairs that are not asked for, as numbers: never, and not now."""
    import numpy as np

    keys, count = _pair_keys(state), len(state.items)
    skipped = keys[np.isnan(state.outcome) & state.own]
    recent = keys[state.own][-min(_NOT_SOON, pairs // 2) :] if pairs > 1 else keys[:0]
    now = [min(pair) * count + max(pair) for pair in looked_at]
    return skipped, np.append(recent, np.array(now, np.int64))


def _best_allowed(
    value: Floats, keys: Integers, excluded: tuple[Integers, Integers]
) -> int:
    """Return the place of the best pair that is not excluded; if all are, of the best."""
    import numpy as np

    skipped, recent = excluded
    never, not_now = np.isin(keys, skipped), np.isin(keys, recent)
    for allowed in (~never & ~not_now, ~not_now, ~never):
        if allowed.any():
            return int(np.argmax(np.where(allowed, value, -1)))
    return int(np.argmax(value))


def _oriented(
    state: DuelState,
    a: int,
    b: int,
    rng: np.random.Generator,
    looked_at: Sequence[tuple[int, int]],
) -> Pair:
    """Return the pair with that picture on the left that was there less often."""
    lefts = [*state.left.tolist(), *(left for left, _ in looked_at)]
    rights = [*state.right.tolist(), *(right for _, right in looked_at)]
    more = (lefts.count(a) - rights.count(a)) - (lefts.count(b) - rights.count(b))
    if more > 0 or (more == 0 and rng.random() < 0.5):
        a, b = b, a
    return Pair(state.items[a], state.items[b])


def _repeated(
    state: DuelState, rng: np.random.Generator, looked_at: Sequence[tuple[int, int]]
) -> Pair | None:
    """Return a pair that this voter answered once, some time ago, the other way round."""
    import numpy as np

    own = np.flatnonzero(state.own)
    keys = _pair_keys(state)[own]
    now = [min(pair) * len(state.items) + max(pair) for pair in looked_at]
    _, first, times = np.unique(keys, return_index=True, return_counts=True)
    once = np.sort(first[(times == 1) & ~np.isin(keys[first], now)])
    votes = own[once[once < len(own) - _NOT_SOON]]
    answered = ~np.isnan(state.outcome[votes])
    together = state.group[state.left[votes]] == state.group[state.right[votes]]
    votes = votes[answered & together]
    if not len(votes):
        return None
    vote = votes[rng.integers(len(votes))]
    left, right = state.left[vote], state.right[vote]
    return Pair(state.items[right], state.items[left], repeat=True)
