"""Follows jobs that wait or are drawn elsewhere, until their pictures are here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event
from uuid import UUID

from imagen_nb.backends import FinishedFile
from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.errors import UnreachableError
from imagen_nb.cloud.filters import MAX_VALUES_PER_URL
from imagen_nb.cloud.jobs import JobQueue
from imagen_nb.errors import BackendError, Cancelled, CloudError, printable
from imagen_nb.storage.jobs import FINISHED, JobNow
from imagen_nb.studio.elsewhere.fetching import (
    LocatedPicture,
    fetch_finished,
    locate_finished,
)
from imagen_nb.studio.elsewhere.telling import StepsTold
from imagen_nb.system.terminal import print_notice

_FETCHERS = 4  # pictures on their way here at once
_SHORTEST_S, _LONGEST_S = 0.1, 1.0  # between two questions
_MORE_FOR_EACH_S = 0.01  # of several jobs, whose answers are larger
_LONGEST_LIVELY_S = 0.5
_LIVELY_S = 5.0  # how long it is asked often after something has changed
_STRETCHED_BY = 1.3
_AHEAD = 200  # jobs whose pictures are fetched before it is their turn
_LOOKS_FOR_LOST = 3  # without a job, before it counts as deleted


class TooLateError(Exception):
    """The time is over, and the picture is not there yet."""


@dataclass(slots=True)
class _Pace:
    """How long to wait between two questions: the longer nothing changes."""

    pause_s: float = _SHORTEST_S
    changed_at: float = field(default_factory=time.monotonic)

    def note(self, changed: bool, others: int = 0) -> None:
        """Note an answer; `others`: how many more jobs it was about than one."""
        now = time.monotonic()
        if changed:
            shortest = _SHORTEST_S + _MORE_FOR_EACH_S * others
            self.changed_at, self.pause_s = now, min(shortest, _LONGEST_LIVELY_S)
        elif now - self.changed_at > _LIVELY_S:
            self.pause_s = min(_STRETCHED_BY * self.pause_s, _LONGEST_S)


@dataclass(slots=True, eq=False)
class _Followed:
    """One job: its last state, its picture once it is done, or why there is none."""

    place: int
    id: UUID
    now: JobNow | None = None
    missed: int = 0
    fetch: Future[FinishedFile] | None = None
    error: Exception | None = None
    is_open: bool = True  # not known to be done, failed or cancelled


class Following:
    """Jobs of this user, in their order.

    Invariant: whatever ends `pictures` early, and whatever `within` is left by, no
    thread of it stays behind.
    """

    def __init__(
        self,
        queue: JobQueue,
        ids: Sequence[UUID],
        told: StepsTold | None = None,
    ) -> None:
        """Ask nothing yet. `told`: who hears of each step."""
        self._queue, self._told = queue, told
        self._jobs = [_Followed(place, id) for place, id in enumerate(ids)]
        self._pace = _Pace()
        self._next = 0  # the place of the first picture that is not given yet
        self._looked = False
        self._cut_off: set[str] = set()  # what does not answer: queue, bucket
        self._pool: ThreadPoolExecutor | None = None

    @contextmanager
    def within(self, beside: Callable[[], None] | None = None) -> Iterator[Following]:
        """Follow within the block. `beside`: called meanwhile, on another thread."""
        self._pool = ThreadPoolExecutor(_FETCHERS, thread_name_prefix="imagen-fetch")
        try:
            if beside:
                self._pool.submit(beside)
            yield self
        finally:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def unfinished(self) -> list[UUID]:
        """Return the jobs that, as far as is known, wait or are drawn."""
        return [job.id for job in self._jobs if job.is_open]

    def pictures(
        self, stop: Event, until: float | None = None
    ) -> Iterator[tuple[int, FinishedFile]]:
        """Give the finished pictures, each with its place, in the order of the jobs.

        Those of jobs that failed are left out, and raised for at the end. `until`: on
        `time.monotonic()`.

        Raises:
            Cancelled: after `stop`, or if somebody cancelled a job.
            BackendError: if a job could not be drawn, with the box's own line.
            CloudError: if the cloud refuses; one that does not answer is waited for.
            TooLateError: after `until`.
        """
        for job in self._jobs:
            self._next = job.place
            file = self._wait_for(job, stop, until)
            if file:
                yield job.place, file
        self._raise_failures()

    def _wait_for(
        self, job: _Followed, stop: Event, until: float | None
    ) -> FinishedFile | None:
        while job.error is None:
            if job.fetch and job.fetch.done():
                file = self._fetched(job)
                if file:
                    return file
            if stop.is_set():
                raise Cancelled("drawing cancelled")
            is_late = until is not None and time.monotonic() >= until
            if is_late and job.is_open and self._looked:
                raise TooLateError
            self._pause(job, stop)
            self._look()
        return None

    def _fetched(self, job: _Followed) -> FinishedFile | None:
        """Return the picture; None if it is to be fetched again, or cannot be had."""
        assert job.fetch
        fetch, job.fetch = job.fetch, None  # which would keep the file in memory
        try:
            file = fetch.result()
        except UnreachableError as error:
            self._note_cut("bucket", error)
            job.is_open = True
        except (BackendError, CloudError) as error:  # this one's; the others go on
            job.error = error
        else:
            self._cut_off.discard("bucket")
            return file
        return None

    def _pause(self, job: _Followed, stop: Event) -> None:
        if job.fetch:
            wait_for([job.fetch], self._pace.pause_s)
        else:
            stop.wait(self._pace.pause_s)

    def _look(self) -> None:
        """Ask once for the first of the jobs that are not finished."""
        self._looked = True
        near = self._jobs[self._next : self._next + _AHEAD]
        waiting = [job for job in near if job.is_open][:MAX_VALUES_PER_URL]
        if not waiting:
            return
        try:
            found = self._queue.now([job.id for job in waiting], bool(self._told))
        except UnreachableError as error:
            self._note_cut("queue", error)
            return
        self._cut_off.discard("queue")
        changes = [self._note(job, found.get(job.id)) for job in waiting]
        self._pace.note(any(changes), len(waiting) - 1)
        self._fetch([job for job in waiting if not job.is_open and not job.error])

    def _fetch(self, done: Sequence[_Followed]) -> None:
        """Begin to fetch pictures: all are looked up at once, and first."""
        assert self._pool
        if not done:
            return
        cloud, ids = self._queue.cloud, [job.id for job in done]
        located = self._pool.submit(locate_finished, cloud, ids)
        for job in done:
            job.fetch = self._pool.submit(_fetch_located, cloud, located, job.id)

    def _note(self, job: _Followed, now: JobNow | None) -> bool:
        """Take over what a job is now; return whether that is something new."""
        if now is None:
            job.missed += 1
            if job.missed >= _LOOKS_FOR_LOST:
                job.error = BackendError(f"the job {job.id} was deleted")
                job.is_open = False
            return False
        changed, job.now, job.missed = now != job.now, now, 0
        if self._told and changed:
            self._told.note(job.place, now)
        job.is_open = now.state not in FINISHED
        if not job.is_open and now.state != "done":
            job.error = _error_of(now)
        return changed

    def _note_cut(self, what: str, error: CloudError) -> None:
        if not self._cut_off:
            print_notice(f"waiting for the cloud, where the jobs go on: {error}")
        self._cut_off.add(what)
        self._pace.pause_s = _LONGEST_S

    def _raise_failures(self) -> None:
        errors = [job.error for job in self._jobs if job.error]
        failures = [error for error in errors if not isinstance(error, Cancelled)]
        for first in failures or errors:
            others = len(failures or errors) - 1
            more = f" (and {others} more)" if others else ""
            raise type(first)(f"{first}{more}")


def _fetch_located(
    cloud: Cloud,
    located: Future[dict[UUID, LocatedPicture | BackendError]],
    id: UUID,
) -> FinishedFile:
    found = located.result()[id]
    if isinstance(found, BackendError):
        raise found
    return fetch_finished(cloud, found)


def _error_of(now: JobNow) -> Exception:
    if now.state == "cancelled":
        return Cancelled(f"the job {now.id} was cancelled")
    return BackendError(
        printable(now.error or "it could not be drawn; no reason is told")
    )
