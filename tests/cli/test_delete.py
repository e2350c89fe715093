"""`imagen delete` and `imagen restore`: asked on a terminal, told to in a pipe."""

from __future__ import annotations

import io
import json
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from imagen_nb.cli import run
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.removals import load_removals
from imagen_nb.storage.trash import move_to_trash
from tests.fixtures.pictures import render

NAMES = [f"2026-05-11-a-boat-{seed}.png" for seed in range(7)]


class Terminal(io.StringIO):
    """Somebody who answers."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def pictures(folder: Path) -> list[str]:
    """The ids of seven pictures."""
    render(folder, 7)
    with closing(Catalog(folder)) as catalog:
        return [str(entry.record.id) for entry in catalog.select("ORDER BY path")]


def count(folder: Path) -> int:
    with closing(Catalog(folder)) as catalog:
        return catalog.counts()["total"]


def test_deleted_listed_and_restored(
    pictures: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = ["--output", str(folder)]
    assert run(["delete", pictures[0][:8], str(folder / NAMES[1]), "--yes", *here]) == 0
    out, error = capsys.readouterr()
    assert out == "2 pictures deleted\n"
    assert error.endswith("`imagen restore` brings them back, for 30 days\n")
    assert count(folder) == 5
    assert run(["restore", *here]) == 0
    out, _ = capsys.readouterr()
    assert all(text in out for text in (*pictures[:2], *NAMES[:2]))
    assert run(["restore", "--json", *here]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert {(one["id"], one["name"]) for one in facts} == {
        (id, name) for id, name in zip(pictures[:2], NAMES, strict=False)
    }
    assert run(["restore", str(folder / NAMES[0]), pictures[1][:8], *here]) == 0
    assert capsys.readouterr().out == "2 pictures restored\n"
    assert count(folder) == 7
    assert run(["delete", pictures[2], "-y", "--json", *here]) == 0
    assert json.loads(capsys.readouterr().out) == {"deleted": 1, "ids": [pictures[2]]}
    assert run(["delete", pictures[2], "-y", *here]) == 0
    assert capsys.readouterr().out == "0 pictures deleted\n"


@pytest.mark.parametrize(("answer", "code", "left"), [("y\n", 0, 1), ("n\n", 1, 7), ("", 1, 7)])
def test_on_a_terminal_it_asks(
    answer: str,
    code: int,
    left: int,
    pictures: list[str],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    assert run(["delete", *pictures[:6], "--output", str(folder)]) == code
    out, error = capsys.readouterr()
    assert f"Delete {', '.join(NAMES[:5])}, and 1 more? [y/N]" in error
    assert out == ("6 pictures deleted\n" if code == 0 else "")
    assert count(folder) == left


@pytest.mark.parametrize("what", [["-"], []])
def test_in_a_pipe_it_does_not_ask_and_wants_to_be_told(
    what: list[str],
    pictures: list[str],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    named, here = what or pictures[:2], ["--output", str(folder)]
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(pictures[:2])))
    assert run(["delete", *named, *here]) == 2
    out, error = capsys.readouterr()
    assert (out, error.count("\n")) == ("", 1)
    assert "say so with --yes" in error
    assert count(folder) == 7
    assert run(["delete", *named, "--yes", *here]) == 0
    assert count(folder) == 5
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(pictures[:2])))
    assert run(["restore", *named, *here]) == 0
    assert count(folder) == 7


def test_what_is_not_there_is_one_line(
    pictures: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = ["--output", str(folder)]
    assert run(["delete", "ffffffff", pictures[0], "--yes", *here]) == 2
    assert run(["restore", "ffffffff", *here]) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.count("\n") == 2
    assert count(folder) == 7


def test_what_waits_to_leave_the_cloud_is_told(
    pictures: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = ["--output", str(folder)]
    with closing(Catalog(folder)) as catalog:
        entry: Any = catalog.get(pictures[0])
        catalog.amend(entry, owner_user_id=entry.record.id)
        move_to_trash(catalog, pictures[:1])
        with catalog.connection() as connection:
            connection.execute("UPDATE removals SET error = 'no right to remove it'")
        assert len(load_removals(catalog)) == 1
    assert run(["status", "--json", *here]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["removals waiting"], facts["last errors"]) == (1, ["no right to remove it"])
    assert run(["status", *here]) == 0
    assert "of 1 picture" in capsys.readouterr().out
    assert run(["sync", "--dry-run", "--json", *here]) == 0
    (row,) = (row for row in json.loads(capsys.readouterr().out) if row["id"] == pictures[0])
    assert (row["state"], row["error"]) == ("to be removed", "no right to remove it")
