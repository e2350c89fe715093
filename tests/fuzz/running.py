"""Runs one reader on many damaged bytes in a process of its own, and measures its memory.

    python -m tests.fuzz.running READER SECONDS [SEED]

The last line that it prints is JSON: how many examples, and by how many MB the process grew.
A failure is raised as it is, after the seed of its round: the same seed fails again.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from pathlib import Path

from hypothesis import HealthCheck, given, seed, settings

from tests.fuzz.guard import forget_peak, nothing_touched_outside, only_our_errors, peak_mb
from tests.fuzz.readers import READERS, Reader

ROUND = 300  # examples with one seed


def read_guarded(reader: Reader, data: bytes) -> None:
    """Let a reader read this, in a folder of its own within another one."""
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent, "folder")
        folder.mkdir()
        Path(parent, "forbidden").write_bytes(b"x")
        with nothing_touched_outside(folder), only_our_errors():
            reader.read(data, folder)


def run_round(reader: Reader, number: int, examples: int) -> int:
    """Read so many examples; return how many there were. The seed `number` decides them."""
    count = 0

    @seed(number)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        suppress_health_check=[*HealthCheck],
    )
    @given(reader.strategy)
    def read(data: bytes) -> None:
        nonlocal count
        count += 1
        read_guarded(reader, data)

    read()
    return count


def run_for(reader: Reader, seconds: float, first: int) -> dict[str, float]:
    """Run rounds until the time is over; return what it took."""
    for whole in reader.seeds:
        read_guarded(reader, whole)  # imports what it needs
    forget_peak()
    before, until, count = peak_mb(), time.monotonic() + seconds, 0
    number = first
    while time.monotonic() < until:
        print(f"seed {number}", flush=True)
        count += run_round(reader, number, ROUND)
        number += 1
    return {"examples": count, "grown_mb": round(peak_mb() - before, 1)}


if __name__ == "__main__":
    name, seconds, *rest = sys.argv[1:]
    first = int(rest[0]) if rest else random.SystemRandom().randrange(2**32)
    print(json.dumps(run_for(READERS[name], float(seconds), first)))
