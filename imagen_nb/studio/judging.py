"""`im.ranking` and `im.agreement`: what votes say of a frame's pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagen_nb.errors import UsageError
from imagen_nb.frames.judging.agreement import measure_agreement
from imagen_nb.frames.judging.ranking import BY_VOTES, rank, rank_by
from imagen_nb.studio.default import studio
from imagen_nb.system.spelling import known_arguments

if TYPE_CHECKING:
    import pandas as pd


@known_arguments
def ranking(
    df: pd.DataFrame,
    by: str = BY_VOTES,
    *,
    votes: pd.DataFrame | None = None,
    question: str | None = None,
    voter: str | None = None,
) -> pd.DataFrame:
    """Return the pictures, the best first, with how strong each is and how sure that is.

    By votes, `strength` is that of Bradley and Terry's model with ties (Davidson's): the
    log odds to win against the average of the pictures that it was compared with,
    directly or through others; those are a `component`, and strengths count within one.
    `low` and `high` are its 90 % interval, `votes` is how many votes the picture was in.
    What was never compared comes last and has no strength. Votes count of which both
    pictures are in the frame. `attrs["summary"]` says all that in one sentence.

    By "rating" or by a column of numbers, `strength` is that number, without an interval.

    Args:
        df: pictures, as of `im.history()`.
        by: "votes", "rating" (the stars), or a column.
        votes: a frame of votes with the columns `left`, `right` and `outcome`; None takes
            those of the default session.
        question: which question, where votes answer several.
        voter: only votes of this one.

    Raises:
        UsageError: if a frame lacks a column, the column is not one of numbers, or votes
            answer several questions and none is chosen.

    Example:
        >>> import pandas as pd
        >>> best, other = df["id"][:2]
        >>> votes = pd.DataFrame({"left": [best], "right": [other], "outcome": ["left"]})
        >>> ranked = im.ranking(df, votes=votes)
        >>> ranked["id"].iloc[0] == best
        True
        >>> ranked.attrs["summary"]
        '2 pictures compared 1 time by 1 voter; ...'
    """
    if by != BY_VOTES:
        return rank_by(df, by)
    return rank(df, _chosen_votes(votes, question, voter))


@known_arguments
def agreement(
    df: pd.DataFrame,
    *,
    votes: pd.DataFrame | None = None,
    question: str | None = None,
) -> pd.DataFrame:
    """Return how far votes, ratings and keepers agree, a row for each two.

    Also voters among each other, voters with themselves where a pair was asked for again,
    and whether the side on which a picture was shown mattered. Columns: `compared`,
    `measure` (Kendall's tau-b, a probability, or a share), `value` and its 90 % interval
    `low` and `high`, `count`, and `said`, one sentence. What cannot be compared has no
    row.

    Args:
        df: pictures with `tags`, as of `im.history()`.
        votes: a frame of votes with the columns `left`, `right` and `outcome`; None takes
            those of the default session.
        question: which question, where votes answer several.

    Raises:
        UsageError: if a frame lacks a column, or votes answer several questions and none
            is chosen.

    Example:
        >>> import pandas as pd
        >>> left, right = df["id"][:2]
        >>> votes = pd.DataFrame(
        ...     {"left": [left, right], "right": [right, left], "outcome": ["left", "right"]}
        ... )
        >>> im.agreement(df, votes=votes)["said"].iloc[-1]
        'the left one was chosen in 50% ... of 2 votes'
    """
    return measure_agreement(df, _chosen_votes(votes, question, None))


def _chosen_votes(
    votes: pd.DataFrame | None, question: str | None, voter: str | None
) -> pd.DataFrame:
    """Return the votes on one question, or of one voter."""
    chosen = studio().votes() if votes is None else votes
    for column, wanted in (("question", question), ("voter", voter)):
        if wanted is not None:
            if column not in chosen.columns:
                raise UsageError(f"these votes have no column {column}")
            chosen = chosen[chosen[column] == wanted]
    return chosen
