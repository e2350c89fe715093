"""Gives jobs to whoever runs them and takes back what they ran; stops when it is asked to."""

from __future__ import annotations

import signal
import threading
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from imagen_nb.batch.jobs.jobs import Job, make_jobs
from imagen_nb.batch.jobs.notebook import Template
from imagen_nb.batch.results.executed import (
    DONE,
    FAILED,
    ExecutedNotebook,
    ExecutionOptions,
    Outcome,
    make_failed_notebook,
    outcome_of_notebook,
)
from imagen_nb.batch.results.folder import BatchFolder
from imagen_nb.errors import UsageError
from imagen_nb.system.terminal import print_notice

if TYPE_CHECKING:
    from imagen_nb.batch.jobs.tables import JobsSource


class JobLost(Exception):  # noqa: N818 - it is written down, never raised to users
    """A job that nobody could run to its end: its worker died, or it could not be begun."""


class Runner(Protocol):
    """Who runs jobs: processes of this machine, or a cluster."""

    @property
    def at_once(self) -> int:
        """How many jobs to give it at the same time, by now."""

    def run(self, job: Job) -> Future[ExecutedNotebook]:
        """What it ran, in a while. The future's exception is `Lost` where that is nothing."""

    def close(self) -> None:
        """End what was started, after the jobs that run."""

    def kill(self) -> None:
        """End what was started, now; jobs that run are lost."""


class Loop:
    """Runs jobs, those that fail up to `retry` times more.

    Invariant: each job is at one worker at a time. After the first interrupt, or with `fail_fast`
    after a failure, no job is begun; after the second interrupt those that run are lost.
    """

    def __init__(
        self, runner: Runner, way: ExecutionOptions, retry: int, fail_fast: bool
    ) -> None:
        self.interrupts = 0
        self._runner, self._way = runner, way
        self._retry, self._fail_fast = retry, fail_fast
        self._stopping = False
        self._running: dict[Future[ExecutedNotebook], Job] = {}
        self._tried: Counter[str] = Counter()

    def results(
        self, jobs: Iterable[Job]
    ) -> Iterator[tuple[Job, ExecutedNotebook, Outcome]]:
        """Each job that ended for good, as it does."""
        waiting = deque(jobs)
        while True:
            while (
                waiting
                and not self._stopping
                and len(self._running) < self._runner.at_once
            ):
                job = waiting.popleft()
                self._running[self._runner.run(job)] = job
            if not self._running:
                return
            for future in wait(self._running, return_when=FIRST_COMPLETED).done:
                job = self._running.pop(future)
                ran = self._ran(future, job)
                if ran and not self._again(job, ran[1]):
                    yield job, *ran
                elif ran:
                    waiting.append(job)

    def _ran(
        self, future: Future[ExecutedNotebook], job: Job
    ) -> tuple[ExecutedNotebook, Outcome] | None:
        """What the job gave; None when it was taken back."""
        try:
            ran = future.result()
        except CancelledError:
            return None
        except JobLost as lost:
            if self.interrupts > 1:
                return None
            ran = make_failed_notebook(job, self._way, str(lost))
        said = outcome_of_notebook(ran.notebook)
        if said is None:
            raise AssertionError(
                f"the notebook of {job.name} does not say what became of it"
            )
        return ran, said

    def _again(self, job: Job, said: Outcome) -> bool:
        """Whether to run it once more."""
        if said.status != FAILED or self._stopping:
            return False
        self._tried[job.key] += 1
        if self._tried[job.key] <= self._retry:
            return True
        if self._fail_fast:
            self._stop()
        return False

    def _stop(self) -> None:
        self._stopping = True
        for future in [*self._running]:
            future.cancel()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Ctrl-C stops it, instead of being raised wherever this process is at the moment."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGINT, self._interrupted)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _interrupted(self, *signal: Any) -> None:
        self.interrupts += 1
        if self.interrupts == 1:
            self._stop()
            print_notice("finishing the current jobs; Ctrl-C again ends them now")
        elif self.interrupts == 2:
            self._runner.kill()


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """All jobs, those to run now, and what became of jobs in earlier runs, by key."""

    jobs: Sequence[Job]
    todo: Sequence[Job]
    before: Mapping[str, Outcome]

    @property
    def summary(self) -> str:
        """In words."""
        done = sum(one.status == DONE for one in self.before.values())
        again = len(self.before) - done
        count = len(self.jobs)
        parts = [
            f"{count} job{'s' if count != 1 else ''}",
            f"{done} done before" if done else "",
        ]
        parts += [f"{again} failed before" if again else "", f"{len(self.todo)} to run"]
        return ", ".join(filter(None, parts))


def make_batch_plan(
    source: JobsSource, made: Template, folder: BatchFolder, limit: int | None = None
) -> BatchPlan:
    """The jobs, and which of them are still to run: those without a notebook that says done.

    Raises `UsageError` for jobs that the notebook cannot take.
    """
    if limit is not None and limit < 0:
        raise UsageError(f"limit must be 0 or more, not {limit}")
    listed = make_jobs(source, made)
    before = {job.key: found for job in listed if (found := folder.outcome(job))}
    missing = [
        job for job in listed if job.key not in before or before[job.key].status != DONE
    ]
    return BatchPlan(listed, missing[:limit], before)
