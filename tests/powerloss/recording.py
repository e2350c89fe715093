"""Runs the scenario under strace and reads what it did."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.powerloss.states import Recording, make_recording
from tests.powerloss.trace import TRACED_CALLS, operations

_REPOSITORY = Path(__file__).parents[2]
_MAX_STRING_BYTES = 4 << 20  # of a write


def require_strace() -> None:
    """Skip the test, and say why, where processes cannot be recorded."""
    if not shutil.which("strace"):
        pytest.skip("no strace: `apt-get install strace`")
    tried = subprocess.run(["strace", "-f", "true"], capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"strace may not trace here: {tried.stderr.strip()[-200:]}")


def record(
    folder: Path,
    acts: Sequence[str],
    mutation: str = "none",
    scenario: str = "tests.powerloss.scenario",
) -> Recording:
    """Return what the scenario does, and promises, in a folder of its own."""
    require_strace()
    root, marks, trace = folder / "disk", folder / "marks", folder / "trace"
    root.mkdir(parents=True)
    tracer = ["strace", "-f", "--seccomp-bpf", "-y", "-xx", "-s", str(_MAX_STRING_BYTES)]
    tracer += ["-e", f"trace={TRACED_CALLS}", "-o", str(trace)]
    script = [sys.executable, "-m", scenario, str(root), str(marks)]
    result = subprocess.run(
        [*tracer, *script, mutation, *acts],
        cwd=_REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(_REPOSITORY), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr[-4000:]
    with open(trace, encoding="ascii") as lines:
        return make_recording(operations(lines, str(root), str(marks)))
