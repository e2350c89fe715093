"""Whatever is killed, cut or restarted: a job is one picture, and everybody has their own."""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

import pytest

from tests.chaos.checks import require_one_picture_for_each_job
from tests.chaos.world import Mischief, World, world

pytestmark = [pytest.mark.slow, pytest.mark.posix]
ROOT = Path(__file__).parents[2]


def settle(world: World) -> None:
    """Start the workers once more, after they were killed for the last time."""
    for worker in world.workers:
        if worker.is_up:
            worker.kill()
    for worker in world.workers:
        worker.dies_at = ""
        worker.start("--once")
        assert worker.ends(120) == 0, worker.log.read_text()[-3000:]


def happen(room: Path, python: Path, jobs: int, acts: int, seed: int, seconds: float) -> None:
    """Let so much go wrong while so many jobs are drawn; then everything is where it belongs."""
    began = time.monotonic()
    print(f"chaos with seed {seed}")
    dice = random.Random(seed)
    with world(room, python, jobs, dice) as chaos:
        try:
            Mischief(chaos, dice, acts).run(seconds)
            settle(chaos)
            require_one_picture_for_each_job(chaos)
        finally:
            (again,) = chaos.ask(
                "SELECT count(*), max(attempts) FROM imagen.jobs WHERE attempts > 1"
            )
            told = f"begun more than once: {again[0]}, at most {again[1]} times"
            print(f"{chaos.story()}, {told}, {time.monotonic() - began:.0f} s", file=sys.stderr)
        assert chaos.counts["workers killed"] > jobs // 50
        assert chaos.counts["laptops killed"]
        assert chaos.counts["networks cut"]


@pytest.fixture
def path_to_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machines' programs are in here."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.mark.usefixtures("path_to_tests")
def test_a_hundred_and_fifty_jobs_are_a_hundred_and_fifty_pictures(
    tmp_path: Path, quick_python: Path
) -> None:
    happen(tmp_path, quick_python, 150, 30, 22, 150)


@pytest.mark.soak
@pytest.mark.usefixtures("path_to_tests")
def test_a_thousand_jobs_are_a_thousand_pictures(tmp_path: Path, quick_python: Path) -> None:
    """With a seed that nobody has tried before."""
    happen(tmp_path, quick_python, 1000, 150, random.SystemRandom().randrange(2**32), 1800)
