"""Rankings by simulated voters: do intervals hold what is true, is the order found, how fast?

python bench/ranking.py [--simulations 1000] [--orders 40] [--seed 0] [--parts 1234]

1. Coverage of the 90 % intervals, of pairs by chance and of pairs that the duel asks for; beside
   it that of the Hessian of the penalised likelihood and of a bootstrap, on a part of the votes.
2. The order found with 1.3 · n · log2 n votes of voters who call the better picture better in 90 %
   of cases: in every pair alike ("steady"), or of all pairs on average, near ones less (logistic).
3. When a duel of the first three may end, and how often their order is right then.
4. Times. With choix (`pip install choix`), its strengths and time where there are no ties.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from timing import seconds

sys.path.insert(0, str(Path(__file__).parent.parent))

from imagen_nb.frames.judging.certainty import MARGIN, certainty, is_certain
from imagen_nb.frames.judging.duel import DuelState, begin_duel
from imagen_nb.frames.judging.outcomes import outcome_probabilities
from imagen_nb.frames.judging.pairs import Pair, next_pair
from imagen_nb.frames.judging.strengths import (
    Z_OF_INTERVAL,
    Posterior,
    components_of,
    fit,
    fit_posterior,
)
from tests.fixtures.voters import (
    RIGHT_IN_90_PERCENT,
    Answer,
    covered,
    kendall_tau,
    logistic,
    picture_ids,
    pictures,
    simulated,
    steady,
    votes_frame,
)

SPREADS, COUNTS, VOTES_EACH = (1.0, 2.0, 3.0), (8, 20, 40), (4, 8, 16)
GOAL = "87 to 93 %"
BOOTSTRAPS = 60
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]


def hessian_intervals(count: int, votes: Arrays, known: Posterior) -> Arrays:
    """What the maximum of the penalised likelihood and its curvature say, by Newton's method."""
    i, j, y = votes
    mean = np.zeros(count)
    for _ in range(50):
        won, tied = outcome_probabilities(mean[i] - mean[j], known.tie)
        expected = won + tied / 2
        weights = won + tied / 4 - expected**2
        slope = np.bincount(i, y - expected, count) - np.bincount(
            j, y - expected, count
        )
        curvature = np.zeros((count, count))
        np.add.at(curvature, (i, j), -weights)
        curvature += curvature.T
        curvature -= np.diag(curvature.sum(axis=1) - known.spread**-2)
        step = np.linalg.solve(curvature, slope - mean / known.spread**2)
        mean += np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-6:
            break
    error = np.sqrt(np.linalg.inv(curvature).diagonal() - known.spread**2 / count)
    return mean, mean - Z_OF_INTERVAL * error, mean + Z_OF_INTERVAL * error


def bootstrap_intervals(count: int, votes: Arrays, known: Posterior, rng) -> Arrays:
    """The middle 90 % of the maxima of votes drawn again, with replacement."""
    drawn = []
    for _ in range(BOOTSTRAPS):
        chosen = rng.integers(0, len(votes[0]), len(votes[0]))
        again = tuple(column[chosen] for column in votes)
        drawn.append(hessian_intervals(count, again, known)[0])
    low, high = np.quantile(drawn, [0.05, 0.95], axis=0)
    return np.mean(drawn, axis=0), low, high


def duel_of(
    strengths: np.ndarray,
    votes: int,
    answer: Answer,
    rng: np.random.Generator,
    first: int | None = None,
    choose: Callable[[DuelState, np.random.Generator], Pair | None] = next_pair,
    done: Callable[[DuelState], bool] = lambda state: False,
) -> DuelState:
    """The state after so many votes on pairs that it asks for, or when it is done."""
    state = begin_duel(pictures(len(strengths)), first=first)
    places = {item: place for place, item in enumerate(state.items)}
    for _ in range(votes):
        pair = choose(state, rng)
        gap = strengths[places[pair.left]] - strengths[places[pair.right]]
        state = state.after(pair.left, pair.right, answer(float(gap), rng))
        if done(state):
            break
    return state


def by_chance(state: DuelState, rng: np.random.Generator) -> Pair:
    left, right = rng.choice(len(state.items), 2, replace=False)
    return Pair(state.items[left], state.items[right])


def coverage(simulations: int, seed: int) -> None:
    print(
        f"1. Coverage of 90 % intervals (goal {GOAL}), {simulations:,} simulations of each kind"
    )
    print(
        f"   of {COUNTS} pictures, {VOTES_EACH} votes a picture, no ties or 13 % among equal ones"
    )
    for title, asks in (("pairs by chance", False), ("pairs the duel asks for", True)):
        held: dict[float, list[bool]] = {spread: [] for spread in SPREADS}
        peers: dict[str, dict[float, list[bool]]] = {
            name: {spread: [] for spread in SPREADS}
            for name in ("Hessian", "bootstrap")
        }
        for number in range(simulations):
            rng = np.random.default_rng((seed, asks, number))
            spread, tie = SPREADS[number % 3], (0.0, 0.3)[number // 3 % 2]
            count = COUNTS[int(rng.integers(2 if asks else 3))]  # asking 40 takes long
            votes = count * VOTES_EACH[int(rng.integers(3))] // 2
            true = rng.normal(0, spread, count)
            if asks:
                state = duel_of(true, votes, logistic(tie), rng)
                given = state.left, state.right, state.outcome
            else:
                given = simulated(true, votes, logistic(tie), rng)
            found = fit(true, *given)
            held[spread] += covered(true, found.low, found.high, found.component)
            component = components_of(count, *given[:2])
            if number % 5 == 0 and (component == 0).all():
                known = fit_posterior(count, *given, component)
                _, low, high = hessian_intervals(count, given, known)
                peers["Hessian"][spread] += covered(true, low, high, component)
                if number % 25 == 0:
                    _, low, high = bootstrap_intervals(count, given, known, rng)
                    peers["bootstrap"][spread] += covered(true, low, high, component)
        _print_coverage(f"{title}, ours", held)
        sys.stdout.flush()
        for name, of_spreads in peers.items():
            _print_coverage(f"{title}, {name}", of_spreads)


def _print_coverage(title: str, held: dict[float, list[bool]]) -> None:
    every = [each for of_spread in held.values() for each in of_spread]
    parts = [
        f"{100 * np.mean(of):.1f} at spread {spread:g}"
        for spread, of in held.items()
        if of
    ]
    print(
        f"   {title}: {100 * np.mean(every):.1f} % of {len(every):,} ({', '.join(parts)})"
    )


def orders(rounds: int, seed: int) -> None:
    print(
        "2. Kendall's tau with 1.3 · n · log2 n votes (goal 0.9), and the first three in order"
    )
    kinds = (
        ("steady, right in 90 % of every pair", steady(0.9), 1.0),
        ("logistic, right in 90 % on average", logistic(), RIGHT_IN_90_PERCENT),
        ("the same, 13 % ties among equal ones", logistic(0.3), RIGHT_IN_90_PERCENT),
    )
    for title, answer, spread in kinds:
        for count in (10, 20, 40, 80):
            votes = int(1.3 * count * math.log2(count))
            parts = []
            for name, choose, first in (
                ("ours", next_pair, None),
                ("ours for the first 3", next_pair, 3),
                ("by chance", by_chance, None),
            ):
                taus, firsts = [], []
                for number in range(rounds if count < 80 else max(5, rounds // 4)):
                    rng = np.random.default_rng((seed, count, number))
                    true = rng.normal(0, spread, count)
                    state = duel_of(true, votes, answer, rng, first, choose)
                    mean = _all_fitted(state)
                    taus.append(kendall_tau(true, mean))
                    firsts.append(
                        np.array_equal(np.argsort(-true)[:3], np.argsort(-mean)[:3])
                    )
                parts.append(
                    f"{name} {np.mean(taus):.3f}, {100 * np.mean(firsts):.0f} %"
                )
            print(
                f"   {title}; {count} pictures, {votes} votes: {'; '.join(parts)}",
                flush=True,
            )


def _all_fitted(state: DuelState) -> np.ndarray:
    """The strengths by all votes, as `im.ranking` gives them."""
    component = components_of(len(state.items), state.left, state.right)
    votes = (state.left, state.right, state.outcome)
    return fit_posterior(len(state.items), *votes, component).mean


def ends(rounds: int, seed: int) -> None:
    print(
        "3. A duel that ends when the first three are in order with 90 %, or after 600 votes"
    )
    for count in (10, 20, 40):
        for spread in (2.0, RIGHT_IN_90_PERCENT):
            taken, right, told = [], [], []
            for number in range(rounds):
                rng = np.random.default_rng((seed, count, number))
                true = rng.normal(0, spread, count)
                state = duel_of(true, 600, logistic(), rng, first=3, done=is_certain)
                taken.append(len(state.left))
                told.append(certainty(state))
                order = true[np.argsort(-state.mean)]
                # Right as it is told: none that comes later is stronger by more than that.
                right.append(
                    all(order[k] > order[k + 1 :].max() - MARGIN for k in range(3))
                )
            print(
                f"   {count} pictures of spread {spread:g}: {statistics.median(taken):.0f} votes"
                f" (median), said {100 * np.mean(told):.0f} %, right {100 * np.mean(right):.0f} %",
                flush=True,
            )


def times() -> None:
    print(
        "4. Times: of 500 pictures and 2,000 votes, the next pair (goal 20 ms) and the vote before"
    )
    for prompts in (1, 25):
        rng = np.random.default_rng(1)
        true = rng.normal(0, 2, 500)
        ids, rows = picture_ids(500), []
        while len(rows) < 2000:
            a, b = rng.choice(500, 2, replace=False)
            if a % prompts == b % prompts:
                rows.append(
                    (ids[a], ids[b], logistic(0.2)(float(true[a] - true[b]), rng))
                )
        begun = begin_duel(pictures(500, prompts), votes_frame(rows))
        for first in (None, 5):
            state, asked, added = replace(begun, first=first), [], []
            for _ in range(100):
                start = time.perf_counter()
                pair = next_pair(state, rng)
                middle = time.perf_counter()
                state = state.after(pair.left, pair.right, "left")
                asked.append(1e3 * (middle - start))
                added.append(1e3 * (time.perf_counter() - middle))
            told = 1e3 * seconds(lambda: certainty(state))  # noqa: B023
            print(
                f"   {prompts} prompts, first {first}: next pair {statistics.median(asked):.1f} ms"
                f" (worst {max(asked):.1f}), vote {statistics.median(added):.1f}"
                f" (worst {max(added):.1f}), certainty {told:.0f}"
            )
    for count, votes in ((100, 2_000), (200, 10_000), (500, 10_000), (2000, 10_000)):
        rng = np.random.default_rng(2)
        true = rng.normal(0, 2, count)
        given = simulated(true, votes, logistic(0.3), rng)
        took = min(seconds(lambda: fit(true, *given)) for _ in range(3))  # noqa: B023
        print(
            f"   ranking of {count} pictures by {votes:,} votes: {took:.2f} s",
            flush=True,
        )


def peer(seed: int) -> None:
    if not importlib.util.find_spec("choix"):
        print("   choix is not installed")
        return
    import choix

    for count, votes in ((20, 200), (100, 1_000)):
        rng = np.random.default_rng(seed)
        true = rng.normal(0, 2, count)
        i, j, y = simulated(true, votes, logistic(), rng)
        component = components_of(count, i, j)
        start = time.perf_counter()
        known = fit_posterior(count, i, j, y, component)
        ours = time.perf_counter() - start
        data = [
            (a, b) if won else (b, a) for a, b, won in zip(i, j, y == 1, strict=True)
        ]
        start = time.perf_counter()
        mean, covariance = choix.ep_pairwise(
            count, data, known.spread**-2, model="logit"
        )
        theirs = time.perf_counter() - start
        errors = np.sqrt(covariance.diagonal())
        own = np.empty(count)
        for members, block in known.blocks:
            own[members] = np.sqrt(block.diagonal())
        print(
            f"   choix, {count} pictures, {votes:,} votes without ties: strengths differ by"
            f" {np.abs(mean - known.mean).max():.3f} at most, standard errors by"
            f" {100 * np.abs(own / errors - 1).max():.1f} %; {theirs:.2f} s, ours {ours:.3f} s with"
            " the spread"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--orders", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parts", default="1234")
    given = parser.parse_args()
    if "1" in given.parts:
        coverage(given.simulations, given.seed)
    if "2" in given.parts:
        orders(given.orders, given.seed)
    if "3" in given.parts:
        ends(given.orders, given.seed)
    if "4" in given.parts:
        times()
        peer(given.seed)


if __name__ == "__main__":
    main()
