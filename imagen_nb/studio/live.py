"""Pictures as they are drawn, on this machine and on others, told as they come."""

from __future__ import annotations

import math
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Self

from imagen_nb.cloud.live import CloudWatch, LiveListener
from imagen_nb.errors import UsageError
from imagen_nb.frames.query import Query
from imagen_nb.frames.sources.source import History
from imagen_nb.studio.lookup import Lookup
from imagen_nb.studio.new_pictures import NewPictures
from imagen_nb.system.terminal import print_notice

if TYPE_CHECKING:
    import pandas as pd

_LONGEST_WAIT_S = 0.5  # so that Ctrl-C is heard on Windows, too

TellPictures = Callable[[str, list[str]], None]


class LivePictures:
    """Looks for new pictures in the catalogs, and in the cloud if there is one.

    Invariant: its threads run between `start` and `stop`. A picture that is here and in
    the cloud is told by both.

    Args:
        lookup: returns where to look; asked again at each look.
        tell: called on threads with "local" or "cloud", and the ids that are there.
        trouble: called with one line when a place cannot be read, once until it can,
            and with "" when the cloud can be read again.
        note: called with one line that is none, but good to know.
        places: where to look.
    """

    def __init__(
        self,
        lookup: Callable[[], Lookup],
        tell: TellPictures,
        trouble: Callable[[str], None],
        note: Callable[[str], None],
        places: tuple[str, ...] = ("local", "cloud"),
    ) -> None:
        here, there = partial(tell, "local"), partial(tell, "cloud")
        listener = LiveListener(there, trouble, note)
        self._watches: list[NewPictures | CloudWatch] = []
        if "local" in places:
            catalogs = lambda: lookup().catalogs()  # noqa: E731
            self._watches.append(NewPictures(catalogs, here, trouble))
        if "cloud" in places:
            self._watches.append(CloudWatch(lambda: lookup().connect(), listener))

    def start(self) -> None:
        """Look from now on; a second call changes nothing."""
        for watch in self._watches:
            watch.start()

    def stop(self) -> None:
        """End the threads after their current looks."""
        for watch in self._watches:
            watch.stop()


@dataclass(slots=True)
class _Feed:
    """What threads have found for one `Watch`: frames of new rows, and lines to say."""

    history: History
    query: Query
    found: SimpleQueue[pd.DataFrame | str] = field(default_factory=SimpleQueue)

    def tell(self, source: str, ids: list[str]) -> None:
        """Load those of these pictures that match."""
        from imagen_nb.frames.schema import history_frame

        query = replace(self.query, ids=tuple(ids))
        self.found.put(history_frame(self.history.table(query, source)))


class Watch:
    """New pictures, one row of a history each, in the order in which they come.

    Invariant: each picture comes once; its threads end with it.
    """

    def __init__(
        self,
        history: History,
        lookup: Lookup,
        query: Query,
        source: str,
        timeout: float | None,
    ) -> None:
        """Begin to watch. Raises UsageError for another source or timeout."""
        places = _places(source)
        if timeout is not None and not timeout >= 0:
            raise UsageError(f"the timeout must be 0 seconds or more, not {timeout}")
        self._feed = feed = _Feed(history, query)
        self._patience = math.inf if timeout is None else timeout
        self._ready: deque[pd.Series[Any]] = deque()
        self._told: set[str] = set()
        live = LivePictures(
            lambda: lookup, feed.tell, feed.found.put, feed.found.put, places
        )
        self._end = weakref.finalize(self, live.stop)
        live.start()

    def __iter__(self) -> Iterator[pd.Series[Any]]:
        return self

    def __next__(self) -> pd.Series[Any]:
        """Return the next picture's row, once there is one."""
        until = time.monotonic() + self._patience
        while not self._ready and self._end.alive:
            left = until - time.monotonic()
            try:
                self._take(self._feed.found.get(timeout=_wait_of(left)))
            except Empty:
                if left <= 0:
                    self.close()
        if self._ready:
            return self._ready.popleft()
        raise StopIteration

    def close(self) -> None:
        """End the threads; what was found already is still given."""
        self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _take(self, found: pd.DataFrame | str) -> None:
        if isinstance(found, str):
            if found:
                print_notice(f"watch: {found}")
            return
        for place in reversed(range(len(found))):  # newest first, as in a history
            row = found.iloc[place]
            if row["id"] not in self._told:
                self._told.add(row["id"])
                self._ready.append(row)


def _wait_of(left: float) -> float:
    return max(0.0, min(left, _LONGEST_WAIT_S))


def _places(source: str) -> tuple[str, ...]:
    places = {"auto": ("local", "cloud"), "local": ("local",), "cloud": ("cloud",)}
    if source not in places:
        raise UsageError(f"source must be one of {', '.join(places)}, not {source!r}")
    return places[source]
