"""A frame of pictures, the best first: by votes, by stars, or by a column of numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from imagen_nb.errors import UsageError
from imagen_nb.frames.judging.comparisons import Comparisons, compare, ids_of_rows
from imagen_nb.frames.judging.strengths import Strengths, fit
from imagen_nb.frames.schema import parse_tags, require_columns
from imagen_nb.storage.tags import RATINGS

if TYPE_CHECKING:
    import pandas as pd

    from imagen_nb.frames.judging.outcomes import Floats

BY_VOTES, BY_RATING = "votes", "rating"
STRENGTH, LOW, HIGH, COUNT, COMPONENT = "strength", "low", "high", "votes", "component"


def rank(frame: pd.DataFrame, votes: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with strengths by votes, the best first.

    Its new columns: `strength`, the log odds to win against the average picture of the
    same component; `low` and `high`, its 90 % interval; `votes`, in how many comparisons
    the picture took part; `component`, pictures that were compared with each other,
    directly or not: 0 is the largest, and strengths of two components cannot be
    compared. Pictures without votes come last, without strength. Votes count of which
    both pictures are in the frame. `attrs["components"]` is how many components there
    are, `attrs["summary"]` one sentence.

    Args:
        frame: pictures; needs `id`.
        votes: as of `im.votes()`.

    Raises:
        UsageError: if the frame or the votes lack a column, or there are several
            questions.
    """
    import numpy as np

    require_columns(frame, "id")
    ids = ids_of_rows(frame)
    votes_on_them = compare(ids, votes)
    decided = votes_on_them.decided()
    found = fit(decided.items, decided.left, decided.right, decided.outcome)
    counts = np.bincount(
        np.concatenate([decided.left, decided.right]), minlength=len(decided.items)
    )
    places = {item: place for place, item in enumerate(decided.items)}
    rows = np.array([places.get(id, -1) for id in ids], np.int64)
    ranked = _with_columns(frame, found, counts, rows)
    ranked.attrs["components"] = int(found.component.max(initial=-1)) + 1
    ranked.attrs["summary"] = describe_ranking(decided, found)
    return ranked


def rank_by(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return the frame with a column's numbers as `strength`, the best first.

    "rating" is the stars that tags say, unless there is such a column. `low` and `high`
    are NaN, as one number says nothing of its uncertainty, and `votes` is missing.

    Raises:
        UsageError: if there is no such column, or it is not one of numbers.
    """
    import numpy as np
    import pandas as pd

    values = column_or_stars(frame, column)
    order = np.argsort(-np.where(np.isnan(values), -np.inf, values), kind="stable")
    nothing = np.full(len(frame), np.nan)
    added = {STRENGTH: values, LOW: nothing, HIGH: nothing}
    none = pd.array([pd.NA] * len(frame), dtype="Int64")
    ranked = frame.assign(**added, **{COUNT: none}).iloc[order]
    known = int((~np.isnan(values)).sum())
    ranked.attrs["summary"] = f"{_pictures(known)} of {len(frame):,} by {column}"
    return ranked


def column_or_stars(frame: pd.DataFrame, column: str) -> Floats:
    """Return a column of numbers; of "rating" that of tags, if there is no such column."""
    import pandas as pd

    if column == BY_RATING and BY_RATING not in frame.columns:
        return stars_of(frame)
    require_columns(frame, column)
    try:
        return pd.to_numeric(frame[column]).to_numpy(dtype=float, na_value=math.nan)
    except (TypeError, ValueError):
        raise UsageError(
            f"the column {column} is not one of numbers: rank by another, by"
            f" {BY_VOTES!r} or by {BY_RATING!r}"
        ) from None


def stars_of(frame: pd.DataFrame) -> Floats:
    """Return the stars of each picture, 1 to 5, by its tags; NaN for none."""
    import numpy as np

    require_columns(frame, "tags")
    stars = {tag: float(number) for number, tag in enumerate(RATINGS, 1)}
    found = [
        next((stars[tag] for tag in parse_tags(tags) if tag in stars), math.nan)
        for tags in frame["tags"]
    ]
    return np.array(found, dtype=np.float64)


def _with_columns(
    frame: pd.DataFrame, found: Strengths, counts: Any, rows: Any
) -> pd.DataFrame:
    """Return the frame with the columns of `rank`, in its order.

    `counts`: of each item of `found`; `rows`: the item of each row, -1 for none.
    """
    import numpy as np
    import pandas as pd

    known = rows >= 0

    def of_rows(values: Floats) -> Floats:
        padded = np.append(values, np.nan)  # -1 is the last one
        return np.asarray(padded[rows])

    strength = of_rows(found.strength)
    component = np.append(found.component, -1)[rows]
    columns: dict[str, Any] = {
        STRENGTH: strength,
        LOW: of_rows(found.low),
        HIGH: of_rows(found.high),
        COUNT: pd.array(np.where(known, np.append(counts, 0)[rows], 0), dtype="Int64"),
        COMPONENT: pd.arrays.IntegerArray(component, component < 0),
    }
    order = np.argsort(-np.where(np.isnan(strength), -np.inf, strength), kind="stable")
    return frame.assign(**columns).iloc[order]


def describe_ranking(decided: Comparisons, found: Strengths) -> str:
    """Return one sentence: what was compared, by whom, and what cannot be."""
    import numpy as np

    compared = int((found.component >= 0).sum())
    if not compared:
        return "no votes on these pictures: `im.Duel(df)` asks for some"
    votes, voters = len(decided.left), len(decided.voters())
    parts = [
        f"{_pictures(compared)} compared {votes:,} time{'s' * (votes != 1)}"
        f" by {voters} voter{'s' * (voters != 1)}"
    ]
    components = int(found.component.max()) + 1
    if components > 1:
        parts.append(
            f"they are {components} groups that were never compared with each other, and"
            " strengths count within one"
        )
    if len(decided.items) > compared:
        lacking = len(decided.items) - compared
        parts.append(f"{_pictures(lacking)} never compared")
    if decided.outside:
        parts.append(
            f"votes on pictures that are not in the frame left out: {decided.outside:,}"
        )
    unsure = np.nanmedian(found.high - found.low) / 2
    parts.append(
        f"strengths in log odds, half of them to within ±{unsure:.1f} or better"
    )
    return "; ".join(parts)


def _pictures(count: int) -> str:
    return f"{count:,} picture{'s' if count != 1 else ''}"
