"""The worker process: runs jobs one after another, each in its warm kernel.

The first line of its standard input is `ExecutionOptions` as JSON, every other one a
job. It answers each job with one line of JSON on what was its standard output. When
standard input ends, because the process that started it is gone, it ends at once, and
its kernel with it.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
from dataclasses import asdict
from typing import IO

from imagen_nb.batch.jobs.jobs import Job
from imagen_nb.batch.results.executed import ExecutionOptions, run_job
from imagen_nb.batch.warm.kernels import abandon_kernel, close_kernel


def serve_jobs() -> None:
    """Run jobs until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    signal.signal(signal.SIGTERM, _end_worker)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no answer
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_forward_input, args=(lines,), daemon=True).start()
    options = ExecutionOptions.from_json(json.loads(lines.get()))
    while line := lines.get():
        _answer_job(answers, Job(**json.loads(line)), options)
    close_kernel()


def _forward_input(lines: queue.SimpleQueue[str]) -> None:
    """Pass lines on; end the process where they end: nobody waits for an answer."""
    for line in sys.stdin:
        lines.put(line.strip())
    os._exit(0)  # the kernel notices, too


def _end_worker(*signal: object) -> None:
    abandon_kernel()
    os._exit(1)


def _answer_job(answers: IO[str], job: Job, options: ExecutionOptions) -> None:
    """Run a job. Errors of the notebook are in it; any other one is the answer."""
    try:
        answer = asdict(run_job(job, options))
    except Exception as error:  # it must not take the other jobs with it
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    serve_jobs()
