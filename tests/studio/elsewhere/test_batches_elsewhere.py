"""A batch of notebooks on this machine whose pictures another one draws."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import pandas as pd
import pytest

import imagen_nb as im
from imagen_nb.batch.running.run import run_batch
from imagen_nb.storage.catalog import Catalog
from tests.fixtures.job_queues import TINY, TestQueue, empty_queue, entries_of
from tests.fixtures.server_state import ServerState
from tests.fixtures.stand_in_worker import StandIn, forget_jobs
from tests.fixtures.supabase_fixtures import TwoUsers, settings

pytestmark = pytest.mark.slow
LEASE_S = 10


def test_notebooks_draw_elsewhere(
    box: StandIn, local_supabase: TwoUsers, folder: Path, tmp_path: Path, quick_kernels: None
) -> None:
    config = tmp_path / "imagen.yaml"
    config.write_text(json.dumps(settings(folder, local_supabase)))
    rows = [
        {"prompt": "a boat", "seed": seed, "steps": 1, "width": 64, "height": 64}
        for seed in range(2)
    ]
    results = run_batch(
        rows, output=tmp_path / "runs", config=config, backend="remote", progress=False
    )
    assert [*results["status"]] == ["done"] * 2, results["error"].tolist()
    drawn = {str(id) for ids in results["picture_ids"] for id in ids}
    assert drawn == {str(id) for id in box.sent}
    assert Catalog(folder).counts()["synced"] == 2


@contextmanager
def worker_process(name: str, folder: Path, supabase: TwoUsers) -> Iterator[subprocess.Popen[str]]:
    """`imagen work`, as another machine runs it, with leases as short as they may be."""
    config = folder.with_suffix(".yaml")
    values = settings(folder, supabase) | {"backend": TINY, "work": {"lease_seconds": LEASE_S}}
    config.write_text(json.dumps(values))
    command = [sys.executable, "-c", "from imagen_nb.cli import main; main()", "work"]
    command += ["--name", name, "--config", str(config), "--backends", TINY]
    with folder.with_suffix(".log").open("w") as log:
        process = subprocess.Popen(command, text=True, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def kill_while_it_draws(process: subprocess.Popen[str], jobs: TestQueue, name: str) -> set[UUID]:
    """SIGKILL once it has drawn one job and is drawing another; return what it left."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        if left_by(jobs, name):
            os.kill(process.pid, signal.SIGSTOP)  # so that nothing ends while it is looked at
            left = left_by(jobs, name)
            os.kill(process.pid, signal.SIGKILL if left else signal.SIGCONT)
            if left:
                return left
        time.sleep(0.05)
    raise AssertionError("it drew nothing")


def left_by(jobs: TestQueue, name: str) -> set[UUID]:
    """The jobs that a worker has begun, without a picture yet, if it has finished others."""
    mine = {box.id for box in jobs.queue.workers() if box.name == name}
    mine_now = [job for job in jobs.queue.newest() if job.worker_id in mine]
    drawing = {job.id for job in mine_now if job.state == "drawing" and job.progress}
    has_drawn = any(job.state == "done" for job in mine_now)
    has_rows = drawing & {UUID(row["id"]) for row in jobs.server.rows()}
    return drawing if has_drawn and not has_rows else set()


@pytest.mark.parametrize("count", [6, pytest.param(200, marks=pytest.mark.soak)])
def test_a_batch_over_two_workers_is_whole_when_one_is_killed(
    server: ServerState,
    local_supabase: TwoUsers,
    folder: Path,
    tmp_path: Path,
    quick_kernels: None,
    count: int,
) -> None:
    forget_jobs(server)
    config = tmp_path / "imagen.yaml"
    config.write_text(json.dumps(settings(folder, local_supabase)))
    rows = [
        {"prompt": "a boat", "seed": seed, "steps": 30, "width": 128, "height": 128}
        for seed in range(count)
    ]
    results: list[pd.DataFrame] = []

    def run() -> None:
        results.append(
            run_batch(
                rows,
                output=tmp_path / "runs",
                config=config,
                backend=f"remote:{TINY}",
                workers=2,
                progress=False,
            )
        )

    boxes = [tmp_path / "first", tmp_path / "second"]
    with (
        empty_queue(local_supabase, server) as jobs,
        worker_process("first", boxes[0], local_supabase) as first,
    ):
        batch = threading.Thread(target=run)
        batch.start()
        while not any(job.state == "drawing" for job in jobs.queue.newest()):
            assert batch.is_alive()
            time.sleep(0.05)
        with worker_process("second", boxes[1], local_supabase):  # else it may draw them all
            left = kill_while_it_draws(first, jobs, "first")
            batch.join()
        again = [*jobs.queue.jobs([*left]).values()]
    (table,) = results
    assert [*table["status"]] == ["done"] * count, table["error"].dropna().tolist()
    assert {job.state for job in again} == {"done"}
    assert min(job.attempts for job in again) > 1
    drawn = {str(id) for ids in table["picture_ids"] for id in ids}
    assert len(drawn) == count
    assert {row["id"] for row in server.rows()} == drawn
    here = {str(entry.record.id): entry for entry in entries_of(folder)}
    assert set(here) == drawn
    assert {entry.cloud_state for entry in here.values()} == {"synced"}
    assert sorted(entry.record.seed for entry in here.values()) == [*range(count)]
    by_both = [{entry.record.id for entry in entries_of(box)} for box in boxes]
    assert not by_both[0] & by_both[1] - left


def test_a_backend_that_is_none_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(im.UsageError, match="unknown backend 'flux-tiny'"):
        run_batch([{"prompt": "a"}], output=tmp_path / "runs", backend="flux-tiny")
    assert not list((tmp_path / "runs").glob("*.ipynb"))
