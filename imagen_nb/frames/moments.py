"""Moments as people say them ("7d", "2 weeks", "yesterday", a date), and as their clocks do."""

from __future__ import annotations

import calendar
import re
import time
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from imagen_nb.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

_DAYS_PER_UNIT = {  # in days
    "s": 1 / 86_400, "sec": 1 / 86_400, "second": 1 / 86_400,
    "min": 1 / 1440, "minute": 1 / 1440,
    "h": 1 / 24, "hour": 1 / 24,
    "d": 1, "day": 1,
    "w": 7, "week": 7,
}  # fmt: skip
_MONTHS_PER_UNIT = {"mo": 1, "month": 1, "y": 12, "year": 12}
_SPAN_AGO = re.compile(r"(\d{1,6})\s*([a-z]+?)s?(?:\s+ago)?", re.IGNORECASE)
_MOMENT_FORMS = "a date, a time, or a span such as '7d', '12 h', '2 weeks', '6 months'"

Moment = datetime | date | str


def parse_moment(
    name: str, moment: object, *, end: bool = False, now: datetime | None = None
) -> datetime:
    """The moment in UTC; with `end`, the first one after it: a date is a whole local day.

    Times without a zone are local. Spans count back from now, months and years by the calendar.
    Raises `UsageError` for what is no moment.
    """
    try:
        value = _moment_from_text(moment, now) if isinstance(moment, str) else moment
        if isinstance(value, datetime):
            exact = datetime.combine(
                value.date(), value.timetz()
            )  # pandas' own is another kind
            return exact.astimezone(UTC) + timedelta(microseconds=1 if end else 0)
        if isinstance(value, date):
            midnight = datetime.combine(
                value + timedelta(days=1 if end else 0), datetime.min.time()
            )
            return midnight.astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        pass
    shown = " ".join(repr(moment).split())[:60]
    raise UsageError(f"{name} must be {_MOMENT_FORMS}, not {shown}")


def _moment_from_text(text: str, now: datetime | None) -> datetime | date:
    now = now or datetime.now().astimezone()
    words = text.strip().lower()
    if words in ("now", "today", "yesterday"):
        return (
            now if words == "now" else now.date() - timedelta(days=words == "yesterday")
        )
    if span := _SPAN_AGO.fullmatch(words):
        return _subtract_span(now, int(span[1]), span[2])
    if len(words) == 10:
        return date.fromisoformat(words)
    return datetime.fromisoformat(text.strip())


def _subtract_span(now: datetime, number: int, unit: str) -> datetime:
    if unit in _DAYS_PER_UNIT:
        return now - timedelta(days=number * _DAYS_PER_UNIT[unit])
    if unit in _MONTHS_PER_UNIT:
        month = now.year * 12 + now.month - 1 - number * _MONTHS_PER_UNIT[unit]
        year, month = month // 12, month % 12 + 1
        return now.replace(
            year=year,
            month=month,
            day=min(now.day, calendar.monthrange(year, month)[1]),
        )
    raise ValueError(unit)


def local_times(moments: pd.Series[Any]) -> pd.Series[Any]:
    """Moments in UTC, or as ISO text, as clocks of this machine showed them, without a zone.

    Clocks change at full quarters of an hour: each is asked for once, however many moments.
    """
    import numpy as np
    import pandas as pd

    utc = pd.to_datetime(moments, utc=True, format="ISO8601").dt.tz_localize(None)
    codes, quarters = pd.factorize(utc.dt.floor("15min"))
    seconds = quarters.astype("datetime64[s]").astype("int64").tolist()
    ahead = [time.localtime(second).tm_gmtoff for second in seconds]
    by_moment = np.array([*ahead, 0])[codes]  # the last one is for what is no moment
    return utc + pd.to_timedelta(by_moment, unit="s").as_unit("us")
