"""`imagen find` and `imagen embed`: as in Python, in the same words."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from imagen_nb.cli import app, run
from imagen_nb.studio.studio import Studio

PROMPTS = ["a yellow boat on the sea at sunset", "a white snowman in the snow", "a green cactus"]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    settings = {"backend": "flux-tiny-local", "output": {"dir": str(folder)}, "steps": 4}
    with Studio(settings, background=False) as studio:
        studio.sweep(PROMPTS, seeds=[1, 2], progress=False)
    return folder


@pytest.fixture
def asked(drawn: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def ask(*arguments: str) -> str:
        assert run([*arguments, "--embedder", "tiny", "--output", str(drawn)]) == 0
        return capsys.readouterr().out

    return ask


def test_the_options_are_the_arguments_of_python() -> None:
    from typer.main import get_command

    command = get_command(app).commands["find"]  # type: ignore[attr-defined]
    given = {parameter.name for parameter in command.params}
    how = {"format", "raw_csv", "preview", "no_preview", "output", "config", "as_json"}
    plural = {"tag": "tags", "any_tag": "any_tags", "id": "ids"}
    known = set(inspect.signature(Studio.find).parameters) - {"self"}
    assert {plural.get(name, name) for name in given - how} == known


def test_words_find_pictures_with_their_scores(asked: Callable[..., str]) -> None:
    rows = json.loads(asked("find", "a boat at sunset", "-n", "2", "--json"))
    assert [row["prompt"] for row in rows] == [PROMPTS[0]] * 2
    assert rows[0]["score"] >= rows[1]["score"] > 0
    table = asked("find", "a boat at sunset").splitlines()
    assert table[0].split()[:2] == ["id", "score"]
    assert len(table) == 1 + 6
    assert table[1].split()[1] == f"{rows[0]['score']:.2f}"


def test_what_else_python_takes(asked: Callable[..., str], drawn: Path) -> None:
    ids = asked("find", "snow", "--format", "ids", "--seed", "1").split()
    assert len(ids) == 3
    like = asked("find", "--like", ids[0], "-n", "1", "--format", "csv")
    assert PROMPTS[1] in like
    assert "score" in like.splitlines()[0]
    (picture, *_) = drawn.glob("*cactus*.png")
    (row,) = json.loads(asked("find", str(picture), "-n", "1", "--without", "snow", "--json"))
    assert row["prompt"] == PROMPTS[2]
    least = json.loads(asked("find", "--unlike", "a cactus", "--json"))
    assert least[-1]["prompt"] == PROMPTS[2]


def test_embed_says_how_many(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = {"backend": "flux-tiny-local", "output": {"dir": tmp_path}, "steps": 1}
    with Studio(settings, background=False) as studio:
        studio.sweep("a boat", seeds=[1, 2], progress=False)
    capsys.readouterr()
    command = ["embed", "--embedder", "tiny", "--output", str(tmp_path)]
    assert run([*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["embedded"] == 2
    assert run(command) == 0
    assert capsys.readouterr().out == f"0 pictures looked at by {told['model']}\n"


def test_mistakes_are_a_line_and_the_code_of_wrong_usage(
    drawn: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, told in {
        ("qwrtz",): "knows no word of 'qwrtz'",
        (): "say what to find",
        ("boat.png",): "there is no file boat.png",
        ("boat", "-n", "0"): "-n",
    }.items():
        assert run(["find", *arguments, "--embedder", "tiny", "--output", str(drawn)]) == 2
        assert told in capsys.readouterr().err
