"""Whatever the bytes of others are: one line of ours, little memory, no file outside touched.

The short form reads the same examples each time. The long one, for IMAGEN_FUZZ_SECONDS (60) a
reader, prints the seed of each round: `python -m tests.fuzz.running READER 0.1 SEED` repeats one.
What atheris finds is a file of the test's folder, named in what the test prints.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.fuzz.crafted import CRAFTED, crafted_bytes
from tests.fuzz.guard import MAX_GROWTH_MB, forget_peak, peak_mb
from tests.fuzz.readers import READERS
from tests.fuzz.running import read_guarded, run_round

SECONDS = float(os.environ.get("IMAGEN_FUZZ_SECONDS", "60"))
ROOT = Path(__file__).parents[2]
CASES = [(reader, name) for reader, names in CRAFTED.items() for name in names]


@pytest.fixture(autouse=True)
def _folder_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # where a relative path of somebody's would lead


@pytest.mark.parametrize("reader", READERS)
def test_damaged_bytes_are_read_or_refused_in_one_line(reader: str) -> None:
    run_round(READERS[reader], 17, READERS[reader].examples)


@pytest.mark.parametrize(("reader", "name"), CASES, ids=map(": ".join, CASES))
def test_crafted_bytes_take_little_memory_and_are_read_or_refused(reader: str, name: str) -> None:
    data = crafted_bytes(reader, name)
    forget_peak()
    before = peak_mb()
    read_guarded(READERS[reader], data)
    assert peak_mb() - before <= MAX_GROWTH_MB


@pytest.mark.parametrize("reader", READERS)
def test_valid_bytes_are_read(reader: str) -> None:
    for data in READERS[reader].seeds:
        read_guarded(READERS[reader], data)


def run_alone(home: Path, *arguments: str) -> str:
    """Return what a module prints in a process of its own, where a warning is an error."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", *arguments],
        cwd=ROOT,
        env={**os.environ, "HOME": str(home)},
        capture_output=True,
        text=True,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-2_000:] + done.stderr[-8_000:]
    return done.stdout + done.stderr


@pytest.mark.soak
@pytest.mark.parametrize("reader", READERS)
def test_a_reader_withstands_damaged_bytes_for_long(reader: str, tmp_path: Path) -> None:
    first = random.SystemRandom().randrange(2**32)
    said = run_alone(tmp_path, "tests.fuzz.running", reader, str(SECONDS), str(first))
    result = json.loads(said.splitlines()[-1])
    assert result["examples"] > 0
    assert result["grown_mb"] <= MAX_GROWTH_MB


@pytest.mark.soak
@pytest.mark.skipif(not find_spec("atheris"), reason="atheris has no wheel for this machine")
@pytest.mark.parametrize("reader", READERS)
def test_a_reader_withstands_bytes_that_coverage_chose(reader: str, tmp_path: Path) -> None:
    found = tmp_path / "found"
    options = (f"-max_total_time={SECONDS:.0f}", f"-artifact_prefix={found}-")
    corpus = str(tmp_path / "corpus")
    said = run_alone(tmp_path, "tests.fuzz.atheris_harness", reader, corpus, *options)
    assert re.search(r"Done [1-9]\d* runs", said), said[-2_000:]
