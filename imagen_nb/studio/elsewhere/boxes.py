"""The machines that draw a user's jobs, as they were last heard of: the boxes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from imagen_nb.backends import REMOTE
from imagen_nb.backends.flux.models import FLUX_SCHNELL
from imagen_nb.cloud.account import NOT_CONFIGURED
from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.jobs import JobQueue
from imagen_nb.errors import UsageError, printable
from imagen_nb.storage.jobs import WorkerSeen
from imagen_nb.system.forks import start_anew_in_forks

SILENT_S = 60.0  # after which a box counts as gone: its leases run out then, too
_HEARD_FOR_S = 5.0  # how long what was heard is not asked for again


@dataclass(frozen=True, slots=True)
class _Heard:
    boxes: tuple[WorkerSeen, ...]
    at: float  # on time.monotonic()

    def now(self) -> list[WorkerSeen]:
        """Return the boxes with the seconds since then counted."""
        gone_by = time.monotonic() - self.at
        return [
            box.model_copy(update={"seconds": box.seconds + gone_by})
            for box in self.boxes
        ]


class Boxes:
    """What is known of the boxes. Asks the cloud at most every few seconds.

    Example:
        >>> Boxes(lambda: None).is_configured()
        False
    """

    def __init__(self, reader: Callable[[], Cloud | None]) -> None:
        """Ask nothing yet. `reader`: the session's client; None if it has none."""
        self._reader = reader
        self.start_anew()
        start_anew_in_forks(self)

    def start_anew(self) -> None:
        """Forget what was heard, and the lock, which in a child may be locked."""
        self._lock = threading.Lock()
        self._heard: _Heard | None = None

    def is_configured(self) -> bool:
        """Return whether there is a Supabase to ask."""
        return self._reader() is not None

    def queue(self) -> JobQueue:
        """Return the user's jobs. Raise `UsageError` without a Supabase."""
        cloud = self._reader()
        if cloud is None:
            raise UsageError(
                f"pictures are drawn elsewhere by way of it: {NOT_CONFIGURED}"
            )
        return JobQueue(cloud)

    def seen(self) -> list[WorkerSeen]:
        """Return the boxes heard of in the last day, the latest first.

        Raises `UsageError` without a Supabase, `CloudError` if it does not answer.
        """
        queue = self.queue()
        with self._lock:
            if not self._heard or time.monotonic() - self._heard.at > _HEARD_FOR_S:
                self._heard = _Heard((*queue.workers(),), time.monotonic())
            return self._heard.now()

    def target(self, name: str) -> str:
        """Return the backend that a box is to draw with, given "remote" or "remote:…".

        Of the box that was last heard of, its own choice; schnell before any was.
        """
        wanted = name.removeprefix(REMOTE).removeprefix(":")
        if wanted:
            return wanted
        heard = [box for box in self.seen() if box.backends]
        running = [box for box in heard if not box.stopped]
        latest = next(iter([*running, *heard]), None)
        return latest.backends[0] if latest else FLUX_SCHNELL.name


def describe_waiting(boxes: Sequence[WorkerSeen], backend: str, jobs: int) -> str:
    """Return why nobody draws now with this backend, and what to do; "" if one does."""
    waits = "the job waits" if jobs == 1 else f"the {jobs} jobs wait"
    awake = [box for box in boxes if not box.stopped and box.seconds <= SILENT_S]
    if any(backend in box.backends for box in awake):
        return ""
    if not awake:
        last = f"; {describe_box(boxes[0])}" if boxes else ""
        return (
            "no machine that draws was heard of in the last minute: run `imagen work`"
            f" on the one with the card; until then {waits}{last}"
        )
    others = "; ".join(
        f"{printable(box.name)} draws {', '.join(map(printable, box.backends))}"
        for box in awake
    )
    return (
        f"no machine that was heard of draws {backend}: run `imagen work --backends"
        f" {backend}` on one; until then {waits} ({others})"
    )


def describe_box(box: WorkerSeen) -> str:
    """Return a box's name and when it was last heard of."""
    how = "ended" if box.stopped else "seen"
    return f"{printable(box.name)}, {how} {describe_ago(box.seconds)} ago"


def describe_ago(seconds: float) -> str:
    """Return a time in the largest unit that fits: "3 s", "5 min", "2 h"."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.0f} h"
