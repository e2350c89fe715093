"""Each case in a process of its own: a crash, a leak or a hang ends that case only."""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gpu.cases import Case
from gpu.measure import Measurement, describe
from imagen_nb.backends.flux.failures import with_causes

Row = dict[str, Any]  # figures and texts of one case, by name


def run_in_child(
    case: Case, folder: Path, out: Path, seconds: float, again: Sequence[str]
) -> Row:
    """Fork, wait, kill what takes too long; give what is known of the case.

    This process must not have used CUDA. `folder`: of the model. `out`: where log.txt is appended
    to. `again`: the command that runs the case in a new process, to which the file for its figures
    is added: where it compiles (compilers have threads), or a fork cannot use CUDA.
    """
    file = out / "case.json"
    file.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        _be_child(case, folder, file, out / "log.txt", again)
    ended = _wait(child, seconds)
    row = _load_row(case, file)
    if not ended:
        row["error"] = f"stopped after {seconds:.0f} s"
    file.unlink(missing_ok=True)
    return row


def _be_child(
    case: Case, folder: Path, file: Path, log: Path, again: Sequence[str]
) -> None:
    code = 1
    try:
        os.setsid()
        with log.open("ab") as opened:
            os.dup2(opened.fileno(), 1)
            os.dup2(opened.fileno(), 2)
        print(f"\n===== {case.key}", flush=True)
        if case.compiles or _is_cuda_spoilt():
            os.execv(again[0], [*again, "--here", str(file)])
        measure_here(case, folder, file)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _wait(child: int, seconds: float) -> bool:
    """Whether it ended by itself in time."""
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        if os.waitpid(child, os.WNOHANG)[0]:
            return True
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def _load_row(case: Case, file: Path) -> Row:
    if file.exists():
        row: Row = json.loads(file.read_text())
        return row
    return failed_row(case, "the process ended without a word: see log.txt")


def failed_row(case: Case, error: str) -> Row:
    return {"model": case.model, "case": case.name, "error": error}


def _is_cuda_spoilt() -> bool:
    """Whether there is a card that this fork cannot use."""
    import torch

    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        print(f"fork: {error}", flush=True)
        return "fork" in str(error)
    return False


def measure_here(case: Case, folder: Path, file: Path) -> None:
    """Measure a case in this process; what is known is in the file at any moment."""
    row = failed_row(case, "did not end")

    def tell(**figures: Any) -> None:
        for name, value in figures.items():
            if value is not None:
                row[name] = round(value, 4) if isinstance(value, float) else value
        spare = file.with_suffix(".new")
        spare.write_text(json.dumps(row))
        spare.replace(file)

    tell()
    started = time.perf_counter()
    # Where it hangs, if it will be stopped.
    faulthandler.dump_traceback_later(max(5.0, case.limit_s - 5), file=sys.stderr)
    try:
        Measurement(case, folder, tell).run()
        del row["error"]
    except BaseException as error:
        row["error"] = " <- ".join(map(describe, with_causes(error)[:4]))
        traceback.print_exc()
    finally:
        faulthandler.cancel_dump_traceback_later()
    tell(wall_s=time.perf_counter() - started)
