"""`imagen tag`: one change of tags, or one line that says why it is none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from imagen_nb.cli import run
from imagen_nb.storage.output import load_record
from imagen_nb.storage.tags import TagChange
from imagen_nb.studio.studio import Studio
from tests.fixtures.pictures import render


@pytest.fixture
def pictures(folder: Path) -> list[Path]:
    """Two pictures with the tags sea and rating:2."""
    render(folder, 2)
    with Studio({"output": {"dir": str(folder)}}, background=False) as studio:
        frame = studio.history(source="local")
        studio.tag(frame, "sea", "rating:2")
        return [Path(path) for path in frame["local_path"]]


def tags(picture: Path) -> list[str]:
    return [*load_record(picture).tags]


CONFLICTS = {
    "the same tag": ["--add", "x", "--remove", "x"],
    "keeper": ["--keeper", "--remove", "keeper"],
    "reject": ["--reject", "--remove", "reject"],
    "the rating": ["--rating", "3", "--remove", "rating:3"],
    "no rating and one": ["--rating", "none", "--add", "rating:3"],
}


@pytest.mark.parametrize("options", CONFLICTS.values(), ids=CONFLICTS)
def test_what_is_both_added_and_removed_is_refused_as_the_library_does(
    options: list[str], pictures: list[Path], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["tag", str(pictures[0]), *options, "--output", str(folder)]) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.count("\n") == 1
    assert "cannot be both added and removed" in error
    assert tags(pictures[0]) == ["sea", "rating:2"]


def test_everything_asked_for_is_one_change_of_all_the_pictures(
    pictures: list[Path], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes: list[tuple[Sequence[str], TagChange]] = []
    retag = Studio.retag

    def noted(self: Studio, what: Any, wanted: TagChange) -> int:
        changes.append((what, wanted))
        return retag(self, what, wanted)

    monkeypatch.setattr(Studio, "retag", noted)
    options = ["--rating", "4", "--keeper", "--add", "storm", "--remove", "sea"]
    ids = [str(path) for path in pictures]
    assert run(["tag", *ids, *options, "--output", str(folder)]) == 0
    assert len(changes) == 1
    assert [tags(path) for path in pictures] == [["storm", "rating:4", "keeper"]] * 2


def test_a_rating_is_taken_away_and_other_tags_changed_at_once(
    pictures: list[Path], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--rating", "none", "--reject", "--output", str(folder)]
    assert run(["tag", str(pictures[0]), *options]) == 0
    assert tags(pictures[0]) == ["sea", "reject"]
    assert capsys.readouterr().out.endswith(" sea, reject\n")


@pytest.mark.parametrize("rating", ["²", "-1", "6", "", "x"])
def test_a_rating_that_is_none_is_one_line(
    rating: str, pictures: list[Path], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["tag", str(pictures[0]), f"--rating={rating}", "--output", str(folder)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert tags(pictures[0]) == ["sea", "rating:2"]
