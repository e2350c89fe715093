"""Moments as people write them ("7d", "yesterday", a date), and times in local time."""

from __future__ import annotations

import calendar
import re
import time
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from imagen_nb.errors import UsageError
from imagen_nb.system.spelling import describe_meant

if TYPE_CHECKING:
    import pandas as pd

_DAYS_PER_UNIT = (
    dict.fromkeys(("s", "sec", "second"), 1 / 86_400)
    | dict.fromkeys(("min", "minute"), 1 / 1440)
    | dict.fromkeys(("h", "hour"), 1 / 24)
    | dict.fromkeys(("d", "day"), 1)
    | dict.fromkeys(("w", "week"), 7)
)
_MONTHS_PER_UNIT = {"mo": 1, "month": 1, "y": 12, "year": 12}
_DAYS_AGO_OF_WORD = {"today": 0, "yesterday": 1}
_MOMENT_WORDS = ("now", *_DAYS_AGO_OF_WORD)
_SIMILARITY_OF_WORDS = 0.75  # or "tuesday" would be taken for yesterday
_SPAN_AGO = re.compile(r"(\d{1,6})\s*([a-z]+?)s?(?:\s+ago)?", re.IGNORECASE)
_MOMENT_FORMS = "a date, a time, or a span such as '7d', '12 h', '2 weeks', '6 months'"

Moment = datetime | date | str


def parse_moment(
    argument: str, moment: object, *, end: bool = False, now: datetime | None = None
) -> datetime:
    """Return a moment in UTC.

    Times without a zone are local. A date is the start of that local day. Spans count
    back from now, months and years by the calendar.

    Args:
        argument: the name of the argument, for the error.
        moment: a datetime, a date, ISO text, "now", "today", "yesterday", or a span.
        end: return the first moment after it: the next microsecond, or the next day.
        now: the current time; the clock's unless given.

    Raises:
        UsageError: if `moment` is none of these.

    Example:
        >>> parse_moment("until", "2026-05-11", end=True)  # in Berlin
        datetime.datetime(2026, 5, 11, 22, 0, tzinfo=datetime.timezone.utc)
    """
    try:
        value = _moment_from_text(moment, now) if isinstance(moment, str) else moment
        if isinstance(value, datetime):
            # A Timestamp of pandas is a datetime, too: make it one of Python's own.
            exact = datetime.combine(value.date(), value.timetz())
            return exact.astimezone(UTC) + timedelta(microseconds=1 if end else 0)
        if isinstance(value, date):
            day = value + timedelta(days=1 if end else 0)
            return datetime.combine(day, datetime.min.time()).astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        pass
    given = " ".join(repr(moment).split())[:60]
    meant = describe_meant(moment, _MOMENT_WORDS, _SIMILARITY_OF_WORDS)
    raise UsageError(f"{argument} must be {_MOMENT_FORMS}, not {given}{meant}")


def _moment_from_text(text: str, now: datetime | None) -> datetime | date:
    now = now or datetime.now().astimezone()
    text = text.strip()
    lower = text.lower()
    if lower == "now":
        return now
    if lower in _DAYS_AGO_OF_WORD:
        return now.date() - timedelta(days=_DAYS_AGO_OF_WORD[lower])
    if span := _SPAN_AGO.fullmatch(lower):
        return _subtract_span(now, int(span[1]), span[2])
    if len(lower) == 10:
        return date.fromisoformat(lower)
    return datetime.fromisoformat(text)


def _subtract_span(now: datetime, number: int, unit: str) -> datetime:
    if unit in _DAYS_PER_UNIT:
        return now - timedelta(days=number * _DAYS_PER_UNIT[unit])
    if unit in _MONTHS_PER_UNIT:
        months = now.year * 12 + now.month - 1 - number * _MONTHS_PER_UNIT[unit]
        year, month = months // 12, months % 12 + 1
        last_day = calendar.monthrange(year, month)[1]
        return now.replace(year=year, month=month, day=min(now.day, last_day))
    raise ValueError(unit)


def local_times(moments: pd.Series[Any]) -> pd.Series[Any]:
    """Return moments as local times without a zone (`datetime64[us]`).

    Args:
        moments: times in UTC or ISO text; missing ones stay missing (NaT).
    """
    import numpy as np
    import pandas as pd

    utc = pd.to_datetime(moments, utc=True, format="ISO8601").dt.tz_localize(None)
    seconds = utc.dt.as_unit("s").to_numpy("datetime64[s]").astype("int64")
    # Offsets change at full quarters of an hour, and on few days: of any other day the
    # offset is looked up once.
    day_of_moment, days = pd.factorize(seconds // 86_400)
    starts = [_utc_offset(day * 86_400) for day in days.tolist()]
    changes = [
        start != _utc_offset((day + 1) * 86_400)
        for day, start in zip(days.tolist(), starts, strict=True)
    ]
    offsets = np.array(starts, dtype="int64")[day_of_moment]
    for place in np.flatnonzero(np.array(changes, dtype=bool)[day_of_moment]).tolist():
        offsets[place] = _utc_offset(int(seconds[place]) // 900 * 900)
    return utc + pd.to_timedelta(offsets, unit="s").as_unit("us")


def _utc_offset(second: int) -> int:
    """Return how many seconds local time is ahead then; 0 of what is no time."""
    try:
        return time.localtime(second).tm_gmtoff
    except (OverflowError, ValueError, OSError):
        return 0
