"""Worker processes of this machine, each with a warm kernel, and a GPU if any.

They are processes and not threads: papermill changes the working directory of the
process that it runs in.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict
from queue import SimpleQueue

from imagen_nb.batch.jobs.jobs import Job
from imagen_nb.batch.results.executed import ExecutedNotebook, ExecutionOptions
from imagen_nb.batch.running.loop import JobLost

_TIMEOUT_GRACE_S = 30.0  # in which a worker reports itself that its job took too long
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


class Workers:
    """A fixed number of worker processes; each has a slot, from 0 to `count` - 1.

    `run` gives a job to a worker that is free; one that died is replaced for the next
    job. Invariant: after `close` or `kill` none of them runs.
    """

    def __init__(
        self, count: int, options: ExecutionOptions, environment: Mapping[str, str]
    ) -> None:
        """Start no process yet: the first jobs do. `environment`: all that they get."""
        self._options, self._environment = options, environment
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="imagen-batch")
        self._free_slots: SimpleQueue[int] = SimpleQueue()
        for slot in range(count):
            self._free_slots.put(slot)
        self._count, self._gpus = count, visible_gpus(environment)
        self._processes: dict[int, subprocess.Popen[str]] = {}
        # Reentrant: the handler of Ctrl-C may run in the thread that holds it.
        self._lock = threading.RLock()
        self._killed = False

    @property
    def at_once(self) -> int:
        """How many jobs run at the same time."""
        return self._count

    def run(self, job: Job) -> Future[ExecutedNotebook]:
        """Return a future of the executed notebook; its exception may be `JobLost`."""
        return self._pool.submit(self._run, job)

    def _run(self, job: Job) -> ExecutedNotebook:
        slot = self._free_slots.get()
        try:
            return self._run_in_slot(slot, job)
        finally:
            self._free_slots.put(slot)

    def _run_in_slot(self, slot: int, job: Job) -> ExecutedNotebook:
        worker = self._worker(slot)
        with self._killed_when_late(worker):
            line = _ask_worker(worker, job)
        if not line:
            self._forget(slot)
            _wait_until_gone(worker)
            raise JobLost(f"its worker died (exit code {worker.returncode})")
        answer = json.loads(line)
        if "error" in answer:
            raise JobLost(answer["error"])
        return ExecutedNotebook(**answer)

    @contextmanager
    def _killed_when_late(self, worker: subprocess.Popen[str]) -> Iterator[None]:
        """Kill the worker if it does not report itself that its job takes too long."""
        if self._options.timeout is None:
            yield
            return
        timer = threading.Timer(self._options.timeout + _TIMEOUT_GRACE_S, worker.kill)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _worker(self, slot: int) -> subprocess.Popen[str]:
        with self._lock:
            if self._killed:
                raise JobLost("interrupted")
            if slot not in self._processes:
                self._processes[slot] = self._start_worker(slot)
            return self._processes[slot]

    def _start_worker(self, slot: int) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "imagen_nb.batch.running.worker"],
            text=True,
            encoding="utf-8",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            env={**self._environment, **self._share(slot)},
        )
        print(json.dumps(self._options.to_json()), file=process.stdin, flush=True)
        return process

    def _share(self, slot: int) -> dict[str, str]:
        """Return the variables for one GPU, and for a worker's part of the CPU."""
        share = {}
        if self._gpus:
            share["CUDA_VISIBLE_DEVICES"] = self._gpus[slot % len(self._gpus)]
        if self._count > 1:
            threads = str(max(1, usable_cores() // self._count))
            for name in _THREAD_VARIABLES:
                if name not in self._environment:
                    share[name] = threads
        return share

    def _forget(self, slot: int) -> None:
        with self._lock:
            self._processes.pop(slot, None)

    def close(self) -> None:
        """End the workers after their present jobs."""
        self._pool.shutdown(wait=True)
        self._terminate_all()

    def kill(self) -> None:
        """End the workers now; their jobs are lost."""
        self._killed = True
        self._terminate_all()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _terminate_all(self) -> None:
        with self._lock:
            processes, self._processes = [*self._processes.values()], {}
        for process in processes:
            process.terminate()
        for process in processes:
            _wait_until_gone(process)


def _ask_worker(worker: subprocess.Popen[str], job: Job) -> str:
    """Return the worker's answer to a job; nothing if it died."""
    assert worker.stdout is not None
    try:
        print(json.dumps(asdict(job)), file=worker.stdin, flush=True)
        return worker.stdout.readline()
    except (OSError, ValueError):  # a broken or closed pipe
        return ""


def _wait_until_gone(process: subprocess.Popen[str]) -> None:
    """Wait five seconds for its end, then kill it, and close its pipes."""
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
    """Return the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def visible_gpus(environment: Mapping[str, str]) -> Sequence[str]:
    """Return the GPUs that may be used, as CUDA_VISIBLE_DEVICES names them."""
    names = environment.get("CUDA_VISIBLE_DEVICES")
    if names is not None:
        return [*filter(None, (part.strip() for part in names.split(",")))]
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    listing = subprocess.run(
        [command, "--list-gpus"], capture_output=True, text=True, check=False
    )
    return [str(number) for number, _ in enumerate(listing.stdout.splitlines())]
