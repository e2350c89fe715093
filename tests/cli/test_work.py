"""`imagen work` as a process: signals, sudden death, and what it prints."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from imagen_nb.cli import run
from tests.fixtures.job_queues import Box, TestQueue, empty_queue, entries_of
from tests.fixtures.kill_points import killing
from tests.fixtures.server_state import ServerState
from tests.fixtures.supabase_fixtures import TwoUsers

# A line on stdout once so many pictures have been begun, and as many seconds of waiting there.
_BEGINS = """
import sys, threading
from imagen_nb.studio.remote.steps import JobSteps
step, calls = JobSteps.__call__, []
def begin(self, now):
    calls.append(now)
    if len(calls) == 2:
        print("begun", flush=True)
        sys.stdin.readline()
    step(self, now)
JobSteps.__call__ = begin
"""
MAIN = "from imagen_nb.cli import main; main()"


@pytest.fixture
def jobs(local_supabase: TwoUsers, server: ServerState) -> Iterator[TestQueue]:
    with empty_queue(local_supabase, server) as queue:
        yield queue


@pytest.fixture
def box(local_supabase: TwoUsers, folder: Path) -> Box:
    return Box(local_supabase, folder)


@pytest.fixture
def second(local_supabase: TwoUsers, tmp_path: Path) -> Box:
    return Box(local_supabase, tmp_path / "second")


def config_of(box: Box, path: Path) -> Path:
    path.write_text(yaml.safe_dump(box.settings()))
    return path


@contextmanager
def working(python: Path, config: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A worker that has begun a picture and goes on when it is sent a line."""
    command = [python, "-c", _BEGINS + MAIN, "work", "--config", config, *arguments]
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command, text=True, **pipes) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "begun\n"
            yield process
        finally:
            process.kill()


def boats(count: int) -> list[dict[str, Any]]:
    return [{"prompt": "a red boat", "seed": seed} for seed in range(count)]


def test_what_waits_is_drawn_and_told_as_json(
    jobs: TestQueue, box: Box, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (good,) = jobs.add({"prompt": "a \x1b[31mred boat", "seed": 1})
    (bad,) = jobs.add({"prompt": "a boat", "steps": 0})
    config = config_of(box, tmp_path / "imagen.yaml")
    code = run(["work", "--once", "--json", "--name", "attic", "--config", str(config)])
    out, err = capsys.readouterr()
    told = {line["job"]: line for line in map(json.loads, out.splitlines())}
    assert code == 1
    assert set(told) == {str(good), str(bad)}
    assert (told[str(good)]["state"], told[str(good)]["seed"]) == ("done", 1)
    assert Path(told[str(good)]["path"]).is_file()
    assert told[str(bad)]["state"] == "failed"
    assert "steps must be" in told[str(bad)]["reason"]
    assert "attic draws with flux-tiny-local" in err
    assert "1 drawn, 1 failed" in err
    assert "\x1b" not in err
    assert run(["work", "--once", "--config", str(config)]) == 0


def test_the_first_signal_ends_it_after_the_picture_and_gives_the_rest_back(
    jobs: TestQueue, box: Box, tmp_path: Path, quick_python: Path
) -> None:
    ids = jobs.add(*boats(5))
    with working(quick_python, config_of(box, tmp_path / "imagen.yaml")) as process:
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate("go on\n", timeout=120)
    assert process.returncode == 0, err
    (done,) = [id for id in ids if jobs.job(id).state == "done"]
    others = [jobs.job(id) for id in ids if id != done]
    assert [(job.state, job.attempts) for job in others] == [("waiting", 0)] * 4
    (seen,) = [one for one in jobs.queue.workers() if one.id == jobs.job(done).worker_id]
    assert seen.stopped
    assert [entry.record.id for entry in entries_of(box.folder)] == [done]


def test_the_second_signal_ends_it_at_the_next_step(
    jobs: TestQueue, box: Box, tmp_path: Path, quick_python: Path
) -> None:
    ids = jobs.add(*boats(3))
    with working(quick_python, config_of(box, tmp_path / "imagen.yaml")) as process:
        process.send_signal(signal.SIGINT)
        assert process.stderr
        while "Ctrl-C again" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGINT)
        process.communicate("go on\n", timeout=120)
    assert process.returncode == 130
    assert jobs.states(ids) == ["waiting"] * 3
    assert entries_of(box.folder) == []


def test_what_a_killed_worker_was_drawing_another_one_draws(
    jobs: TestQueue, box: Box, second: Box, tmp_path: Path, quick_python: Path
) -> None:
    box.more = second.more = {"work": {"lease_seconds": 1}}
    ids = jobs.add(*boats(3))
    with working(quick_python, config_of(box, tmp_path / "imagen.yaml")) as process:
        process.send_signal(signal.SIGKILL)
        process.wait(60)
    with second.worker() as worker:
        worker.run(max_idle=5)  # the lease is over before that
    assert jobs.states(ids) == ["done"] * 3
    box.work()
    jobs.require_one_picture_each(ids, box.folder, second.folder)
    assert not [path for path in box.folder.rglob("*") if path.suffix in (".png", ".tmp")]


@pytest.mark.parametrize("point", ["after-png", "after-sidecar", "after-catalog"])
def test_a_worker_killed_while_it_keeps_a_picture_leaves_none_behind(
    point: str, jobs: TestQueue, box: Box, second: Box, tmp_path: Path, quick_python: Path
) -> None:
    ids = jobs.add(*boats(1))
    config = config_of(box, tmp_path / "imagen.yaml")
    command = [quick_python, "-c", killing(point) + MAIN, "work", "--config", config]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    jobs.expire()
    second.work()
    box.work()
    jobs.require_one_picture_each(ids, box.folder, second.folder)


@pytest.mark.parametrize("point", ["after-upload", "before-row", "after-row", "after-ack"])
def test_a_worker_killed_while_it_sends_is_one_picture_in_the_end(
    point: str, jobs: TestQueue, box: Box, second: Box, tmp_path: Path, quick_python: Path
) -> None:
    ids = jobs.add(*boats(1))
    config = config_of(box, tmp_path / "imagen.yaml")
    command = [quick_python, "-c", killing(point) + MAIN, "work", "--config", config]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    jobs.expire()
    second.work()
    box.work()
    jobs.require_one_picture_each(ids, box.folder, second.folder)


def test_a_wrong_option_is_one_line(
    box: Box, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = str(config_of(box, tmp_path / "imagen.yaml"))
    assert run(["work", "--once", "--backends", "no-such", "--config", config]) == 2
    assert run(["work", "--once", "--max-idle", "-1", "--config", config]) == 2
    assert run(["work", "--once", "--backends", "flux-dev-local", "--config", config]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("imagen: ") for line in lines)


@pytest.mark.parametrize("wrong", ["password", "url"])
def test_a_queue_that_refuses_it_or_does_not_answer_is_one_line(
    wrong: str, box: Box, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    part = {**box.settings()["supabase"], wrong: "http://127.0.0.1:9"}
    box.more = {"supabase": part}
    config = str(config_of(box, tmp_path / "imagen.yaml"))
    once = ["--once"] if wrong == "url" else []
    assert run(["work", *once, "--config", config]) == 1
    *_, line = capsys.readouterr().err.splitlines()
    expected = "check supabase.email and .password" if not once else "Connection refused"
    assert expected in line
