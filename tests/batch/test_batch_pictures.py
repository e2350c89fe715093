"""Batches that draw: each job's pictures are there exactly once, whatever is killed."""

from __future__ import annotations

import itertools
import json
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import psutil
import pytest

from imagen_nb.batch.jobs.notebook import packaged_notebook
from imagen_nb.batch.running.run import run_batch
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.output import load_record
from tests.fixtures.fault_proxy import FAULTS, FaultProxy
from tests.fixtures.server_state import ServerState
from tests.fixtures.supabase_fixtures import TwoUsers

pytestmark = pytest.mark.slow


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where notebooks that say nothing else keep their pictures, drawn by the embedded FLUX."""
    monkeypatch.setenv("IMAGEN_OUTPUT_DIR", str(tmp_path / "pictures"))
    monkeypatch.setenv("IMAGEN_BACKEND", "flux-tiny-local")
    return tmp_path / "pictures"


@pytest.mark.parametrize(
    ("jobs", "kills", "between"),
    [(8, 1, (2, 5)), pytest.param(200, 3, (10, 40), marks=pytest.mark.soak)],
    ids=["killed once", "killed often"],
)
def test_killed_at_any_moment_nothing_is_lost_or_drawn_twice(
    jobs: int, kills: int, between: tuple[int, int], pictures: Path, tmp_path: Path
) -> None:
    """It is killed when so many more notebooks are there, somewhere `between` two numbers."""
    grid = tmp_path / "grid.yaml"
    grid.write_text(
        f"prompts: ['a {{red|blue}} boat']\nseeds: 1..{jobs // 2}\n"
        "steps: 1\nwidth: 64\nheight: 64\n"
    )
    runs, rng = tmp_path / "runs", random.Random(11)
    finished: dict[str, int] = {}
    for attempt in range(kills + 1):
        process = _begun(grid, runs)
        if attempt < kills:
            _killed(process, runs, len(finished) + rng.randrange(*between), rng)
        else:
            assert process.wait(300) == 0
        now = {path.name: path.stat().st_mtime_ns for path in runs.glob("*.ipynb")}
        assert all(json.loads((runs / name).read_text())["metadata"]["imagen"] for name in now)
        assert finished.items() <= now.items(), "a notebook that was done was run again"
        finished = now
    results = pd.read_parquet(runs / "results.parquet")
    assert (results["status"] == "done").all()
    assert len(results) == len(finished) == jobs
    _each_once(results, pictures)


def _begun(grid: Path, runs: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from imagen_nb.cli import main; main()",
            "batch",
            str(grid),
            "-o",
            str(runs),
            "--no-cloud",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _killed(process: subprocess.Popen[bytes], runs: Path, enough: int, rng: random.Random) -> None:
    """When so many notebooks are there, kill it, or its worker and then it."""
    end = time.monotonic() + 120
    while len([*runs.glob("*.ipynb")]) < enough:
        assert time.monotonic() < end
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(rng.random() * 0.3)
    everyone = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for one in rng.sample(everyone, rng.randrange(1, len(everyone) + 1)):
        one.kill()
    process.kill()
    process.wait()


def _each_once(results: pd.DataFrame, pictures: Path) -> None:
    kept = [load_record(path) for path in pictures.glob("*.png")]
    drawn = Counter((record.prompt, record.seed) for record in kept)
    assert drawn == Counter(zip(results["prompt"], results["seed"], strict=True))
    assert {str(record.id) for record in kept} == {
        id for ids in results["picture_ids"] for id in ids
    }
    assert not [path for path in pictures.iterdir() if path.name.endswith(".tmp")]
    catalog = Catalog(pictures)
    try:
        assert all(catalog.get(record.id) for record in kept)
    finally:
        catalog.close()


@pytest.mark.usefixtures("quick_kernels")
def test_a_batch_through_an_unreliable_network_has_a_row_for_each_picture(
    pictures: Path,
    local_supabase: TwoUsers,
    server: ServerState,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = itertools.count(1)
    with FaultProxy(
        local_supabase.url, lambda *_: FAULTS["503"] if next(asked) % 5 == 0 else None
    ) as proxy:
        for name, value in {
            "SUPABASE_URL": proxy.url,
            "SUPABASE_KEY": local_supabase.anon_key,
            "IMAGEN_SUPABASE_EMAIL": local_supabase.email,
            "IMAGEN_SUPABASE_PASSWORD": local_supabase.password,
        }.items():
            monkeypatch.setenv(name, value)
        results = run_batch(
            [{"prompt": "a red boat", "count": 3, "tags": ["batch"]}, {"prompt": "a blue house"}],
            output=tmp_path / "runs",
        )
    assert (results["status"] == "done").all()
    ids = {id for ids in results["picture_ids"] for id in ids}
    rows = server.rows()
    assert {row["id"] for row in rows} == ids
    assert len(ids) == 4
    assert sorted(len(row["tags"]) for row in rows) == [0, 1, 1, 1]
    _nothing_secret(tmp_path / "runs", [local_supabase.password, local_supabase.anon_key])


def _nothing_secret(folder: Path, secrets: list[str]) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            assert not [secret for secret in secrets if secret.encode() in path.read_bytes()], path


@pytest.mark.usefixtures("quick_kernels")
def test_without_cloud_the_pictures_stay_here(
    pictures: Path,
    local_supabase: TwoUsers,
    server: ServerState,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    account = {"URL": local_supabase.url, "KEY": local_supabase.anon_key}
    for name, value in account.items():
        monkeypatch.setenv(f"SUPABASE_{name}", value)
    monkeypatch.setenv("IMAGEN_SUPABASE_EMAIL", local_supabase.email)
    monkeypatch.setenv("IMAGEN_SUPABASE_PASSWORD", local_supabase.password)
    results = run_batch([{"prompt": "a red boat"}], output=tmp_path / "runs", cloud=False)
    ((path,),) = results["paths"]
    assert not load_record(Path(path)).cloud
    assert server.rows() == []


@pytest.mark.usefixtures("quick_kernels")
def test_papermill_runs_our_notebook_by_itself(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.ipynb"
    command = [
        sys.executable,
        "-m",
        "papermill",
        str(packaged_notebook()),
        str(out),
        "--no-progress-bar",
    ]
    parameters = {"prompt": "a {red} boat", "seed": "11", "count": "2"}
    for name, value in parameters.items():
        command += ["-p", name, value]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    outputs: list[Any] = [
        o for c in nbformat.read(out, as_version=4).cells for o in c.get("outputs", [])
    ]
    (scrap,) = [
        output.data["application/scrapbook.scrap.json+json"]
        for output in outputs
        if "application/scrapbook.scrap.json+json" in output.get("data", {})
    ]
    records = [load_record(Path(one["path"])) for one in scrap["data"]]
    assert [(record.prompt, record.seed) for record in records] == [
        ("a {red} boat", 11),
        ("a {red} boat", 12),
    ]
    assert [str(record.id) for record in records] == [one["id"] for one in scrap["data"]]
    assert scrap["name"] == "pictures"
    assert any(
        "contact sheet" in output.data.get("text/html", "")
        for output in outputs
        if "data" in output
    )
    assert out.stat().st_size < 60_000
