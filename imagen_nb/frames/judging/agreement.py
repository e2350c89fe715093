"""Whether votes, ratings and keepers agree, and voters with each other and themselves."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from imagen_nb.frames.judging.comparisons import (
    Comparisons,
    compare,
    ids_of_rows,
    with_distinct_ids,
)
from imagen_nb.frames.judging.ranking import stars_of
from imagen_nb.frames.judging.statistics import Estimate, chance_of_more, kendall, share
from imagen_nb.frames.judging.strengths import fit
from imagen_nb.frames.schema import parse_tags, require_columns
from imagen_nb.storage.tags import KEEPER, REJECT

if TYPE_CHECKING:
    import pandas as pd

    from imagen_nb.frames.judging.outcomes import Floats, Integers

_AGREEMENT_COLUMNS = ("compared", "measure", "value", "low", "high", "count", "said")
_KENDALL, _CHANCE, _SHARE = "Kendall's tau", "probability", "share"
_MOST_VOTERS = 6  # who are compared with each other: those with most votes
_MAX_NAME = 40  # characters of a voter's name in a sentence


def measure_agreement(frame: pd.DataFrame, votes: pd.DataFrame) -> pd.DataFrame:
    """Return how far votes, ratings and keepers agree, a row for each two.

    Its columns: `compared` ("votes and ratings"), `measure`, `value` with its 90 %
    interval `low` and `high` (NaN where there is too little for one), `count` (of
    pictures, pairs or votes), and `said`, one sentence. What cannot be compared has no
    row. Strengths are compared within components only.

    Args:
        frame: pictures; needs `id`, and `tags` for ratings and keepers.
        votes: as of `im.votes()`.

    Raises:
        UsageError: if the frame or the votes lack a column, or there are several
            questions.
    """
    import numpy as np
    import pandas as pd

    require_columns(frame, "id", "tags")
    frame = with_distinct_ids(frame)
    decided = compare(ids_of_rows(frame), votes).decided()
    rows = [
        *_with_labels(frame, decided),
        *_among_voters(decided),
        *_with_oneself(decided),
        *_by_side(decided),
    ]
    types = {"value": np.float64, "low": np.float64, "high": np.float64}
    found = pd.DataFrame(rows, columns=[*_AGREEMENT_COLUMNS]).astype(types)
    return found.astype(
        {"compared": "str", "measure": "str", "said": "str", "count": "Int64"}
    )


def _agreement_row(
    compared: str, measure: str, found: Estimate, said: str
) -> dict[str, Any]:
    return {"compared": compared, "measure": measure, **asdict(found), "said": said}


def _with_labels(frame: pd.DataFrame, decided: Comparisons) -> Iterator[dict[str, Any]]:
    """Yield the rows of ratings and keepers."""
    import numpy as np

    found = fit(decided.items, decided.left, decided.right, decided.outcome)
    stars = stars_of(frame)
    tags = [parse_tags(each) for each in frame["tags"]]
    keepers = np.array([KEEPER in each for each in tags], np.bool_)
    rejects = np.array([REJECT in each for each in tags], np.bool_)
    others, name = (rejects, "a reject") if rejects.any() else (~keepers, "another")
    if tau := kendall(stars, found.strength, found.component):
        said = f"tau of stars and strength is {_interval(tau)}, {_of(tau, 'picture')}"
        yield _agreement_row("votes and ratings", _KENDALL, tau, said)
    if won := _won_by_stars(stars, decided):
        said = f"the one with more stars won {_percent(won, 'vote')}"
        yield _agreement_row("votes and ratings", _SHARE, won, said)
    if more := chance_of_more(found.strength, keepers, others, found.component):
        said = (
            f"a keeper is stronger than {name} with a probability of {_interval(more)}"
        )
        yield _agreement_row("votes and keepers", _CHANCE, more, said)
    everywhere = np.zeros(len(stars), np.int64)
    if more := chance_of_more(stars, keepers, others, everywhere):
        said = f"a keeper has more stars than {name} with a probability of {_interval(more)}"
        yield _agreement_row("ratings and keepers", _CHANCE, more, said)


def _won_by_stars(stars: Floats, decided: Comparisons) -> Estimate | None:
    """Return in which share of votes the one with more stars won; ties do not count."""
    import numpy as np

    more = np.sign(stars[decided.left] - stars[decided.right])  # NaN without stars
    won = np.sign(decided.outcome - 0.5)
    count = int(((more * won) ** 2 == 1).sum())
    return share(int((more * won == 1).sum()), count) if count else None


def _among_voters(decided: Comparisons) -> Iterator[dict[str, Any]]:
    """Yield the rows of any two voters: on pairs that both judged, and of their orders."""
    import numpy as np

    voters = decided.voters()[:_MOST_VOTERS]
    votes = {voter: decided.where(decided.voter == voter) for voter in voters}
    answers = {voter: _answers_by_pair(votes[voter]) for voter in voters}
    fits = {
        voter: fit(own.items, own.left, own.right, own.outcome)
        for voter, own in votes.items()
        if len(voters) > 1
    }
    for one, other in itertools.combinations(voters, 2):
        names = f"{_named(one)} and {_named(other)}"
        both = answers[one].keys() & answers[other].keys()
        if both:
            same = sum(
                _verdict(answers[one][k]) == _verdict(answers[other][k]) for k in both
            )
            found = share(same, len(both))
            said = f"{names} answer the same on {_percent(found, 'pair')}"
            yield _agreement_row(names, _SHARE, found, said)
        stratum = _common(fits[one].component, fits[other].component)
        x = np.where(stratum < 0, np.nan, fits[one].strength)
        if tau := kendall(x, fits[other].strength, stratum):
            said = f"tau of the orders of {names} is {_interval(tau)}, {_of(tau, 'picture')}"
            yield _agreement_row(names, _KENDALL, tau, said)


def _common(one: Integers, other: Integers) -> Integers:
    """Return a number for each two components that overlap; -1 outside either."""
    import numpy as np

    both = one * (other.max(initial=0) + 1) + other
    return np.where((one < 0) | (other < 0), -1, both)


def _answers_by_pair(votes: Comparisons) -> dict[tuple[int, int], list[float]]:
    """Return a voter's answers by pair, in their order: 1 where the first is better."""
    found: dict[tuple[int, int], list[float]] = {}
    for left, right, outcome in zip(
        votes.left.tolist(), votes.right.tolist(), votes.outcome.tolist(), strict=True
    ):
        swapped = left > right
        pair = (right, left) if swapped else (left, right)
        found.setdefault(pair, []).append(1 - outcome if swapped else outcome)
    return found


def _verdict(answers: list[float]) -> int:
    """Return 1 if most answers are for the first one, -1 for the second one, else 0."""
    mean = sum(answers) / len(answers)
    return (mean > 0.5) - (mean < 0.5)


def _with_oneself(decided: Comparisons) -> Iterator[dict[str, Any]]:
    """Yield a row for each voter who was asked for a pair again."""
    for voter in decided.voters():
        answers = _answers_by_pair(decided.where(decided.voter == voter)).values()
        again = [two for each in answers for two in itertools.pairwise(each)]
        if again:
            found = share(sum(one == other for one, other in again), len(again))
            name = _named(voter)
            said = f"asked again, {name} answers the same on {_percent(found, 'pair')}"
            yield _agreement_row(f"{name} again", _SHARE, found, said)


def _by_side(decided: Comparisons) -> Iterator[dict[str, Any]]:
    """Yield how often the left one was chosen, of the votes that are no ties."""
    clear = decided.outcome[decided.outcome != 0.5]
    if not len(clear):
        return
    found = share(int((clear == 1).sum()), len(clear))
    said = f"the left one was chosen in {_percent(found, 'vote')}"
    if not found.low <= 0.5 <= found.high:
        said += ": the side matters, show pairs both ways"
    yield _agreement_row("left and right", _SHARE, found, said)


def _named(voter: str) -> str:
    """Return a voter's name in one line, not too long; "an unnamed voter" for none."""
    name = " ".join(voter.split()) or "an unnamed voter"
    return name if len(name) <= _MAX_NAME else f"{name[:_MAX_NAME]}…"


def _interval(found: Estimate) -> str:
    if found.low != found.low:
        return f"{found.value:.2f}"
    return f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f})"


def _percent(found: Estimate, what: str) -> str:
    interval = f"({found.low:.0%} to {found.high:.0%})"
    return f"{found.value:.0%} {interval} {_of(found, what)}"


def _of(found: Estimate, what: str) -> str:
    return f"of {found.count:,} {what}{'s' if found.count != 1 else ''}"
