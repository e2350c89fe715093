"""`__animal__` in a prompt stands for each line of animal.txt."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagen_nb.errors import UsageError
from imagen_nb.request.sweep import expanded_prompts
from imagen_nb.request.wildcards import Wildcards
from imagen_nb.studio.studio import Studio
from imagen_nb.widgets.panel import Panel


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "wildcards"
    folder.mkdir()
    (folder / "animal.txt").write_text(
        "\ufeffcat\n\n# no animal\n  {red|grey} fox \n", encoding="utf-8"
    )
    (folder / "time-of_day.txt").write_text("dawn\nnight", encoding="utf-8")
    (folder / "empty.txt").write_text("# nothing\n", encoding="utf-8")
    (folder / "latin.txt").write_bytes(b"caf\xe9")
    return folder


def test_each_line_is_an_alternative_and_may_have_its_own(folder: Path) -> None:
    found = expanded_prompts("a __animal__ at __time-of_day__", Wildcards(str(folder)))
    animals = ("cat", "red fox", "grey fox")
    assert found == [f"a {a} at {time}" for a in animals for time in ("dawn", "night")]


def test_without_a_folder_underscores_are_text() -> None:
    assert expanded_prompts("a __animal__") == ["a __animal__"]


@pytest.mark.parametrize("prompt", ["snake_case", "____", "__ a __", "_animal_"])
def test_other_underscores_are_text(prompt: str, folder: Path) -> None:
    assert expanded_prompts(prompt, Wildcards(str(folder))) == [prompt]


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        ("a __animl__", "no wildcard animl in .*did you mean animal"),
        ("a __x__", "no wildcard x in .*: there are animal, empty, latin, time-of_day"),
        ("a __empty__", "empty.txt has no lines"),
        ("a __latin__", "latin.txt cannot be read: it is no UTF-8"),
    ],
)
def test_what_cannot_be_filled_in_is_one_line(prompt: str, says: str, folder: Path) -> None:
    with pytest.raises(UsageError, match=says):
        expanded_prompts(prompt, Wildcards(str(folder)))


def test_a_folder_that_is_not_there_has_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no wildcard animal in"):
        expanded_prompts("an __animal__", Wildcards(str(tmp_path / "none")))


def test_a_sweep_and_the_panel_fill_them_in(folder: Path, tmp_path: Path) -> None:
    settings = {
        "backend": "flux-tiny-local",
        "output": {"dir": str(tmp_path / "pictures")},
        "wildcards_dir": str(folder),
    }
    with Studio(settings, background=False) as studio:
        pictures = studio.sweep("a __animal__", seeds=[1], steps=1, progress=False)
        panel = Panel(studio)
        panel.prompt = "a __animal__ at __time-of_day__"
        assert panel.describe_count() == (6, "6 prompts")
        panel.close()
    assert [picture.record.prompt for picture in pictures] == ["a cat", "a red fox", "a grey fox"]
