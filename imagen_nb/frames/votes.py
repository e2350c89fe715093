"""Votes as a DataFrame: a row for each that stands."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from imagen_nb.storage.votes import Vote

if TYPE_CHECKING:
    import pandas as pd

_TEXT_COLUMNS = (
    "id",
    "question",
    "voter",
    "left",
    "right",
    "outcome",
    "winner",
    "loser",
)
VOTE_COLUMNS = (*_TEXT_COLUMNS, "created_at", "seconds")


def votes_frame(votes: Iterable[Vote]) -> pd.DataFrame:
    """Return votes as rows of `VOTE_COLUMNS`, in their order.

    Ids and texts are `str`, `created_at` is `datetime64[us, UTC]`, `seconds` float64.
    `winner` and `loser` are missing (NaN) for a tie and for what was skipped, `seconds`
    where they are not known.
    """
    import pandas as pd

    rows = [
        (
            str(vote.id),
            vote.question,
            vote.voter,
            str(vote.left),
            str(vote.right),
            vote.outcome,
            *_winner_and_loser(vote),
            vote.created_at,
            vote.seconds,
        )
        for vote in votes
    ]
    frame = pd.DataFrame(rows, columns=[*VOTE_COLUMNS])
    frame["created_at"] = pd.to_datetime(frame["created_at"], utc=True)
    dtypes = {
        **dict.fromkeys(_TEXT_COLUMNS, "str"),
        "created_at": "datetime64[us, UTC]",
        "seconds": "float64",
    }
    return frame.astype(dtypes)


def _winner_and_loser(vote: Vote) -> tuple[str | None, str | None]:
    if vote.outcome == "left":
        return str(vote.left), str(vote.right)
    if vote.outcome == "right":
        return str(vote.right), str(vote.left)
    return None, None
