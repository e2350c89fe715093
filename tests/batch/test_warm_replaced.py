"""What cannot be given back: the kernel is replaced, says why, and the next notebook works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import papermill
import psutil
import pytest
from jupyter_client.kernelspec import NoSuchKernel
from jupyter_core.utils import ensure_event_loop

from imagen_nb.batch.warm import kernels
from tests.fixtures.warm_notebooks import PID, notebook, process, run, value

LEFT = {
    "a thread of its own code": (
        "import threading, time\ndef work(sleep=time.sleep):\n    while True: sleep(0.01)\n"
        "threading.Thread(target=work, daemon=True, name='mine').start()",
        "the thread mine still runs",
    ),
    "a thread that keeps a process from ending": (
        "import threading, time\n"
        "threading.Thread(target=time.sleep, args=(1.5,), name='long').start()",
        "the thread long still runs",
    ),
    "a method of a library's class": (
        "import pathlib; pathlib.Path.leak = lambda self: 1",
        "something keeps <lambda>",
    ),
    "an object of its own class": (
        "import shlex\nclass Mine: pass\nshlex.shlex.mine = Mine()",
        "something keeps Mine",
    ),
    "a task that cannot be cancelled": (
        "import asyncio\nasync def stay():\n    while True:\n"
        "        try: await asyncio.sleep(9)\n        except asyncio.CancelledError: pass\n"
        "task = asyncio.create_task(stay(), name='stubborn')",
        "stubborn",
    ),
    "the number of torch's operations at the same time": (
        "import torch; torch.set_num_interop_threads(torch.get_num_interop_threads())",
        "set_num_interop_threads can be called once in a process",
    ),
    "how processes are started": (
        "import multiprocessing; multiprocessing.set_start_method('spawn')",
        "set_start_method can be called once in a process",
    ),
    "a standard stream that was moved": (
        "import os; copy = os.dup(1); os.dup2(2, 1)",
        "file descriptor 1 was",
    ),
    "a standard stream that was closed": ("import os; os.close(2)", "file descriptor 2 was"),
    "an open file": ("import os; os.open('/', os.O_RDONLY)", "is /"),
    "an open port": (
        "import socket; one = socket.socket(); one.bind(('127.0.0.1', 0)); one.detach()",
        "is socket:",
    ),
    "fewer processors": (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})",
        "Cpus_allowed",
    ),
    "a lower limit": (
        "import resource as r\n"
        "r.setrlimit(r.RLIMIT_NOFILE, (512, r.getrlimit(r.RLIMIT_NOFILE)[1]))",
        "RLIMIT_NOFILE was",
    ),
    "a lower priority": ("import os; os.nice(1)", "priority was 0, and is 1"),
    "a blocked signal": (
        "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})",
        "SigBlk was",
    ),
    "names of levels": (
        "import logging; logging.addLevelName(5, 'FINE')",
        "logging._levelToName is not what it was",
    ),
    "an attribute of an object of Python's": (
        "import logging; logging.root.leak = 1",
        "logging.root is not what it was",
    ),
    "a kind of archives": (
        "import shutil; shutil.register_archive_format('leak', print, [])",
        "shutil._ARCHIVE_FORMATS is not what it was",
    ),
    "a shell that does not answer": ("get_ipython().user_expressions = lambda *a: {}", "no answer"),
}


@pytest.fixture(scope="module", autouse=True)
def _kernel() -> Iterator[None]:
    yield
    kernels.close_kernel()


@pytest.mark.parametrize("what", LEFT)
def test_a_kernel_is_replaced_that_keeps(what: str, caplog: pytest.LogCaptureFixture) -> None:
    leak, why = LEFT[what]
    before = process()
    assert value(leak, "import os; os.getpid()") == str(before)
    assert process() != before
    (line,) = [one.message for one in caplog.records if "a new kernel" in one.message]
    assert why in line
    assert len(line) < 500


@pytest.mark.parametrize("start", ["", "setsid "])
def test_what_an_orphan_prints_is_in_no_other_notebook(
    start: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTEST_CURRENT_TEST")  # with it, kernels do not show what processes print
    kernels.close_kernel()
    run(f"import subprocess; subprocess.run(['sh', '-c', '({start}sleep 20; echo late) &'])")
    before = process()
    assert "(sleep) still runs" in caplog.text
    assert process() == before


def test_a_process_that_a_notebook_left_is_ended(caplog: pytest.LogCaptureFixture) -> None:
    child = int(value("import subprocess; subprocess.Popen(['sleep', '1000']).pid"))
    assert psutil.pid_exists(child)
    process()
    assert f"the process {child}" in caplog.text
    assert not _runs(child)


@pytest.mark.parametrize(
    ("cell", "error"),
    [
        ("import os; os._exit(1)", "the kernel died in this cell"),
        ("import os; os.kill(os.getpid(), 9)", "the kernel died in this cell"),
        ("import os, time; os.kill(os.getpid(), 2); time.sleep(9)", "KeyboardInterrupt"),
    ],
)
def test_a_kernel_that_died_or_was_interrupted_is_replaced(
    cell: str, error: str, tmp_path: Path
) -> None:
    before = process()
    with pytest.raises(papermill.PapermillExecutionError, match=error):
        run("'kept'", cell, "'never'", path=tmp_path / "failed.ipynb")
    assert process() != before
    assert_kept(tmp_path / "failed.ipynb", error)


@pytest.mark.parametrize(("limit", "seconds"), [("job_timeout", 0.5), ("execution_timeout", 1)])
def test_a_notebook_that_takes_too_long_is_stopped(
    limit: str, seconds: float, tmp_path: Path
) -> None:
    before, began = process(), time.monotonic()
    with pytest.raises(papermill.PapermillExecutionError, match=f"{seconds:g} s .{limit}"):
        run(
            "'kept'",
            "import time; time.sleep(60)",
            path=tmp_path / "failed.ipynb",
            **{limit: seconds},
        )
    assert time.monotonic() - began < 10
    assert process() != before
    assert_kept(tmp_path / "failed.ipynb", limit)


# That the cell has ended is told long after the reply.
LATE_STATUS = """
import time
session = get_ipython().kernel.session
def send(stream, kind, *arguments, really=session.send, wait=time.sleep, **more):
    if kind == "status":
        wait(3)
    return really(stream, kind, *arguments, **more)
session.send = send
"""


def test_other_limits_of_nbclient_keep_their_words(tmp_path: Path) -> None:
    with pytest.raises(papermill.PapermillExecutionError, match="Timeout waiting for IOPub"):
        run(LATE_STATUS, iopub_timeout=0, execution_timeout=60)
    with pytest.raises(papermill.PapermillExecutionError, match="after 1 seconds"):
        run("import time; time.sleep(60)", timeout_func=lambda cell: 1)


@pytest.mark.parametrize("cell", ["exit()", "quit", "get_ipython().ask_exit()"])
def test_exit_ends_the_notebook(cell: str, tmp_path: Path) -> None:
    before = process()
    with pytest.raises(papermill.PapermillExecutionError, match="exit\\(\\) in an earlier cell"):
        run("'kept'", cell, "'never'", path=tmp_path / "failed.ipynb")
    assert_kept(tmp_path / "failed.ipynb", "DeadKernelError")
    assert process() != before


def test_a_notebook_whose_last_cell_is_exit_has_passed() -> None:
    before = process()
    assert run("'kept'", "exit()") == ["'kept'"]
    assert process() != before
    assert run("exit(keep_kernel=True)", PID) == [str(process())]


def test_papermills_log_names_the_kernel(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        run("pass")
    assert "Executing notebook with kernel: python3" in caplog.messages


def test_the_time_of_a_notebook_is_that_of_all_its_cells() -> None:
    with pytest.raises(papermill.PapermillExecutionError, match="job_timeout"):
        run(*["import time; time.sleep(0.3)"] * 9, job_timeout=1)


def test_a_kernel_above_its_bound_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    weight = int(value("import numpy, psutil; psutil.Process().memory_info().rss"))
    bound = weight + 200 * 2**20
    before = process(memory=bound)
    run("big = bytearray(300 * 2**20)", memory=bound)  # gone with the namespace
    assert process(memory=bound) == before
    run("import numpy; numpy.big = bytearray(300 * 2**20)", memory=bound)
    assert process(memory=bound) != before
    assert "is the bound" in caplog.text


def test_a_kernel_without_imagen_nb_is_a_new_one_for_each(
    spec: None, caplog: pytest.LogCaptureFixture
) -> None:
    before = process()
    assert len({before, process(kernel="lean"), process(kernel="lean")}) == 3
    said = [one.message for one in caplog.records if "for every notebook" in one.message]
    assert len(said) == 1
    assert "no imagen_nb in it" in said[0]


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel whose environment has no imagen_nb."""
    start = (
        "import sys; sys.modules['imagen_nb'] = None\n"
        "from ipykernel.kernelapp import launch_new_instance as start; start()"
    )
    argv = [sys.executable, "-c", start, "-f", "{connection_file}"]
    folder = tmp_path / "kernels" / "lean"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(
        json.dumps({"argv": argv, "display_name": "lean", "language": "python"})
    )
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))


def test_several_threads_take_turns() -> None:
    found: list[int] = []

    def work() -> None:
        found.append(process())
        ensure_event_loop().close()  # what jupyter_core opens for each thread

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    assert len(set(found)) == 1
    assert process() == found[0]


def test_a_kernel_that_is_not_installed_leaves_no_folder_behind(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    with pytest.raises(NoSuchKernel):
        process(kernel="nothing-there")
    assert list(temporary.iterdir()) == []


def test_close_ends_the_kernel() -> None:
    kernel = process()
    kernels.close_kernel()
    assert not _runs(kernel)
    kernels.close_kernel()


_PARENT = """
import sys, os, signal
sys.path[:0] = {path!r}
from tests.fixtures.warm_notebooks import process
print(process(), flush=True)
{end}
"""


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), signal.SIGKILL)", "1 / 0", ""])
def test_the_kernel_ends_with_its_parent(end: str, temporary: Path) -> None:
    code = _PARENT.format(path=[str(Path(__file__).parents[2])], end=end)
    environment = {**os.environ, "TMPDIR": str(temporary)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    kernel, until = int(done.stdout), time.monotonic() + 5
    while _runs(kernel) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _runs(kernel)
    assert "SIGKILL" in end or not list(temporary.glob("imagen-*")), "its folder was left"


def test_it_is_an_engine_of_papermills_command(tmp_path: Path) -> None:
    nbformat.write(notebook("x = 2", "x + 1"), tmp_path / "in.ipynb")
    command = [Path(sys.executable).with_name("papermill"), "--engine", "imagen-warm"]
    where = {"cwd": tmp_path, "capture_output": True, "text": True, "check": False}
    done = subprocess.run([*command, "in.ipynb", "out.ipynb"], **where)
    assert done.returncode == 0, done.stderr
    written = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert written.cells[1].outputs[0].data["text/plain"] == "3"
    assert written.cells[1].execution_count == 2
    assert written.metadata.language_info.name == "python"


def assert_kept(path: Path, error: str) -> None:
    """The notebook is there, with what it did until it failed, and how that was."""
    written = nbformat.read(path, as_version=4)
    outputs = [output for cell in written.cells for output in cell.get("outputs", [])]
    assert outputs[0].data["text/plain"] == "'kept'"
    assert outputs[-1].output_type == "error"
    assert error in "".join([outputs[-1].ename, outputs[-1].evalue, *outputs[-1].traceback])
    assert "never" not in str(outputs)
    assert written.metadata.papermill.exception is True


def _runs(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
