"""bench/gpu_check.py, which is to run once on a borrowed card, runs to its end on a CPU."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from imagen_nb.backends.flux.memory.keys import validated_memory
from imagen_nb.backends.flux.memory.plan import MEMORY_PLANS

BENCH = Path(__file__).parents[1] / "bench"


def part(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """One module of the check."""
    monkeypatch.syspath_prepend(BENCH)
    return importlib.import_module(f"gpu.{name}")


def checked(python: Path, out: Path, *options: str, timeout: float) -> list[dict[str, Any]]:
    """What it finds out about each case, with tiny models, when this Python runs it."""
    command = [str(python), str(BENCH / "gpu_check.py"), "--tiny", "--out", str(out), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    table = (out / "table.md").read_text()
    assert table.count("\n| ") == 1 + len(rows)  # its head, and a line for each
    assert done.stdout.endswith(f"{table}\n")
    return rows


def test_cases_are_measured_and_one_that_fails_stops_no_other(
    tmp_path: Path, quick_python: Path
) -> None:
    scratch = tmp_path / "models"
    (scratch / "schnell").mkdir(parents=True)
    (scratch / "schnell" / "model_index.json").write_text("{}")
    names = "schnell:whole,klein:whole"
    options = ["--only", names, "--scratch", str(scratch)]
    rows = checked(quick_python, tmp_path, *options, timeout=500)
    broken, whole = rows
    assert (broken["model"], broken["error"][:13]) == ("schnell", "BackendError:")
    assert "error" not in whole
    assert whole["bad"] == 0
    for name in ("expected_gb", "first_s", "picture_s", "bare_s", "gap_ms", "cancel_s", "png_ms"):
        assert whole[name] > 0, name


@pytest.mark.soak
def test_every_case_runs_or_says_that_it_needs_a_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = checked(Path(sys.executable), tmp_path, "--seconds", "3600", timeout=3700)
    cases = part("cases", monkeypatch).CASES
    assert [(row["model"], row["case"]) for row in rows] == [(c.model, c.name) for c in cases]
    lacks = re.compile("(needs a|requires) (CUDA|second graphics card)")
    for row in rows:
        assert "error" not in row or lacks.search(row["error"]), row


def test_every_case_is_a_plan_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    cases, changes = part("cases", monkeypatch), part("changes", monkeypatch)
    assert len({case.key for case in cases.CASES}) == len(cases.CASES)
    for case in cases.CASES:
        assert case.plan in (*MEMORY_PLANS, "fast")
        assert validated_memory(dict(case.more)) == case.more
        assert changes.CHANGES.keys() >= set(case.changes)
    # All that the table of plans has are timed, as the package chooses among them.
    timed = {case.plan for case in cases.CASES}
    assert MEMORY_PLANS.keys() - timed == set()


def test_cases_are_chosen_by_model_name_or_both(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = part("cases", monkeypatch).chosen_cases
    assert {case.model for case in chosen("klein")} == {"klein"}
    assert [case.key for case in chosen("dev:whole,:oom-at-36GB")] == [
        "dev:whole",
        "schnell:oom-at-36GB",
    ]
    assert len(chosen("")) > 30


def test_the_table_has_the_ratios_that_are_aimed_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of memory: what torch took, while a plan counts what CUDA itself takes, too."""
    table = part("table", monkeypatch)
    figures = {"picture_s": 1.53, "bare_s": 1.5, "kept_on_thread_s": 1.54, "png_ms": 40.0}
    row = {"model": "dev", "case": "whole", "expected_gb": 36.8, "peak_gb": 33.0, **figures}
    ratios = table.with_ratios(row)
    assert ratios["ratio"] == pytest.approx(1.02)
    assert ratios["expected_share"] == pytest.approx(1.1)
    assert ratios["overlap"] == pytest.approx(0.75)  # of 40 ms, 10 were waited for
    lines = table.as_markdown([row], "a card").splitlines()
    assert lines[0] == "a card"
    head, cells = (line.strip("| ").split(" | ") for line in (lines[2], lines[4]))
    shown = dict(zip(head, cells, strict=False))
    assert shown["ours/bare"] == "1.02"
    assert shown["expected/peak"] == "1.10"


def test_a_case_that_hangs_is_stopped_and_what_it_found_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a process of its own: this one has threads, and shall not be forked."""
    code = f"""
import sys, time, pathlib
sys.path.insert(0, {str(BENCH)!r})
from gpu import cases, processes

class Hangs:
    def __init__(self, case, folder, tell):
        self.tell = tell
    def run(self):
        self.tell(first_s=1.25)
        time.sleep(600)

class Dies(Hangs):
    def run(self):
        self.tell(first_s=2.5)
        import os
        os._exit(3)

case, out = cases.CASES[0], pathlib.Path({str(tmp_path)!r})
for processes.Measurement in (Hangs, Dies):
    print(processes.run_in_child(case, out, out, 2.0, []))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    hung, died = done.stdout.splitlines()
    assert hung.replace("'", '"') == json.dumps(
        {"model": "schnell", "case": "whole", "error": "stopped after 2 s", "first_s": 1.25}
    )
    assert "'error': 'did not end', 'first_s': 2.5" in died
