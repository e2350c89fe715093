"""The queue of jobs in the cloud, as the SQL functions of imagen.jobs offer it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.errors import decoding
from imagen_nb.cloud.filters import in_filter, url_chunks
from imagen_nb.cloud.keyset import RowKey, last_key
from imagen_nb.cloud.rows import replace_nul
from imagen_nb.storage.jobs import MAX_JOB_ERROR_CHARS, Job, JobNow, WorkerSeen

# All but the preview, which is asked for while somebody looks.
_COLUMNS = (
    "id,request,backend,memory_mb,priority,state,attempts,max_attempts,worker_id,"
    "progress,error,created_at,started_at,finished_at"
)
_NOW_COLUMNS = "id,state,progress,error"
_ROWS_PER_INSERT = 500


@dataclass(frozen=True, slots=True)
class JobQueue:
    """The jobs of one user. Every method raises `CloudError` where the cloud fails."""

    cloud: Cloud

    def add(self, jobs: Sequence[Job]) -> None:
        """Queue jobs, by their ids: those that are there already stay as they are."""
        owner, _ = self.cloud.owner()
        names = ("id", "request", "backend", "memory_mb", "priority", "max_attempts")
        rows = [
            {
                **replace_nul(job.model_dump(mode="json", include={*names})),
                "owner_user_id": str(owner),
            }
            for job in jobs
        ]
        for start in range(0, len(rows), _ROWS_PER_INSERT):
            part = rows[start : start + _ROWS_PER_INSERT]
            self.cloud.add(part, "jobs", "id", "id")

    def jobs(self, ids: Sequence[UUID], previews: bool = False) -> dict[UUID, Job]:
        """Return those of these jobs that exist, by id."""
        columns = f"{_COLUMNS},preview" if previews else _COLUMNS
        rows = self.cloud.rows_by("id", [*map(str, ids)], columns, "jobs")
        return {job.id: job for job in _jobs_of([*rows.values()])}

    def now(self, ids: Sequence[UUID], previews: bool = False) -> dict[UUID, JobNow]:
        """Return how far those of these jobs are that exist, by id.

        One request for each 100 of them.
        """
        columns = f"{_NOW_COLUMNS},preview" if previews else _NOW_COLUMNS
        rows = self.cloud.rows_by("id", [*map(str, ids)], columns, "jobs")
        with decoding():
            jobs = [JobNow.model_validate(row) for row in rows.values()]
        return {job.id: job for job in jobs}

    def newest(
        self, states: Sequence[str] | None = None, limit: int | None = None
    ) -> list[Job]:
        """Return jobs, the newest first, of all states or these; all, or so many."""
        owner, _ = self.cloud.owner()
        found: list[Job] = []
        conditions = [("owner_user_id", f"eq.{owner}")]
        conditions += [("state", in_filter(states))] if states is not None else []
        order = [("order", "created_at.desc,id.desc")]
        top: RowKey | None = None
        while limit is None or len(found) < limit:
            below = top.filters_below() if top else []
            rest = [] if limit is None else [("limit", str(limit - len(found)))]
            rows = self.cloud.rows(
                [*conditions, *below, *order, *rest], _COLUMNS, "jobs"
            )
            if not rows:
                break
            found += _jobs_of(rows)
            top = last_key(rows, top)
        return found

    def claim(
        self,
        worker: UUID,
        backends: Sequence[str],
        *,
        memory_mb: int | None = None,
        count: int = 1,
        lease_seconds: int = 60,
        held: Sequence[UUID] = (),
    ) -> list[Job]:
        """Claim up to `count` jobs that this worker can draw, in their order.

        `held`: those that it has already; others of its jobs wait again.
        """
        rows = self._call(
            "claim_jobs",
            worker=str(worker),
            backends=[*backends],
            memory_mb=memory_mb,
            count=count,
            lease_seconds=lease_seconds,
            held=[*map(str, held)],
        )
        return _jobs_of(rows)

    def renew(
        self,
        worker: UUID,
        ids: Sequence[UUID],
        *,
        lease_seconds: int = 60,
        progress: Mapping[UUID, Mapping[str, Any]] | None = None,
    ) -> dict[UUID, str]:
        """Prolong leases and tell progress; return each job's state, or "lost".

        What is not "drawing" is no longer this worker's: its picture is not wanted.
        """
        told = self._call(
            "renew_jobs",
            worker=str(worker),
            jobs=[*map(str, ids)],
            lease_seconds=lease_seconds,
            progress={str(id): dict(one) for id, one in (progress or {}).items()},
        )
        with decoding():
            return {UUID(id): str(state) for id, state in told.items()}

    def finish(self, worker: UUID, id: UUID) -> bool:
        """Note that the job's picture is in imagen.images; return whether it is."""
        return bool(self._call("finish_job", worker=str(worker), job=str(id)))

    def finish_many(self, worker: UUID, ids: Sequence[UUID]) -> set[UUID]:
        """Note which of these jobs' pictures are in imagen.images; return those."""
        told = self._call("finish_jobs", worker=str(worker), jobs=[*map(str, ids)])
        with decoding():
            return {UUID(id) for id in told}

    def fail(self, worker: UUID, id: UUID, error: str, again: bool = False) -> str:
        """Note why it could not be drawn; return its state then, or "lost".

        `again`: whether another attempt may go better.
        """
        reason = replace_nul(error[:MAX_JOB_ERROR_CHARS])
        told = self._call(
            "fail_job", worker=str(worker), job=str(id), error=reason, again=again
        )
        return str(told)

    def release(self, worker: UUID, ids: Sequence[UUID]) -> None:
        """Give jobs back that this worker will not draw; that counts as no attempt."""
        self._call("release_jobs", worker=str(worker), jobs=[*map(str, ids)])

    def cancel(self, ids: Sequence[UUID]) -> set[UUID]:
        """Cancel what is not finished; return which those were."""
        cancelled: set[UUID] = set()
        for chunk in url_chunks([*map(str, ids)], 1000):
            told = self._call("cancel_jobs", jobs=[*chunk])
            with decoding():
                cancelled |= {UUID(id) for id in told}
        return cancelled

    def prune(self, older_seconds: int) -> int:
        """Delete jobs that ended so long ago, not their pictures; return how many."""
        return int(self._call("prune_jobs", older_seconds=older_seconds))

    def register(
        self,
        worker: UUID,
        name: str,
        backends: Sequence[str],
        memory_mb: int | None,
        version: str,
    ) -> None:
        """Say that a worker is there, and what it draws, its own choice first."""
        self._call(
            "register_worker",
            worker=str(worker),
            name=name[:200],
            backends=[*backends],
            memory_mb=memory_mb,
            version=version,
        )

    def stop(self, worker: UUID) -> None:
        """Say that a worker ends."""
        self._call("stop_worker", worker=str(worker))

    def workers(self) -> list[WorkerSeen]:
        """Return the workers heard of in the last day, the latest first."""
        rows = self._call("list_workers")
        with decoding():
            return [WorkerSeen.model_validate(row) for row in rows]

    def _call(self, function: str, **arguments: Any) -> Any:
        owner, _ = self.cloud.owner()
        return self.cloud.call(function, {**arguments, "owner": str(owner)})


def _jobs_of(rows: Sequence[Any]) -> list[Job]:
    with decoding():
        return [Job.model_validate(row) for row in rows]
