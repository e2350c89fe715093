"""Jobs as a DataFrame: what waits, who draws, what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from imagen_nb.storage.jobs import Job

if TYPE_CHECKING:
    import pandas as pd

_TYPES = {
    "id": "str",
    "state": "str",
    "prompt": "str",
    "backend": "str",
    "priority": "int64",
    "attempts": "int64",
    "worker": "str",
    "progress": "float64",
    "error": "str",
    "created_at": "datetime64[us, UTC]",
    "started_at": "datetime64[us, UTC]",
    "finished_at": "datetime64[us, UTC]",
    "local_path": "str",
}


def jobs_frame(
    jobs: Sequence[Job], workers: Mapping[UUID, str], paths: Mapping[UUID, str]
) -> pd.DataFrame:
    """Return a row for each job.

    Args:
        jobs: in the order of the rows.
        workers: names of machines, by their ids.
        paths: files of pictures that are on this machine, by the jobs' ids.
    """
    import pandas as pd

    rows = [_row_of(job, workers, paths) for job in jobs]
    frame = pd.DataFrame(rows, columns=[*_TYPES])
    for name in ("created_at", "started_at", "finished_at"):
        frame[name] = pd.to_datetime(frame[name], utc=True)
    return frame.astype(_TYPES)


def _row_of(
    job: Job, workers: Mapping[UUID, str], paths: Mapping[UUID, str]
) -> dict[str, Any]:
    worker = job.worker_id and workers.get(job.worker_id, str(job.worker_id))
    return {
        "id": str(job.id),
        "state": job.state,
        "prompt": str(job.request.get("prompt", "")),
        "backend": job.backend,
        "priority": job.priority,
        "attempts": job.attempts,
        "worker": worker,
        "progress": _share_done(job),
        "error": job.error,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "local_path": paths.get(job.id),
    }


def _share_done(job: Job) -> float:
    """Return how much of it is drawn, 0 to 1, as far as its worker told."""
    if job.state == "done":
        return 1.0
    told = job.progress or {}
    try:
        return min(max(float(told["step"]) / float(told["steps"]), 0.0), 1.0)
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return 0.0
