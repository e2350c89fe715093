"""What a shell offers on Tab; what stands in prompts and tags is never evaluated by it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from imagen_nb.cli import run
from imagen_nb.storage.picture import Picture
from imagen_nb.studio.studio import Studio

Offered = Callable[..., str]
EVIL = "a red boat $(touch pwned) `id` \"'; rm"


@pytest.fixture
def pictures(tmp_path: Path) -> list[Picture]:
    settings = {"backend": "flux-tiny-local", "output": {"dir": str(tmp_path / "pictures")}}
    with Studio(settings, background=False) as studio:
        boat = studio.generate(EVIL, steps=1, tags=["sea", "a;b", "two words", "$(id)"])
        return [boat, studio.generate("a house", steps=1, tags=["snow"])]


@pytest.fixture
def offered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Offered:
    """What is offered for the last word of a line, in which FOLDER is that of the pictures."""

    def complete(line: str, shell: str = "bash") -> str:
        words = line.replace("FOLDER", str(tmp_path / "pictures"))
        monkeypatch.setenv("_IMAGEN_COMPLETE", f"complete_{shell}")
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(len(words.split(" ")) - 1))
        monkeypatch.setenv("_TYPER_COMPLETE_ARGS", words)
        capsys.readouterr()
        with pytest.raises(SystemExit):
            run([])
        return capsys.readouterr().out

    return complete


def test_names_are_completed(offered: Offered) -> None:
    assert offered("imagen rep").split() == ["report", "reproduce"]
    assert offered("imagen generate x --backend flux-tiny").split() == ["flux-tiny-local"]
    assert offered("imagen history --backend au").split() == ["auto"]
    assert offered("imagen generate x --scheduler unip").split() == ["unipc"]


def test_tags_of_the_folder_are_completed_if_a_shell_takes_them_as_they_are(
    offered: Offered, pictures: list[Picture]
) -> None:
    assert offered("imagen history --output FOLDER --tag ").split() == ["sea", "snow"]
    assert offered("imagen tag --output FOLDER x --add sn").split() == ["snow"]
    assert offered("imagen history --output FOLDER --any-tag x").split() == []


def test_ids_are_completed_the_newest_first(offered: Offered, pictures: list[Picture]) -> None:
    boat, house = (str(picture.record.id) for picture in pictures)
    assert offered("imagen tag --output FOLDER ").split() == [house, boat]
    assert offered(f"imagen history --output FOLDER --id {boat[:4]}").split() == [boat]
    assert offered("imagen reproduce ./pictures/x").split() == []  # a file


def test_a_shell_that_evaluates_what_is_offered_evaluates_no_prompt(
    offered: Offered, pictures: list[Picture]
) -> None:
    said = offered("imagen tag --output FOLDER ", "zsh")
    assert "a red boat" in said
    assert not set("$`;") & set(said)


def test_where_nothing_can_be_read_nothing_is_offered(offered: Offered, tmp_path: Path) -> None:
    assert offered("imagen history --output FOLDER --tag ").split() == []
    assert offered("imagen history --output FOLDER --id ").split() == []
    broken = tmp_path / "broken.yaml"
    broken.write_text("output: [")
    assert offered(f"imagen history --config {broken} --tag ").split() == []
    assert not (tmp_path / "pictures").exists()
