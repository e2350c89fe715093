"""Jobs on a Dask cluster: one warm kernel in each worker process, lost jobs run elsewhere."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from imagen_nb.batch.jobs.jobs import Job
from imagen_nb.batch.jobs.notebook import require_kernel
from imagen_nb.batch.results.executed import (
    ExecutedNotebook,
    ExecutionOptions,
    outcome_of_notebook,
    run_job,
)
from imagen_nb.batch.running.loop import JobLost
from imagen_nb.errors import UsageError

if TYPE_CHECKING:
    from distributed import Client

_CONNECT_TIMEOUT_S = 10.0
_JOBS_PER_WORKER = 2  # jobs for each worker: the next one is there when one ends
_UPLOAD_TIMEOUT_S = (
    60.0  # how long a worker waits for its uploads before it reports a job
)


class Cluster:
    """A scheduler that others started, and whose workers have imagen_nb.

    Invariant: jobs of a worker that is lost are given to others, by Dask. The cluster itself, and a
    client that was given, stay.
    """

    def __init__(
        self, dask: str | Client, way: ExecutionOptions, environment: Mapping[str, str]
    ) -> None:
        """Raises `UsageError` when there is no such scheduler, or Dask is not installed."""
        self._given = not isinstance(dask, str)
        self._client = _connect_to_scheduler(dask) if isinstance(dask, str) else dask
        self._said = self._client.scatter(way.written(), broadcast=True, hash=False)
        self._environment = dict(environment)
        self._running: dict[Future[ExecutedNotebook], Any] = {}
        self._lock = threading.Lock()
        self._tries = 0

    @property
    def at_once(self) -> int:
        """How many jobs to give it: two for each worker that there is by now, or one to wait."""
        return max(
            1,
            _JOBS_PER_WORKER
            * len(self._client.scheduler_info(n_workers=-1)["workers"]),
        )

    def run(self, job: Job) -> Future[ExecutedNotebook]:
        """What it ran, in a while. The future's exception is `Lost` where that is nothing."""
        self._tries += 1
        there = self._client.submit(
            run_job_on_worker, asdict(job), self._said, self._environment, pure=False,
            key=f"imagen-{job.name}-{self._tries}",
        )  # fmt: skip
        here: Future[ExecutedNotebook] = Future()
        here.set_running_or_notify_cancel()  # nobody here knows which of them have begun
        self._running[here] = there
        there.add_done_callback(functools.partial(self._ended, here))
        return here

    def _ended(self, here: Future[ExecutedNotebook], there: Any) -> None:
        """Pass on what came back, unless the job was taken back."""
        try:
            ran, lost = ExecutedNotebook(**there.result()), None
        except Exception as error:  # of the cluster: the notebook's own are in it
            ran, lost = None, JobLost(f"{type(error).__name__}: {error}")
        with self._lock:
            if self._running.pop(here, None) is None:
                return
        if ran:
            here.set_result(ran)
        else:
            here.set_exception(lost)

    def close(self) -> None:
        """Leave the cluster, after the jobs that run."""
        if not self._given:
            self._client.close()

    def kill(self) -> None:
        """Take all jobs back; a notebook that runs at the moment is not waited for."""
        with self._lock:
            running, self._running = self._running, {}
        self._client.cancel([*running.values()], force=True)
        for here in running:
            here.set_exception(JobLost("interrupted"))


def _connect_to_scheduler(address: str) -> Client:
    try:
        from distributed import Client
    except ImportError:
        raise UsageError(
            "batches on a cluster need Dask: pip install 'imagen_nb[dask]'"
        ) from None
    try:
        return Client(address, timeout=_CONNECT_TIMEOUT_S, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UsageError(
            f"no Dask scheduler answers at {address!r}: {reason}"
        ) from None


# Of a worker process: notebooks run one at a time, all in the thread that knows the warm kernel.
_JOB_THREAD = ThreadPoolExecutor(1, thread_name_prefix="imagen-batch-job")


def run_job_on_worker(
    job: Mapping[str, Any], way: Mapping[str, Any], environment: Mapping[str, str]
) -> dict[str, Any]:
    """Run a job in this worker process; its pictures are in the cloud before it is reported."""
    return asdict(
        _JOB_THREAD.submit(
            _run_and_upload, Job(**job), ExecutionOptions.read(way), environment
        ).result()
    )


def _run_and_upload(
    job: Job, way: ExecutionOptions, environment: Mapping[str, str]
) -> ExecutedNotebook:
    with _temporary_environment(environment):
        require_kernel(way.template)
        ran = run_job(job, way)
        said = outcome_of_notebook(ran.notebook)
        return replace(
            ran,
            pending=_upload_pictures(
                {path for _, path in said.pictures} if said else set()
            ),
        )


@contextmanager
def _temporary_environment(more: Mapping[str, str]) -> Iterator[None]:
    """This process's environment with these variables, of this batch only."""
    before = dict(os.environ)
    os.environ.update(more)
    try:
        yield
    finally:
        for name in more:
            os.environ.pop(name)
        os.environ.update(before)


def _upload_pictures(paths: set[str]) -> int:
    """Copy these pictures' folders to the cloud; how many pictures have to wait here."""
    from imagen_nb.batch.running.uploads import Uploads
    from imagen_nb.config.settings import load_settings

    with Uploads(load_settings(), None) as uploads:
        uploads.wanted(paths)
        return uploads.send(_UPLOAD_TIMEOUT_S).pending
