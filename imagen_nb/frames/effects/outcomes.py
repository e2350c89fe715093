"""What is compared: ratings, strengths by votes, latencies, or any column of numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum
from importlib import import_module
from typing import TYPE_CHECKING, Any

from imagen_nb.errors import UsageError
from imagen_nb.frames.schema import parse_tags, require_columns
from imagen_nb.storage.tags import RATINGS
from imagen_nb.system.spelling import describe_meant

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

ON_RATING, ON_VOTES, ON_LATENCY = "rating", "votes", "latency_ms"
STRENGTH_COLUMN, _COMPONENT_COLUMN = "strength", "component"  # of a ranking


class Scale(Enum):
    """How an outcome is measured, which decides how it is compared and told."""

    STARS = "stars"  # an order; also counted in stars
    RANKS = "levels"  # an order of named levels
    LOG_TIME = "%"  # times: their ratio counts
    LOG_ODDS = "log-odds"  # strengths of Bradley and Terry
    NUMBER = ""  # whatever unit the column has


@dataclass(frozen=True, slots=True)
class Compared:
    """What is compared.

    `name`: as asked for; `values`: float64, one a row, NaN where it is not known, on the
    scale on which differences are taken (the logarithm of a time); `apart`: numbers, one
    a row, where rows of different ones cannot be compared: strengths of pictures that no
    votes connect.
    """

    name: str
    values: NDArray[np.float64]
    scale: Scale
    apart: NDArray[np.float64] | None = None

    def taken(self, rows: NDArray[np.intp]) -> Compared:
        """Return it for these rows only."""
        apart = None if self.apart is None else self.apart[rows]
        return replace(self, values=self.values[rows], apart=apart)

    @property
    def is_ordinal(self) -> bool:
        """Whether only the order of its values is certain."""
        return self.scale in (Scale.STARS, Scale.RANKS)


def compared_of(frame: pd.DataFrame, on: str, votes: pd.DataFrame | None) -> Compared:
    """Return what the pictures of the frame are compared by.

    Raises:
        UsageError: for a name that is no column of numbers.
    """
    if not isinstance(on, str):
        raise UsageError(f"on is the name of a column, not {type(on).__name__}")
    if on == ON_VOTES:  # a ranking has a column of that name: how many there are
        return _strengths(frame, votes)
    if on == ON_RATING and ON_RATING not in frame.columns:
        return Compared(ON_RATING, star_ratings(frame), Scale.STARS)
    if on not in frame.columns:
        known = [ON_RATING, ON_VOTES, *_columns_of_numbers(frame)]
        hint = describe_meant(on, known) or f": give {', '.join(known)}"
        raise UsageError(f"there is no column {on!r} to compare by{hint}")
    return _outcome_of_column(frame[on], on)


def _outcome_of_column(column: pd.Series[Any], on: str) -> Compared:
    import numpy as np
    import pandas as pd

    if isinstance(column.dtype, pd.CategoricalDtype) and column.dtype.ordered:
        codes = column.cat.codes.to_numpy(np.float64)
        return Compared(on, np.where(codes < 0, np.nan, codes), Scale.RANKS)
    values = _numbers(column, on)
    if on == ON_RATING:
        return Compared(on, values, Scale.STARS)
    if on == ON_LATENCY:
        return Compared(
            on, np.log(np.where(values > 0, values, np.nan)), Scale.LOG_TIME
        )
    return Compared(on, values, Scale.NUMBER)


def star_ratings(frame: pd.DataFrame) -> NDArray[np.float64]:
    """Return the stars of each row, of its tags; NaN where it has no rating."""
    import numpy as np

    require_columns(frame, "tags")
    stars = {tag: number for number, tag in enumerate(RATINGS, 1)}

    def rating(tags: Iterable[str]) -> float:
        return max((stars[tag] for tag in tags if tag in stars), default=np.nan)

    found = [rating(parse_tags(tags)) for tags in frame["tags"]]
    return np.array(found, dtype=np.float64)


def _strengths(frame: pd.DataFrame, votes: pd.DataFrame | None) -> Compared:
    """Return the strength of each picture: by these votes, or as the frame has it."""
    ranked = frame
    if votes is not None and len(votes):
        ranking: Any = import_module("imagen_nb.frames.judging.ranking")
        found = ranking.rank(frame, votes).drop_duplicates("id").set_index("id")
        ranked = found.reindex(frame["id"])
    elif STRENGTH_COLUMN not in frame.columns:
        raise UsageError(
            "no votes to compare by: give votes=im.votes(), or a frame of im.ranking()"
        )
    values = _numbers(ranked[STRENGTH_COLUMN], ON_VOTES)
    apart = None
    if _COMPONENT_COLUMN in ranked.columns:
        apart = _numbers(ranked[_COMPONENT_COLUMN], ON_VOTES)
    return Compared(ON_VOTES, values, Scale.LOG_ODDS, apart)


def _numbers(column: pd.Series[Any], on: str) -> NDArray[np.float64]:
    """Return the column as float64, NaN for what is missing or infinite."""
    import numpy as np
    import pandas as pd

    plain = column.astype(object).where(column.notna(), None)
    try:
        values = pd.to_numeric(plain).to_numpy(np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        raise UsageError(
            f"the column {on!r} is no numbers: give one of numbers, or of an ordered"
            " category"
        ) from None
    return np.where(np.isfinite(values), values, np.nan)


def _columns_of_numbers(frame: pd.DataFrame) -> list[str]:
    numbers = frame.select_dtypes("number").columns
    return [name for name in map(str, numbers) if name != "seed"]
