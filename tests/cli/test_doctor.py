"""`imagen doctor`: a table for people, JSON for programs, and an exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from imagen_nb.cli import run


def test_it_says_what_there_is_and_below_what_mends_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["doctor", "--output", str(tmp_path)]) == 0
    told, silent = capsys.readouterr()
    table, *remedies = told.split("\n\n")
    rows = {line.split()[0]: line.split()[1] for line in table.splitlines()}
    assert rows["check"] == "state"
    assert rows["drawing"] == rows["folder"] == "good"
    assert rows["supabase"] == "missing"
    assert any(line.startswith("supabase: `imagen supabase start") for line in remedies)
    assert silent == ""


def test_programs_get_json_and_an_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert run(["doctor", "--json", "--output", str(tmp_path / "file")]) == 1
    rows = {row.pop("name"): row for row in json.loads(capsys.readouterr().out)}
    assert rows["folder"].keys() == {"state", "what", "mend", "needed"}
    assert (rows["folder"]["state"], rows["folder"]["needed"]) == ("wrong", True)
    assert rows["python"]["state"] == "good"
