"""Runs two ways of doing the same thing in turn and prints their medians and the ratio."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def compare(
    title: str,
    ours: Callable[[], object],
    theirs: Callable[[], object],
    goal: str,
    rounds: int = 7,
    settle: Callable[[], object] = lambda: None,
) -> float:
    """Time ours and theirs alternately (the first of each is not counted); give ours / theirs.

    `settle` waits, untimed, until what one side left to do is done and cannot slow the other.
    """

    def timed(work: Callable[[], object]) -> float:
        took = seconds(work)
        settle()
        return took

    timed(ours), timed(theirs)
    times: list[tuple[float, float]] = []
    for number in range(
        rounds
    ):  # who goes first changes, so that neither is always the warm one
        pair = [
            timed(work) for work in ((ours, theirs) if number % 2 else (theirs, ours))
        ]
        times.append((pair[0], pair[1]) if number % 2 else (pair[1], pair[0]))
    a, b = (statistics.median(column) for column in zip(*times, strict=True))
    ratio = statistics.median(x / y for x, y in times)
    print(
        f"{title}: ours {a * 1e3:.1f} ms, theirs {b * 1e3:.1f} ms, ratio {ratio:.3f} (goal {goal})"
    )
    return ratio
