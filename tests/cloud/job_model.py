"""The queue of jobs as it should be: tests/cloud/test_job_states.py compares PostgreSQL with it."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from uuid import UUID

OPEN = ("waiting", "drawing")


@dataclass
class ModelJob:
    """`added`: the how manieth addition brought it. `late`: its lease is over.

    `begun`: its worker told progress, which is one of the `attempts`.
    """

    id: UUID
    owner: str
    priority: int
    added: int
    max_attempts: int
    backend: str | None
    state: str = "waiting"
    attempts: int = 0
    worker: UUID | None = None
    late: bool = False
    begun: bool = False

    def wait_again(self) -> None:
        self.state, self.late, self.begun = "waiting", False, False

    def begin(self) -> None:
        self.attempts += not self.begun
        self.begun = True


@dataclass
class ModelQueue:
    """Every method does, and returns, what the function of that name is to."""

    jobs: dict[UUID, ModelJob] = field(default_factory=dict)
    pictures: dict[UUID, str] = field(default_factory=dict)  # and whose they are
    additions: int = 0

    def of(self, owner: str, ids: Iterable[UUID]) -> list[ModelJob]:
        """Those of these jobs that are this owner's."""
        found = (self.jobs.get(id) for id in dict.fromkeys(ids))
        return [job for job in found if job and job.owner == owner]

    def drawn_by(self, owner: str, worker: UUID, ids: Iterable[UUID]) -> list[ModelJob]:
        """Those of these jobs that this worker has."""
        own = self.of(owner, ids)
        return [job for job in own if (job.state, job.worker) == ("drawing", worker)]

    def add(self, jobs: Iterable[ModelJob]) -> None:
        self.additions += 1
        for job in jobs:
            self.jobs.setdefault(job.id, job)

    def claim(
        self, owner: str, worker: UUID, backend: str, count: int, held: set[UUID]
    ) -> list[UUID]:
        own = self.of(owner, self.jobs)
        for job in own:
            if job.state == "drawing" and job.late:
                self._tell_late(job)
        for job in self.drawn_by(owner, worker, self.jobs.keys() - held):
            job.wait_again()
        fitting = [job for job in own if job.backend in (None, backend)]
        waiting = [job for job in fitting if job.state == "waiting"]
        waiting.sort(key=lambda job: (-job.priority, job.added, job.id))
        for job in waiting[:count]:
            job.state, job.worker = "drawing", worker
        return [job.id for job in waiting[:count]]

    def _tell_late(self, job: ModelJob) -> None:
        job.wait_again()
        if self.pictures.get(job.id) == job.owner:
            job.state = "done"
        elif job.attempts >= job.max_attempts:
            job.state = "failed"

    def renew(
        self, owner: str, worker: UUID, ids: Iterable[UUID], begun: Container[UUID] = ()
    ) -> dict[UUID, str]:
        told = dict.fromkeys(ids, "lost")
        for job in self.drawn_by(owner, worker, ids):
            job.late = False
            if job.id in begun:
                job.begin()
            told[job.id] = "drawing"
        return told | {job.id: job.state for job in self.of(owner, ids) if job.state not in OPEN}

    def finish(self, owner: str, worker: UUID, ids: Iterable[UUID]) -> set[UUID]:
        there = {id for id in ids if self.pictures.get(id) == owner}
        for job in self.of(owner, there):
            if job.state == "drawing":
                job.begin()
            if job.state != "done":
                job.state, job.worker, job.late = "done", worker, False
        return there

    def fail(self, owner: str, worker: UUID, id: UUID, again: bool) -> str:
        for job in self.drawn_by(owner, worker, [id]):
            job.begin()
            job.wait_again()
            if not again or job.attempts >= job.max_attempts:
                job.state = "failed"
            return job.state
        return "lost"

    def release(self, owner: str, worker: UUID, ids: Iterable[UUID]) -> int:
        jobs = self.drawn_by(owner, worker, ids)
        for job in jobs:
            job.attempts, job.worker = job.attempts - job.begun, None
            job.wait_again()
        return len(jobs)

    def cancel(self, owner: str, ids: Iterable[UUID]) -> set[UUID]:
        jobs = [job for job in self.of(owner, ids) if job.state in OPEN]
        for job in jobs:
            job.state, job.late = "cancelled", False
        return {job.id for job in jobs}

    def prune(self, owner: str) -> int:
        ended = [job.id for job in self.of(owner, self.jobs) if job.state not in OPEN]
        for id in ended:
            del self.jobs[id]
        return len(ended)
