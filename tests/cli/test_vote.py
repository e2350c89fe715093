"""`imagen vote` and `imagen votes`."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from imagen_nb.cli import run
from imagen_nb.studio.studio import Studio
from tests.fixtures.pictures import render


@pytest.fixture
def ids(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("LOGNAME", "anna")
    render(folder, 2)
    with Studio({"output": {"dir": str(folder)}}, background=False) as studio:
        return [*studio.history()["id"]]


@pytest.fixture
def at(folder: Path) -> list[str]:
    return ["--output", str(folder)]


def told(capsys: pytest.CaptureFixture[str]) -> str:
    out, err = capsys.readouterr()
    assert err == ""
    return out


def test_a_vote_is_cast_listed_and_taken_back(
    ids: list[str], at: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["vote", ids[0][:8], ids[1], "left", "--question", "which?", *at]) == 0
    id = told(capsys).strip()
    assert run(["votes", *at]) == 0
    heading, line = told(capsys).splitlines()
    assert heading.split() == ["id", "voted", "question", "voter", "left", "right", "outcome"]
    assert [line.split()[0], *line.split()[3:]] == [
        *(id[:8], "which?", "anna", ids[0][:8], ids[1][:8], "left")
    ]
    assert run(["votes", "--json", *at]) == 0
    (row,) = json.loads(told(capsys))
    assert (row["id"], row["winner"], row["loser"], row["seconds"]) == (id, *ids, None)
    assert run(["vote", "--take-back", id[:8], "--json", *at]) == 0
    assert json.loads(told(capsys))["takes_back"] == id
    assert run(["votes", "--json", *at]) == 0
    assert json.loads(told(capsys)) == []


def test_what_is_written_as_csv_is_imported_elsewhere(
    ids: list[str],
    at: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for question, voter in (("=1+1", "me"), ("-", "")):
        assert run(["vote", *ids, "tie", "--question", question, "--voter", voter, *at]) == 0
    told(capsys)
    assert run(["votes", "--format", "csv", *at]) == 0
    text = told(capsys)
    assert "'=1+1" in text  # for spreadsheets
    file = tmp_path / "votes.csv"
    file.write_text(text)
    there = ["--output", str(tmp_path / "there")]
    assert run(["vote", "--import", str(file), *there]) == 0
    assert told(capsys) == "2 votes imported\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert run(["vote", "--import", "-", *there]) == 0
    assert told(capsys) == "0 votes imported, 2 were there\n"
    assert run(["votes", "--format", "csv", *there]) == 0
    assert told(capsys) == text
    assert run(["votes", "--question", "=1+1", "--voter", "me", "--json", *there]) == 0
    assert [row["question"] for row in json.loads(told(capsys))] == ["=1+1"]


def test_a_bad_line_is_named_and_nothing_is_imported(
    ids: list[str], at: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "votes.csv"
    file.write_text(f"left,right,outcome\n{ids[0]},{ids[1]},left\n{ids[0]},{ids[1]},up\n")
    assert run(["vote", "--import", str(file), *at]) == 2
    assert capsys.readouterr().err.startswith("imagen: line 3: outcome 'up': ")
    assert run(["votes", "--json", *at]) == 0
    assert json.loads(told(capsys)) == []


def test_a_table_shows_the_newest(
    ids: list[str], at: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Studio({"output": {"dir": str(folder)}}, background=False) as studio:
        votes = [studio.vote(*ids, "tie") for _ in range(3)]
    assert run(["votes", "-n", "2", *at]) == 0
    out, err = capsys.readouterr()
    shown = [line.split()[0] for line in out.splitlines()[1:]]
    assert shown == [str(vote.id)[:8] for vote in votes[:0:-1]]
    assert err == "imagen: the newest 2 of 3 are shown: -n shows more\n"


WRONG = {
    "nothing": [],
    "one picture": ["a"],
    "no outcome": ["a", "b"],
    "two things": ["a", "b", "left", "--take-back", "00000000"],
    "a file and a vote": ["--import", "x.csv", "--take-back", "00000000"],
    "a voter of a file": ["--import", "x.csv", "--voter", "me"],
}


@pytest.mark.parametrize("arguments", WRONG.values(), ids=WRONG)
def test_what_is_asked_for_must_be_one_thing(
    arguments: list[str], at: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["vote", *arguments, *at]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_an_outcome_is_checked_as_the_library_does(
    ids: list[str], at: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["vote", *ids, "lft", *at]) == 2
    assert capsys.readouterr().err.endswith("not 'lft'; did you mean left?\n")
