"""Claims jobs, ahead of the drawing, and checks them: a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from imagen_nb.cloud.errors import RefusedError, RejectedError
from imagen_nb.errors import CloudError, ImagenError, describe_mistake
from imagen_nb.storage.jobs import Job
from imagen_nb.studio.remote.checking import CheckedJob, JobChecker
from imagen_nb.studio.remote.events import Outage
from imagen_nb.studio.remote.leases import WorkerIdentity
from imagen_nb.studio.remote.threads import WorkerThread

MAX_TOGETHER = 16  # pictures of one call; others wait for other workers
_WHOLE_BATCH = 8  # what small models denoise together
_CALL_S = 5.0  # of drawing that is claimed at a time
_TRIED_POLL_S = 0.1
_TRIED_FOR_S = 5.0  # after the last job, as somebody tries one prompt after the other
_BUSY_POLL_S = 0.2
_BUSY_S = 60.0  # after the last job; then it asks less often
_DRAWING_POLL_S = 0.3  # more while it draws and sends, which questions would slow
_IDLE_POLL_S = 2.0
_SLOWER = 1.2  # each time
_MAX_OUTAGE_PAUSE_S = 30.0  # where the queue does not answer


class JobPace:
    """How many jobs to claim at a time: what is drawn within some seconds."""

    def __init__(self) -> None:
        self._seconds: float | None = None  # for a picture; None until one was drawn

    def note(self, seconds: float, pictures: int) -> None:
        """Note how long a call took that drew so many, and loaded no model."""
        self._seconds = seconds / max(1, pictures)

    @property
    def together(self) -> int:
        """How many to draw in one call; as many more are fetched ahead."""
        if self._seconds is None:
            return 1  # of a model whose speed is not known, and that is to be loaded
        return max(1, min(MAX_TOGETHER, int(_CALL_S / max(self._seconds, 0.001))))


class ReadyJobs:
    """Jobs that are claimed and checked, in their order, for whoever draws."""

    def __init__(self) -> None:
        self._jobs: list[CheckedJob] = []
        self._changed = threading.Condition()

    def __len__(self) -> int:
        return len(self._jobs)

    def put(self, job: CheckedJob) -> None:
        """Add a job, the last of all."""
        with self._changed:
            self._jobs.append(job)
            self._changed.notify_all()

    def put_back(self, jobs: list[CheckedJob]) -> None:
        """Add jobs before all others, as their drawing was ended before its end."""
        with self._changed:
            self._jobs[:0] = jobs

    def take(self, count: int, seconds: float) -> list[CheckedJob]:
        """Return up to so many jobs for the first one's backend.

        Wait so long for the first one. What was begun before comes by itself: it may be
        what ended a worker, which costs all that it draws an attempt.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._jobs, seconds)
            if not self._jobs:
                return []
            first = self._jobs[0]
            same = [job for job in self._jobs if _go_together(first, job)][:count]
            if len(same) > _WHOLE_BATCH:  # more are on their way: no single one behind
                del same[len(same) // _WHOLE_BATCH * _WHOLE_BATCH :]
            self._jobs = [job for job in self._jobs if job not in same]
            self._changed.notify_all()
            return same

    def take_all(self) -> list[CheckedJob]:
        """Return all that is ready."""
        with self._changed:
            jobs, self._jobs = self._jobs, []
            return jobs

    def wait_for_room(self, most: int, seconds: float) -> None:
        """Wait, for so long, until fewer than `most` are ready."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._jobs) < most, seconds)


def _go_together(first: CheckedJob, other: CheckedJob) -> bool:
    if first.job.attempts or other.job.attempts:
        return first is other
    return first.backend is other.backend


@dataclass(slots=True)
class _Patience:
    """How long to wait between two questions when there is nothing to draw."""

    last_job: float
    seconds: float = _BUSY_POLL_S

    def found(self) -> None:
        self.last_job, self.seconds = time.monotonic(), _BUSY_POLL_S

    def next(self) -> float:
        passed_s = time.monotonic() - self.last_job
        if passed_s < _TRIED_FOR_S:
            return _TRIED_POLL_S
        if passed_s > _BUSY_S:
            self.seconds = min(_IDLE_POLL_S, self.seconds * _SLOWER)
        return self.seconds


@dataclass(frozen=True, slots=True)
class ClaimerLinks:
    """Whom a claimer tells.

    Attributes:
        fail: of a job that cannot be drawn, and why.
        register: that the worker is there: at first, and after an outage.
        outage: whether the queue answers.
    """

    fail: Callable[[UUID, str], None]
    register: Callable[[], None]
    outage: Outage


class JobClaimer:
    """Claims on its `thread`, which ends when `stopping` is set and gives back what is ready."""

    def __init__(
        self,
        identity: WorkerIdentity,
        checker: JobChecker,
        pace: JobPace,
        links: ClaimerLinks,
        stopping: threading.Event,
        *,
        memory_mb: int | None,
        once: bool,
    ) -> None:
        """Start nothing. `once`: end when nothing is held and there is nothing to claim."""
        self._identity, self._checker, self._pace = identity, checker, pace
        self._links, self._stopping = links, stopping
        self._memory_mb, self._once = memory_mb, once
        self.ready = ReadyJobs()
        self._registered = self._was_answered = False
        self._patience = _Patience(time.monotonic())
        self.thread = WorkerThread(self._run, "imagen-job-claims")

    def _run(self) -> None:
        try:
            self._claim_all()
        finally:
            if self._stopping.is_set():
                self.give_back()

    def give_back(self) -> None:
        """Let what is ready wait for another worker."""
        ids = [job.id for job in self.ready.take_all()]
        if not ids:
            return
        try:
            self._identity.queue.release(self._identity.id, ids)
        except CloudError as error:  # their leases run out
            self._links.outage.began(error)
        self._identity.held.remove(ids)

    def _claim_all(self) -> None:
        pause = 0.0
        while not self._stopping.wait(pause):
            most = self._pace.together
            if len(self.ready) >= most:
                self.ready.wait_for_room(most, _BUSY_POLL_S)
                pause = 0.0
                continue
            had_jobs = bool(self._identity.held.ids())  # which may fail, and wait again
            try:
                claimed = self._claim(most - len(self.ready))
            except CloudError as error:
                if self._once or not (self._was_answered or _may_pass(error)):
                    raise
                self._registered = False
                self._links.outage.began(error)
                pause = min(_MAX_OUTAGE_PAUSE_S, 2 * pause or 1.0)
                continue
            if self._once and not (claimed or had_jobs):
                return
            pause = 0.0
            if not claimed:
                self._identity.held.wait_until_empty(_DRAWING_POLL_S)
                pause = self._patience.next()

    def _claim(self, count: int) -> int:
        """Claim up to so many and check them; return how many there were."""
        identity, asked_at = self._identity, time.monotonic()
        if not self._registered:
            self._links.register()
            self._registered = self._was_answered = True
        jobs = identity.queue.claim(
            identity.id,
            self._checker.offered,
            memory_mb=self._memory_mb,
            count=count,
            lease_seconds=identity.lease_seconds,
            held=identity.held.ids(),
        )
        identity.held.add([job.id for job in jobs], asked_at)
        if jobs:
            self._patience.found()
        for place, job in enumerate(jobs):
            try:
                self._check(job)
            except CloudError:
                # What is not held waits again after the next claim.
                identity.held.remove([one.id for one in jobs[place:]])
                raise
        self._links.outage.ended()
        return len(jobs)

    def _check(self, job: Job) -> None:
        """Make a job ready, or fail it. Raise `CloudError` if it cannot be checked now."""
        try:
            self.ready.put(self._checker.check(job))
        except RejectedError as error:  # there is no such input
            self._links.fail(job.id, str(error))
        except CloudError:
            raise
        except ImagenError as error:
            self._links.fail(job.id, str(error))
        except Exception as error:  # a mistake of ours: others may be drawn
            self._links.fail(job.id, describe_mistake(error))


def _may_pass(error: CloudError) -> bool:
    """Return whether it is no refusal, which the user must put right."""
    return not isinstance(error, RefusedError)
