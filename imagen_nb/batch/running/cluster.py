"""Jobs on a Dask cluster: a warm kernel in each worker process; lost jobs run again."""

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
_JOBS_PER_WORKER = 2  # the next one is there when one ends
_UPLOAD_TIMEOUT_S = 60.0  # a worker reports its job after that at the latest


class Cluster:
    """A Dask scheduler that others started, and whose workers have imagen_nb.

    Invariant: jobs of a worker that is lost are given to others, by Dask. The cluster
    itself, and a client that was given, are left open.
    """

    def __init__(
        self,
        dask: str | Client,
        options: ExecutionOptions,
        environment: Mapping[str, str],
    ) -> None:
        """Connect to the scheduler.

        Raises `UsageError` if there is none at the address, or Dask is not installed.

        Args:
            dask: the scheduler's address, or a client of it.
            options: how the notebooks are run.
            environment: variables to add to the workers' own, for this batch only.
        """
        self._own_client = isinstance(dask, str)
        self._client = _connect_to_scheduler(dask) if isinstance(dask, str) else dask
        self._options = self._client.scatter(
            options.to_json(), broadcast=True, hash=False
        )
        self._environment = dict(environment)
        self._running: dict[Future[ExecutedNotebook], Any] = {}
        self._lock = threading.Lock()
        self._submitted = 0

    @property
    def at_once(self) -> int:
        """Two jobs for each worker that there is by now; one, if none has come yet."""
        workers = self._client.scheduler_info(n_workers=-1)["workers"]
        return max(1, _JOBS_PER_WORKER * len(workers))

    def run(self, job: Job) -> Future[ExecutedNotebook]:
        """Return a future of the executed notebook; its exception may be `JobLost`."""
        self._submitted += 1
        dask_future = self._client.submit(
            run_job_on_worker,
            asdict(job),
            self._options,
            self._environment,
            pure=False,
            key=f"imagen-{job.name}-{self._submitted}",
        )
        future: Future[ExecutedNotebook] = Future()
        # It cannot be cancelled: nobody here knows which jobs have begun.
        future.set_running_or_notify_cancel()
        self._running[future] = dask_future
        dask_future.add_done_callback(functools.partial(self._ended, future))
        return future

    def _ended(self, future: Future[ExecutedNotebook], dask_future: Any) -> None:
        """Pass on what came back, unless the job was taken back by `kill`."""
        executed, lost = None, None
        try:
            executed = ExecutedNotebook(**dask_future.result())
        except Exception as error:  # of the cluster; the notebook's own are in it
            lost = JobLost(f"{type(error).__name__}: {error}")
        with self._lock:
            if self._running.pop(future, None) is None:
                return
        if executed:
            future.set_result(executed)
        else:
            future.set_exception(lost)

    def close(self) -> None:
        """Leave the cluster."""
        if self._own_client:
            self._client.close()

    def kill(self) -> None:
        """Take all jobs back; notebooks that run at the moment are not waited for."""
        with self._lock:
            running, self._running = self._running, {}
        self._client.cancel([*running.values()], force=True)
        for future in running:
            future.set_exception(JobLost("interrupted"))


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


# In a worker process, notebooks run one at a time, all in the same thread: the warm
# kernel's connection belongs to it.
_JOB_THREAD = ThreadPoolExecutor(1, thread_name_prefix="imagen-batch-job")


def run_job_on_worker(
    job: Mapping[str, Any], options: Mapping[str, Any], environment: Mapping[str, str]
) -> dict[str, Any]:
    """Run a job in this worker process of a cluster, and upload its pictures.

    The arguments are `Job`, `ExecutionOptions` and variables of the environment, and
    what is returned is an `ExecutedNotebook`, all of them as JSON values. Raises
    `UsageError` if the notebook's kernel is not installed here.
    """
    done = _JOB_THREAD.submit(
        _run_and_upload, Job(**job), ExecutionOptions.from_json(options), environment
    )
    return asdict(done.result())


def _run_and_upload(
    job: Job, options: ExecutionOptions, environment: Mapping[str, str]
) -> ExecutedNotebook:
    with _temporary_environment(environment):
        require_kernel(options.template)
        executed = run_job(job, options)
        outcome = outcome_of_notebook(executed.text)
        paths = {path for _, path in outcome.pictures} if outcome else set()
        return replace(executed, pending=_upload_pictures(paths))


@contextmanager
def _temporary_environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Add the variables to this process's environment, and take them out again."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            os.environ.pop(name)
        os.environ.update(before)


def _upload_pictures(paths: set[str]) -> int:
    """Upload these pictures; return how many have to wait on this machine."""
    from imagen_nb.batch.running.uploads import Uploads
    from imagen_nb.config.settings import load_settings

    with Uploads(load_settings(), None) as uploads:
        uploads.add(paths)
        return uploads.send(_UPLOAD_TIMEOUT_S).pending
