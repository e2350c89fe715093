"""Worker processes on this machine, each with its own warm kernel, and its own GPU where there are.

A process and not a thread: papermill changes the working directory of the process it runs in.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict
from queue import SimpleQueue

from imagen_nb.batch.jobs.jobs import Job
from imagen_nb.batch.results.executed import ExecutedNotebook, ExecutionOptions
from imagen_nb.batch.running.loop import JobLost

_TIMEOUT_GRACE_S = 30.0  # seconds beyond the timeout that a worker has to say that its job took too long
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


class Workers:
    """A fixed number of processes. Invariant: after `close` or `kill` none of them runs.

    `run` gives jobs to whichever is free. A worker that died is replaced for the next job.
    """

    def __init__(
        self, count: int, way: ExecutionOptions, environment: Mapping[str, str]
    ) -> None:
        """Starts nothing: the first jobs do."""
        self._way, self._environment = way, environment
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="imagen-batch")
        self._free: SimpleQueue[int] = SimpleQueue()
        for place in range(count):
            self._free.put(place)
        self._count, self._gpus = count, visible_gpus(environment)
        self._running: dict[int, subprocess.Popen[str]] = {}
        self._lock = (
            threading.RLock()
        )  # Ctrl-C may come while this very thread holds it
        self._killed = False

    @property
    def at_once(self) -> int:
        """How many jobs run at the same time."""
        return self._count

    def run(self, job: Job) -> Future[ExecutedNotebook]:
        """The job's executed notebook, in a while. Its exception is `Lost` where there is none."""
        return self._pool.submit(self._run, job)

    def _run(self, job: Job) -> ExecutedNotebook:
        place = self._free.get()
        try:
            return self._asked(place, job)
        finally:
            self._free.put(place)

    def _asked(self, place: int, job: Job) -> ExecutedNotebook:
        worker = self._worker(place)
        with self._in_time(worker):
            line = _ask_worker(worker, job)
        if not line:
            self._forget(place)
            _wait_until_gone(worker)
            raise JobLost(f"its worker died (exit code {worker.returncode})")
        answer = json.loads(line)
        if "error" in answer:
            raise JobLost(answer["error"])
        return ExecutedNotebook(**answer)

    @contextmanager
    def _in_time(self, worker: subprocess.Popen[str]) -> Iterator[None]:
        """Ends a worker that does not notice itself that its job takes too long."""
        if self._way.timeout is None:
            yield
            return
        watch = threading.Timer(self._way.timeout + _TIMEOUT_GRACE_S, worker.kill)
        watch.daemon = True
        watch.start()
        try:
            yield
        finally:
            watch.cancel()

    def _worker(self, place: int) -> subprocess.Popen[str]:
        with self._lock:
            if self._killed:
                raise JobLost("interrupted")
            if place not in self._running:
                self._running[place] = self._started(place)
            return self._running[place]

    def _started(self, place: int) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "imagen_nb.batch.running.worker"], text=True, encoding="utf-8",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
            env={**self._environment, **self._share(place)},
        )  # fmt: skip
        print(json.dumps(self._way.written()), file=process.stdin, flush=True)
        return process

    def _share(self, place: int) -> dict[str, str]:
        """A worker's part of the machine: one GPU, and its number of the CPU's threads."""
        share = {}
        if self._gpus:
            share["CUDA_VISIBLE_DEVICES"] = self._gpus[place % len(self._gpus)]
        if self._count > 1:
            threads = str(max(1, usable_cores() // self._count))
            share |= {
                name: threads
                for name in _THREAD_VARIABLES
                if name not in self._environment
            }
        return share

    def _forget(self, place: int) -> None:
        with self._lock:
            self._running.pop(place, None)

    def close(self) -> None:
        """End the workers, after the jobs that they are at."""
        self._pool.shutdown(wait=True)
        self._ended(subprocess.Popen.terminate)

    def kill(self) -> None:
        """End the workers now; their jobs are lost."""
        self._killed = True
        self._ended(subprocess.Popen.terminate)
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _ended(self, how: Callable[[subprocess.Popen[str]], None]) -> None:
        with self._lock:
            running, self._running = [*self._running.values()], {}
        for process in running:
            how(process)
        for process in running:
            _wait_until_gone(process)


def _ask_worker(worker: subprocess.Popen[str], job: Job) -> str:
    """The worker's answer to a job; nothing when it died."""
    assert worker.stdout is not None
    try:
        print(json.dumps(asdict(job)), file=worker.stdin, flush=True)
        return worker.stdout.readline()
    except (OSError, ValueError):  # a broken or closed pipe
        return ""


def _wait_until_gone(process: subprocess.Popen[str]) -> None:
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe:
            with suppress(BrokenPipeError):
                pipe.close()


def usable_cores() -> int:
    """The processors that this process may use."""
    return (
        len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count() or 1
    )


def visible_gpus(environment: Mapping[str, str]) -> Sequence[str]:
    """The GPUs that may be used, as CUDA_VISIBLE_DEVICES names them; none where none are."""
    if (named := environment.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [*filter(None, (part.strip() for part in named.split(",")))]
    if not (tool := shutil.which("nvidia-smi")):
        return []
    listed = subprocess.run(
        [tool, "--list-gpus"], capture_output=True, text=True, check=False
    )
    return [str(number) for number, _ in enumerate(listed.stdout.splitlines())]
