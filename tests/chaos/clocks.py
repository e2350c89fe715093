"""A process whose clock is hours off, as the clocks of a user's machines are."""

from __future__ import annotations

import datetime
import sys
import time
from typing import Any


class _IsAnyTime(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, datetime.datetime)


def shift_clock(hours: float) -> None:
    """Let everything of imagen_nb that asks for the time hear another one, from now on."""
    by = datetime.timedelta(hours=hours)

    class Shifted(datetime.datetime, metaclass=_IsAnyTime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Any:
            return datetime.datetime.now(tz) + by

    real = time.time
    time.time = lambda: real() + by.total_seconds()
    for name, module in [*sys.modules.items()]:
        if name.startswith("imagen_nb.") and vars(module).get("datetime") is datetime.datetime:
            module.datetime = Shifted  # type: ignore[attr-defined]
