"""In which order a gallery shows the rows of a frame, and the days that it is headed by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from imagen_nb.frames.moments import local_times
from imagen_nb.widgets.facets import SingleFacet, single_facet, texts_of_column

if TYPE_CHECKING:
    import pandas as pd

    Positions = npt.NDArray[np.int32]

DATE = "created_at"
RATING, SIZE = "rating", "size"  # what can be sorted by besides the frame's columns
LIKENESS = (
    "imagen:score"  # how like what is looked for; a frame may have a column `score`
)
_LABELS = {
    DATE: "date",
    "latency_ms": "latency",
    "cost_usd_estimate": "cost",
    "local_path": "file",
}
_FIRST = (DATE, RATING, "seed", "latency_ms", "cost_usd_estimate", SIZE)
_UNSORTABLE = ("sidecar", "tags")


@dataclass(frozen=True, slots=True)
class GalleryOrder:
    """What rows are sorted by: a column, `RATING`, `SIZE`; "" is the frame's order.

    Rows that lack the value come last; equal ones are in the frame's order.
    """

    by: str = ""
    descending: bool = False


def sortable_columns(frame: pd.DataFrame) -> list[tuple[str, str]]:
    """Return what can be sorted by, each with how it is called."""
    columns = [str(name) for name in frame.columns if name not in _UNSORTABLE]
    known = {*columns, RATING}
    if {"width", "height"} <= known:
        known.add(SIZE)
    names = dict.fromkeys([*(name for name in _FIRST if name in known), *columns])
    return [("", "as given"), *((name, _LABELS.get(name, name)) for name in names)]


def order_of(
    frame: pd.DataFrame, ratings: npt.NDArray[np.int8], order: GalleryOrder
) -> Positions | None:
    """Return all positions in this order; None for that of the frame."""
    if order.by == RATING:
        return _sorted_numbers(np.where(ratings, ratings, np.nan), order.descending)
    if order.by == SIZE and SIZE not in frame.columns:
        return _sorted_numbers(_pixels(frame), order.descending)
    if order.by not in frame.columns:
        return None
    column = frame[order.by]
    if order.by == DATE:
        moments = moments_of(column).astype(float)
        moments[moments == _NO_MOMENT] = np.nan
        return _sorted_numbers(moments, order.descending)
    numbers = _numbers_of(column)
    if numbers is None:
        return _sorted_texts(column, order.descending)
    return _sorted_numbers(numbers, order.descending)


def order_as_given(moments: npt.NDArray[np.int64]) -> GalleryOrder:
    """Return how a frame is sorted already: by date, if it is."""
    if len(moments) and not (moments == _NO_MOMENT).any():
        steps = np.diff(moments)
        if (steps <= 0).all():
            return GalleryOrder(DATE, descending=True)
        if (steps >= 0).all():
            return GalleryOrder(DATE)
    return GalleryOrder()


_NO_MOMENT = np.iinfo(np.int64).min  # of a row without a time


def moments_of(column: pd.Series[Any]) -> npt.NDArray[np.int64]:
    """Return times as microseconds since 1970, in UTC."""
    import pandas as pd

    times = pd.to_datetime(column, utc=True, errors="coerce")
    naive = times.dt.tz_localize(None).to_numpy("datetime64[us]")
    moments: npt.NDArray[np.int64] = naive.view(np.int64)
    return moments


def facet_of_days(column: pd.Series[Any]) -> SingleFacet:
    """Return the days of these times where this machine is, as "2026-05-11"."""
    import pandas as pd

    times = local_times(pd.to_datetime(column, utc=True, errors="coerce"))
    days = times.to_numpy("datetime64[D]").view(np.int64)
    numbers, found = pd.factorize(days)
    names = [
        "" if day == _NO_MOMENT else str(np.datetime64(day, "D"))
        for day in found.tolist()
    ]
    return single_facet(numbers.astype(np.int32), names, _newest_first)


def _newest_first(day: str) -> list[int]:
    return [-ord(letter) for letter in day]


def runs_of(days: SingleFacet, positions: Positions) -> list[tuple[str, int]]:
    """Return the days that follow each other in these rows, and how many each has."""
    numbers = days.numbers[positions]
    if not len(numbers):
        return []
    starts = np.flatnonzero(np.diff(numbers, prepend=numbers[0] - 1))
    counts = np.diff(starts, append=len(numbers))
    return [
        (days.values[number], count)
        for number, count in zip(numbers[starts].tolist(), counts.tolist(), strict=True)
    ]


def _numbers_of(column: pd.Series[Any]) -> npt.NDArray[np.float64] | None:
    """Return a column of numbers, truths or times; None for any other."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        return column.to_numpy(np.float64, na_value=np.nan)
    if pd.api.types.is_datetime64_any_dtype(column):
        return np.where(column.isna(), np.nan, column.astype("int64"))
    return None


def _pixels(frame: pd.DataFrame) -> npt.NDArray[np.float64]:
    import pandas as pd

    sides: Sequence[npt.NDArray[np.float64]] = [
        pd.to_numeric(frame[name], errors="coerce").to_numpy(
            np.float64, na_value=np.nan
        )
        for name in ("width", "height")
    ]
    return sides[0] * sides[1]


def _sorted_numbers(numbers: npt.NDArray[np.float64], descending: bool) -> Positions:
    keys = -numbers if descending else numbers
    return np.argsort(keys, kind="stable").astype(np.int32)  # NaN comes last


def _sorted_texts(column: pd.Series[Any], descending: bool) -> Positions:
    import pyarrow.compute as pc

    texts = pc.utf8_lower(texts_of_column(column))
    texts = pc.if_else(pc.equal(texts, ""), None, texts)
    way = "descending" if descending else "ascending"
    order = pc.sort_indices(texts, [("", way)])  # nulls come last
    positions: Positions = order.to_numpy().astype(np.int32)
    return positions
