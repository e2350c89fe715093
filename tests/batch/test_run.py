"""Batches as they are run: real kernels, and whatever goes wrong in notebooks."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import pytest

import imagen_nb as im
from imagen_nb.batch.results.folder import BatchFolder
from imagen_nb.batch.running.run import plan_batch, run_batch
from imagen_nb.cli import run
from imagen_nb.errors import ImagenError, UsageError
from tests.batch.conftest import write_notebook

pytestmark = pytest.mark.slow

NOTE = """from pathlib import Path
with open(Path(log) / f"{n}.txt", "a") as file:
    file.write("run\\n")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The batch's folder; not there yet."""
    return tmp_path / "runs"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where the notebooks write that they were run."""
    path = tmp_path / "log"
    path.mkdir()
    return path


@pytest.fixture
def noting(written: Callable[..., Path], log: Path) -> Callable[..., Path]:
    """A notebook with a number `n` that writes down that it was run, and then runs more cells."""

    def make(*cells: str) -> Path:
        return written(f"n: int = ...\nlog = {str(log)!r}", NOTE, *cells)

    return make


def runs(log: Path) -> dict[int, int]:
    """How often each number was run."""
    return {int(p.stem): p.read_text().count("run") for p in log.iterdir()}


@pytest.fixture(scope="module")
def four(clean_module: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a batch of four jobs, of which the third fails; not there yet."""
    return tmp_path_factory.mktemp("four") / "runs"


@pytest.fixture(scope="module")
def results(four: Path) -> pd.DataFrame:
    """The table that this batch gave."""
    code = "kept = n * 2\nif n == 2:\n    raise ValueError('two\\nlines <b>')"
    notebook = write_notebook(four.parent, "n: int = ...", code, "kept")
    return run_batch([{"n": n} for n in range(4)], notebook, four, progress=False)


class TestABatchOfFourOfWhichTheThirdFails:
    """One batch, and what there is of it afterwards."""

    def test_the_failing_one_stops_no_other(self, results: pd.DataFrame) -> None:
        assert results["n"].tolist() == [0, 1, 2, 3]
        assert results["status"].tolist() == ["done", "done", "failed", "done"]
        assert (results["duration_s"] > 0).all()
        assert results["picture_ids"].tolist() == [[]] * 4

    def test_its_error_is_one_line(self, results: pd.DataFrame) -> None:
        assert results["error"].tolist()[2] == "ValueError: two lines <b>"
        assert results["error"].isna().tolist() == [True, True, False, True]

    def test_each_notebook_is_kept_with_what_it_put_out(
        self, results: pd.DataFrame, four: Path
    ) -> None:
        for name, status in zip(results["notebook"], results["status"], strict=True):
            kept = nbformat.read(four / name, as_version=4)
            assert kept.metadata.imagen.status == status
            types = [one.output_type for cell in kept.cells for one in cell.get("outputs", [])]
            assert types == ["error" if status == "failed" else "execute_result"]
        assert not [path for path in four.iterdir() if path.name.endswith(".tmp")]

    @pytest.mark.parametrize(
        ("name", "load"), [("results.parquet", pd.read_parquet), ("results.csv", pd.read_csv)]
    )
    def test_its_tables_are_the_one_that_it_gave(
        self, name: str, load: Callable[[Path], pd.DataFrame], results: pd.DataFrame, four: Path
    ) -> None:
        table = load(four / name)
        assert table["status"].tolist() == results["status"].tolist()
        assert list(table.columns) == list(results.columns)

    @pytest.mark.usefixtures("results")
    def test_batch_json_says_what_ran(self, four: Path) -> None:
        facts = json.loads((four / "batch.json").read_text())
        assert (facts["jobs"], facts["statuses"]) == (4, {"done": 3, "failed": 1})
        assert {"imagen_nb", "torch", "papermill"} <= facts["versions"].keys()

    def test_its_page_links_the_notebooks_and_shows_the_error_as_text(
        self, results: pd.DataFrame, four: Path
    ) -> None:
        page = (four / "index.html").read_text()
        assert all(f'href="{name}"' in page for name in results["notebook"])
        assert "two lines &lt;b&gt;" in page


def test_the_same_batch_again_runs_only_what_is_missing_or_failed(
    noting: Callable[..., Path], folder: Path, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook = noting("assert n != 1 or (Path(log) / 'mended').exists()")
    jobs = [{"n": n} for n in range(3)]
    assert run_batch(jobs[:2], notebook, folder)["status"].tolist() == ["done", "failed"]
    (log / "mended.txt").touch()
    assert plan_batch(jobs, notebook, folder).summary == (
        "3 jobs, 1 done before, 1 failed before, 2 to run"
    )
    (log / "mended.txt").rename(log / "mended")
    assert run_batch(jobs, notebook, folder)["status"].tolist() == ["done"] * 3
    (log / "mended").unlink()
    assert runs(log) == {0: 1, 1: 2, 2: 1}
    capsys.readouterr()
    results = run_batch(jobs, notebook, folder)
    assert capsys.readouterr().err == "imagen: 3 jobs, 3 done before, 0 to run\n"
    assert (results["status"] == "done").all()
    assert runs(log) == {0: 1, 1: 2, 2: 1}


def test_another_notebook_or_a_torn_one_is_run_again(
    noting: Callable[..., Path], folder: Path, log: Path
) -> None:
    jobs = [{"n": 0, "job": "first"}, {"n": 1}]
    results = run_batch(jobs, noting("1"), folder)
    kept = folder / results["notebook"].tolist()[1]
    kept.write_text(kept.read_text()[:-100])
    plan = plan_batch(jobs, noting("1"), folder)
    assert [job.parameters["n"] for job in plan.todo] == [1]
    run_batch(jobs, noting("2"), folder)
    assert runs(log) == {0: 2, 1: 2}
    assert nbformat.read(folder / "first.ipynb", as_version=4).cells[-1].source == "2"


def test_what_fails_is_retried_and_what_was_left_out_is_not_run(
    noting: Callable[..., Path], folder: Path, log: Path
) -> None:
    notebook = noting("assert n == 0 or (Path(log) / f'{n}.txt').read_text().count('run') > n", "n")
    results = run_batch([{"n": n} for n in range(5)], notebook, folder, retry=2, limit=4)
    assert results["status"].tolist() == ["done", "done", "done", "failed", "not run"]
    assert runs(log) == {0: 1, 1: 2, 2: 3, 3: 3}


def test_with_fail_fast_nothing_is_begun_after_a_failure(
    noting: Callable[..., Path], folder: Path, log: Path
) -> None:
    notebook = noting("assert n != 1")
    results = run_batch([{"n": n} for n in range(4)], notebook, folder, fail_fast=True)
    assert results["status"].tolist() == ["done", "failed", "not run", "not run"]


def test_a_notebook_that_takes_too_long_or_kills_its_kernel_or_its_worker_is_marked(
    noting: Callable[..., Path], folder: Path, log: Path
) -> None:
    notebook = noting(
        "import os, signal, time\n"
        "if n == 0: time.sleep(600)\n"
        "if n == 1: os._exit(3)\n"
        "if n == 2: os.kill(os.getppid(), signal.SIGKILL)\n"
        "if n == 3: os.environ['LEFT'] = 'x'\n",
        "assert 'LEFT' not in os.environ or n == 3",
    )
    began = time.monotonic()
    results = run_batch([{"n": n} for n in range(5)], notebook, folder, timeout=3)
    assert time.monotonic() - began < 300
    assert results["status"].tolist() == ["failed", "failed", "failed", "done", "done"]
    timed, died, lost = results["error"].tolist()[:3]
    assert "Timeout" in timed
    assert "DeadKernel" in died
    assert "its worker died" in lost
    for name in results["notebook"][:3]:
        kept = nbformat.read(folder / name, as_version=4)
        assert any(o.output_type == "error" for c in kept.cells for o in c.get("outputs", []))


def test_two_workers_run_two_notebooks_at_once_each_with_its_gpu_and_share_of_the_processors(
    noting: Callable[..., Path], folder: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2, GPU-5")
    notebook = noting(
        "import os, time\n"
        "deadline = time.time() + 60\n"
        "while len(list(Path(log).iterdir())) < 2:\n"
        "    time.sleep(0.01)\n"
        "    assert time.time() < deadline",
        "print(os.environ['CUDA_VISIBLE_DEVICES'], os.environ['OMP_NUM_THREADS'])",
    )
    results = run_batch([{"n": n} for n in range(2)], notebook, folder, workers=2)
    assert results["status"].tolist() == ["done", "done"]
    said = [
        nbformat.read(folder / name, as_version=4).cells[-1].outputs[0].text.split()
        for name in results["notebook"]
    ]
    assert {gpu for gpu, _ in said} == {"2", "GPU-5"}
    assert {int(threads) for _, threads in said} == {max(1, len(os.sched_getaffinity(0)) // 2)}


def test_a_fresh_kernel_for_every_notebook_is_to_be_had(
    noting: Callable[..., Path], folder: Path, log: Path
) -> None:
    notebook = noting("import os\nprint(os.getpid())")
    results = run_batch([{"n": n} for n in range(2)], notebook, folder, warm=False)
    said = [
        nbformat.read(folder / name, as_version=4).cells[-1].outputs[0].text
        for name in results["notebook"]
    ]
    assert said[0] != said[1]


def test_two_batches_into_one_folder_at_once_are_refused(
    noting: Callable[..., Path], folder: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imagen_nb.batch.results.folder._LOCK_TIMEOUT_S", 0.1)
    refused = pytest.raises(UsageError, match="another batch is running")
    with BatchFolder(folder).locked(), refused:
        run_batch([{"n": 1}], noting("1"), folder)
    assert runs(log) == {}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"workers": 0}, "workers must be 1 or more, not 0"),
        ({"retry": -1}, "retry must be 0 or more"),
        ({"limit": -1}, "limit must be 0 or more"),
        ({"timeout": 0}, "timeout is seconds, more than 0"),
        ({"dask": "tcp://127.0.0.1:9"}, "no Dask scheduler answers"),
        ({"notebooks": "nowhere://x"}, "notebooks cannot be kept"),
    ],
)
def test_options_that_cannot_be_are_said(
    options: dict[str, Any],
    said: str,
    noting: Callable[..., Path],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("imagen_nb.batch.running.cluster._CONNECT_TIMEOUT_S", 0.5)
    with pytest.raises(ImagenError, match=said):
        run_batch([{"n": 1}], noting("1"), folder, **options)


def test_notebooks_are_kept_at_any_url_and_resumed_from_there(
    noting: Callable[..., Path], folder: Path, log: Path
) -> None:
    import fsspec

    url = "memory://batch/of-this-test"
    for _ in range(2):
        results = run_batch([{"n": 1}], noting("1"), folder, notebooks=url)
        assert results["status"].tolist() == ["done"]
    (link,) = results["notebook"]
    assert link.startswith(url)
    kept = nbformat.reads(fsspec.filesystem("memory").cat(link).decode(), as_version=4)
    assert kept.metadata.imagen.status == "done"
    assert not list(folder.glob("*.ipynb"))
    assert runs(log) == {1: 1}
    assert f'href="{link}"' in (folder / "index.html").read_text()


def imagen(*arguments: str, **more: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", "from imagen_nb.cli import main; main()", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **more,
    )


def interrupted(process: subprocess.Popen[str], log: Path, number: int) -> None:
    """Ctrl-C when this job has begun, and wait until the command has heard it."""
    end = time.monotonic() + 120
    while number not in runs(log):
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert any("finishing the current jobs; Ctrl-C again ends" in line for line in process.stderr)


def test_ctrl_c_finishes_the_current_job_and_the_second_one_ends_it(
    noting: Callable[..., Path], folder: Path, log: Path, tmp_path: Path, temporary: Path
) -> None:
    go = tmp_path / "go"
    wait = (
        f"import time\nwhile n > 1 or n == 0 and not Path({str(go)!r}).exists(): time.sleep(0.01)"
    )
    table = tmp_path / "jobs.jsonl"
    table.write_text("\n".join(json.dumps({"n": n}) for n in range(4)))
    command = ["batch", str(table), "--notebook", str(noting(wait)), "-o", str(folder)]
    first = imagen(*command)
    interrupted(first, log, 0)
    go.touch()
    first.communicate(timeout=60)
    assert first.returncode == 130
    assert pd.read_csv(folder / "results.csv")["status"].tolist() == ["done", *["not run"] * 3]
    second = imagen(*command, env={**os.environ, "TMPDIR": str(temporary)})
    interrupted(second, log, 2)
    second.send_signal(signal.SIGINT)
    second.communicate(timeout=60)
    assert second.returncode == 130
    statuses = pd.read_csv(folder / "results.csv")["status"].tolist()
    assert statuses == ["done", "done", "not run", "not run"]
    assert runs(log) == {0: 1, 1: 1, 2: 1}
    assert list(temporary.iterdir()) == []


def test_the_command_prints_the_table_and_exits_1_when_a_job_failed(
    noting: Callable[..., Path],
    folder: Path,
    log: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    table = tmp_path / "jobs.csv"
    table.write_text("n\n1\n2\n")
    says = "import os\nassert (n, os.environ['IMAGEN_PREVIEW']) == (1, 'off')"
    command = ["batch", str(table), "--notebook", str(noting(says)), "-o", str(folder)]
    assert run([*command, "--json", "--no-preview"]) == 1
    printed, said = capsys.readouterr()
    assert [row["status"] for row in json.loads(printed)] == ["done", "failed"]
    assert re.search(r"imagen: 1 done, 1 failed\nimagen: job-[0-9a-f]{12}: AssertionError", said)


def test_a_dry_run_says_what_would_be_run_and_writes_nothing(
    noting: Callable[..., Path], folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "jobs.csv"
    table.write_text("n\n1\n2\n")
    notebook = str(noting("assert n == 1"))
    assert run(["batch", str(table), "--notebook", notebook, "-o", str(folder), "--dry-run"]) == 0
    printed, said = capsys.readouterr()
    assert said == ""
    assert printed.splitlines()[0] == "2 jobs, 2 to run"
    assert not folder.exists()


def test_batches_are_part_of_the_package() -> None:
    assert im.run_batch is run_batch
