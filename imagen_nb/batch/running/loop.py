"""Plans a batch, gives its jobs to a runner and takes back the executed notebooks."""

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


class JobLost(Exception):  # noqa: N818 - it is recorded, never raised to users
    """A job was not run to its end: its worker died, or it could not be begun."""


class Runner(Protocol):
    """Runs jobs: processes of this machine, or a cluster."""

    @property
    def at_once(self) -> int:
        """How many jobs to give it at the same time; a cluster may grow."""

    def run(self, job: Job) -> Future[ExecutedNotebook]:
        """Return a future of the executed notebook; its exception may be `JobLost`."""

    def close(self) -> None:
        """End what was started, after the present jobs."""

    def kill(self) -> None:
        """End what was started, now; present jobs are lost."""


class Loop:
    """Runs jobs; those that fail up to `retry` times more.

    Invariant: each job is at one worker at a time. After the first interrupt, or with
    `fail_fast` after a failure, no job is begun; after the second interrupt those that
    run are lost.
    """

    def __init__(
        self, runner: Runner, options: ExecutionOptions, retry: int, fail_fast: bool
    ) -> None:
        self.interrupts = 0
        self._runner, self._options = runner, options
        self._retry, self._fail_fast = retry, fail_fast
        self._stopping = False
        self._running: dict[Future[ExecutedNotebook], Job] = {}
        self._failures: Counter[str] = Counter()

    def results(
        self, jobs: Iterable[Job]
    ) -> Iterator[tuple[Job, ExecutedNotebook, Outcome]]:
        """Run the jobs; yield each when it has ended and is not to be retried."""
        waiting = deque(jobs)
        while True:
            self._begin_jobs(waiting)
            if not self._running:
                return
            for future in wait(self._running, return_when=FIRST_COMPLETED).done:
                job = self._running.pop(future)
                result = self._result(future, job)
                if result is None:
                    continue
                executed, outcome = result
                if self._is_to_be_retried(job, outcome):
                    waiting.append(job)
                else:
                    yield job, executed, outcome

    def _begin_jobs(self, waiting: deque[Job]) -> None:
        while waiting and not self._stopping:
            if len(self._running) >= self._runner.at_once:
                return
            job = waiting.popleft()
            self._running[self._runner.run(job)] = job

    def _result(
        self, future: Future[ExecutedNotebook], job: Job
    ) -> tuple[ExecutedNotebook, Outcome] | None:
        """Return what the job gave; None if it was cancelled."""
        try:
            executed = future.result()
        except CancelledError:
            return None
        except JobLost as lost:
            if self.interrupts > 1:
                return None
            executed = make_failed_notebook(job, self._options, str(lost))
        outcome = outcome_of_notebook(executed.text)
        if outcome is None:
            raise AssertionError(
                f"the notebook of {job.name} does not say what became of it"
            )
        return executed, outcome

    def _is_to_be_retried(self, job: Job, outcome: Outcome) -> bool:
        """Count a failure, and stop all after it with `fail_fast`."""
        if outcome.status != FAILED or self._stopping:
            return False
        self._failures[job.key] += 1
        if self._failures[job.key] <= self._retry:
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
        """Let Ctrl-C stop the loop, instead of being raised at any line of the process.

        Only the main thread can; in another one it does nothing.
        """
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
    """What a batch will run.

    Attributes:
        jobs: all of them, in the table's order.
        todo: those to run now.
        before: what became of jobs in earlier runs, by key.
    """

    jobs: Sequence[Job]
    todo: Sequence[Job]
    before: Mapping[str, Outcome]

    @property
    def summary(self) -> str:
        """The counts in words, such as `3 jobs, 1 done before, 2 to run`."""
        done = sum(one.status == DONE for one in self.before.values())
        failed = len(self.before) - done
        parts = [f"{len(self.jobs)} job{'s' if len(self.jobs) != 1 else ''}"]
        if done:
            parts.append(f"{done} done before")
        if failed:
            parts.append(f"{failed} failed before")
        return ", ".join([*parts, f"{len(self.todo)} to run"])


def make_batch_plan(
    source: JobsSource,
    template: Template,
    folder: BatchFolder,
    limit: int | None = None,
) -> BatchPlan:
    """Return the plan: jobs whose notebook in the folder is done are not run again.

    At most `limit` jobs are run. Raises `UsageError` for jobs that the notebook cannot
    take.
    """
    if limit is not None and limit < 0:
        raise UsageError(f"limit must be 0 or more, not {limit}")
    jobs = make_jobs(source, template)
    before: dict[str, Outcome] = {}
    todo = []
    for job in jobs:
        outcome = folder.outcome(job)
        if outcome:
            before[job.key] = outcome
        if outcome is None or outcome.status != DONE:
            todo.append(job)
    return BatchPlan(jobs, todo[:limit], before)
