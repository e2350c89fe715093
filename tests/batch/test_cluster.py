"""Batches on a Dask cluster of processes."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from distributed import Client, LocalCluster

from imagen_nb.batch.running.run import run_batch
from tests.fixtures.server_state import ServerState
from tests.fixtures.supabase_fixtures import TwoUsers

pytestmark = pytest.mark.slow

# From its second notebook on, a worker waits until one of them has been killed.
WORK = """import os, time
from pathlib import Path
log, worker = Path(log), os.environ["JPY_PARENT_PID"]
(log / f"{n}-{worker}").touch()
end = time.monotonic() + 120
while len(list(log.glob(f"*-{worker}"))) > 1 and not (log / "killed").exists():
    assert time.monotonic() < end
    time.sleep(0.01)
if n == 3:
    raise ValueError("three")
"""


@pytest.fixture(scope="module")
def cluster(
    clean_module: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, kernels: Path
) -> Iterator[LocalCluster]:
    """Two worker processes for all of these tests; Dask starts another for one that is killed."""
    folder = tmp_path_factory.mktemp("dask")
    clean_module.setenv("DASK_TEMPORARY_DIRECTORY", str(folder))
    environment = {"HOME": os.environ["HOME"], "JUPYTER_PATH": str(kernels)}
    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        dashboard_address=None,
        host="127.0.0.1",
        local_directory=str(folder),
        env=environment,
    ) as made:
        yield made


@pytest.fixture
def notebook(written: Callable[..., Path], tmp_path: Path) -> Path:
    """It writes down which worker ran it, and fails for the number 3."""
    (tmp_path / "log").mkdir()
    return written(f"n: int = ...\nlog = {str(tmp_path / 'log')!r}", WORK)


def test_a_lost_worker_s_jobs_are_run_elsewhere_and_the_table_is_the_same_as_here(
    cluster: LocalCluster, notebook: Path, tmp_path: Path
) -> None:
    jobs = [{"n": n} for n in range(8)]
    killer = threading.Thread(target=_kill_one, args=(tmp_path / "log",))
    killer.start()
    there = run_batch(jobs, notebook, tmp_path / "there", dask=cluster.scheduler_address)
    killer.join()
    begun_there = _begun(tmp_path / "log")
    here = run_batch(jobs, notebook, tmp_path / "here", workers=2)
    pd.testing.assert_frame_equal(there.drop(columns="duration_s"), here.drop(columns="duration_s"))
    assert there["status"].tolist() == ["failed" if n == 3 else "done" for n in range(8)]
    kept = {path.name for path in (tmp_path / "there").glob("*.ipynb")}
    assert kept == set(there["notebook"])
    assert {n for n, _ in begun_there} == set(range(8))
    assert len(begun_there) > 8, "no job was begun twice on the cluster"


def _begun(log: Path) -> list[tuple[int, int]]:
    """Which job was begun by which process."""
    parts = [path.name.split("-") for path in log.glob("*-*")]
    return [(int(n), int(pid)) for n, pid in parts]


def _kill_one(log: Path) -> None:
    """SIGKILL to the first worker that is in the middle of its second notebook."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        workers = [pid for _, pid in _begun(log)]
        twice = [pid for pid in workers if workers.count(pid) > 1]
        if twice:
            os.kill(twice[0], signal.SIGKILL)
            break
        time.sleep(0.01)
    (log / "killed").touch()


def test_a_client_is_used_and_left_open_and_options_reach_the_kernels(
    cluster: LocalCluster, written: Callable[..., Path], tmp_path: Path
) -> None:
    told = "[os.environ[f'IMAGEN_{name}'] for name in ('CLOUD_SYNC', 'PREVIEW')]"
    notebook = written("n = 0", f"import os\nassert {told} == ['off', 'off']")
    off = {"cloud": False, "preview": False}
    with Client(cluster) as client:
        results = run_batch([{"n": 1}], notebook, tmp_path / "runs", dask=client, **off)
        assert client.status == "running"
        again = run_batch([{"n": 2}], notebook, tmp_path / "runs", dask=client)
    assert results["status"].tolist() == ["done"]
    assert again["status"].tolist() == ["failed"], "an option of one batch reached the next one"


def test_a_worker_s_pictures_are_in_the_cloud_when_the_batch_ends(
    cluster: LocalCluster, local_supabase: TwoUsers, server: ServerState, tmp_path: Path
) -> None:
    config = tmp_path / "imagen.yaml"
    config.write_text(
        f"backend: flux-tiny-local\noutput: {{dir: {tmp_path / 'pictures'}}}\n"
        f"supabase: {{url: {local_supabase.url}, key: {local_supabase.anon_key}, "
        f"email: {local_supabase.email}, password: {local_supabase.password!r}}}\n"
    )
    results: Any = run_batch(
        [{"prompt": "a red boat", "count": 2}],
        output=tmp_path / "runs",
        config=config,
        dask=cluster.scheduler_address,
    )
    assert results["error"].isna().all()
    assert {row["id"] for row in server.rows()} == {*results["picture_ids"][0]}
    assert len(results["picture_ids"][0]) == 2
