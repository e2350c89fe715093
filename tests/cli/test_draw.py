"""The command: real runs of the embedded FLUX, exit codes, and one line for every mistake."""

from __future__ import annotations

import inspect
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image

from imagen_nb.cli import app, draw, run
from imagen_nb.request.options import OPTION_NAMES
from imagen_nb.studio.studio import Studio

DRAW = ["generate", "a red boat", "--backend", "flux-tiny-local", "--steps", "1"]


def test_generate_prints_the_picture_and_its_sidecar(tmp_path: Path, capsys) -> None:
    assert run([*DRAW, "--seed", "7", "--output", str(tmp_path)]) == 0
    picture, sidecar = capsys.readouterr().out.splitlines()
    assert Path(picture).exists()
    assert sidecar == f"sidecar: {picture}.json"


def test_json_is_one_whole_record(tmp_path: Path, capsys) -> None:
    assert run([*DRAW, "--seed", "7", "--json", "--no-cloud", "--output", str(tmp_path)]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["seed"], record["steps"], record["cloud"]) == (7, 1, "off")
    assert Path(record["path"]).exists()


def test_count_draws_consecutive_seeds(tmp_path: Path, capsys) -> None:
    assert run([*DRAW, "--seed", "7", "--count", "3", "--json", "--output", str(tmp_path)]) == 0
    assert [row["seed"] for row in json.loads(capsys.readouterr().out)] == [7, 8, 9]


def test_the_prompt_may_come_from_standard_input(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("a {blue} house\n"))
    assert run(["generate", "-", *DRAW[2:], "--json", "--output", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out)["prompt"] == "a {blue} house"


def test_sweep_writes_the_pictures_and_a_contact_sheet(tmp_path: Path, capsys) -> None:
    arguments = ["sweep", "a {red|blue} star", "--seeds", "1..2", "--steps", "1,2"]
    assert run([*arguments, "--backend", "flux-tiny-local", "--output", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 * 8 + 1
    assert Path(lines[-1].removeprefix("contact sheet: ")).exists()


class TestPreviews:
    """Pictures are shown in the terminal unless `--no-preview`, or `--preview off`, says no."""

    @pytest.fixture
    def shown(self, monkeypatch: pytest.MonkeyPatch) -> list[Image.Image]:
        """The pictures that a terminal was given."""
        pictures: list[Image.Image] = []
        monkeypatch.setattr(draw, "print_picture", pictures.append)
        monkeypatch.setenv("IMAGEN_PREVIEW", "on")
        return pictures

    @pytest.mark.parametrize(
        ("said", "count"),
        [([], 1), (["--no-preview"], 0), (["--preview", "off", "--no-preview"], 0)],
        ids=["by default", "not", "doubly not"],
    )
    def test_of_what_each_command_drew(
        self, said: list[str], count: int, shown: list[Image.Image], tmp_path: Path, capsys
    ) -> None:
        place = ["--output", str(tmp_path), *said]
        assert run([*DRAW, *place]) == 0
        first = capsys.readouterr().out.splitlines()[0]
        assert len(shown) == count
        assert run(["sweep", *DRAW[1:], "--seeds", "1", *place]) == 0
        assert len(shown) == 2 * count
        assert run(["reproduce", first, *place]) == 0
        assert len(shown) == 3 * count


BAD = {
    "negative seed": (["generate", "x", "--seed", "-1"], 2, "seed"),
    "seed too large": (["generate", "x", "--seed", str(2**60)], 2, "seed"),
    "width no multiple": (["generate", "x", "--width", "130"], 2, "128 or 144"),
    "width of nothing": (["generate", "x", "--width", "0"], 2, "width"),
    "width too large": (["generate", "x", "--width", "1000000"], 2, "width"),
    "no steps": (["generate", "x", "--steps", "0"], 2, "steps"),
    "no number": (["generate", "x", "--steps", "many"], 2, "--steps"),
    "unknown backend": (["generate", "x", "--backend", "dall-e"], 2, "flux-tiny-local"),
    "empty prompt": (["generate", " "], 2, "prompt"),
    "no prompt": (["generate"], 2, "prompt"),
    "unknown option": (["generate", "x", "--widht", "8"], 2, "--widht"),
    "unknown command": (["generat"], 2, "generat"),
    "count of nothing": (["generate", "x", "--count", "0"], 2, "count"),
    "backwards range": (["sweep", "x", "--seeds", "8..1"], 2, "8..1"),
    "no sizes": (["sweep", "x", "--size", "big"], 2, "big"),
    "open brace": (["sweep", "a {red|blue boat"], 2, "{"),
    "bad preview": (["generate", "x", "--preview", "maybe"], 2, "auto"),
    "both previews": (["generate", "x", "--no-preview", "--preview", "on"], 2, "leave one out"),
    "home of nobody": (["generate", "x", "--output", "~nouser/x"], 2, "no such home folder"),
    "home of nobody to index": (["reindex", "~nouser/x"], 2, "no such home folder"),
    "config in nobody's home": (["status", "--config", "~nouser/x"], 2, "no such home folder"),
    "a JPEG": (["generate", "x", "--output", "x.jpg"], 2, "name it x.png"),
    "one file for a sweep": (["sweep", "x", "--seeds", "1,2", "--output", "x.png"], 2, "a folder"),
    "one file for three": (["generate", "x", "--count", "3", "--output", "x.png"], 2, "a folder"),
    "missing config": (["status", "--config", "/nowhere.yaml"], 2, "imagen config init"),
    "no text": (["generate", "a \udcff boat"], 2, "lone surrogate"),
    "guidance of nothing": (["generate", "x", "--guidance", "nan"], 2, "guidance"),
    "empty tag": (["generate", "x", "--tag", " "], 2, "tag"),
    "unwritable folder": (["generate", "x", "--output", "/dev/null/folder"], 1, "choose a folder"),
    "missing weights": (["generate", "x", "--backend", "flux-schnell-local"], 1, "hf download"),
    "no folder to reindex": (["reindex", "/nowhere/at/all"], 1, "/nowhere/at/all"),
}


@pytest.mark.parametrize(("arguments", "code", "says"), BAD.values(), ids=BAD.keys())
def test_a_mistake_is_one_clear_line_and_leaves_nothing(
    arguments: list[str], code: int, says: str, capsys, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setenv("IMAGEN_OUTPUT_DIR", str(tmp_path / "out"))
    if "--backend" not in arguments:
        monkeypatch.setenv("IMAGEN_BACKEND", "flux-tiny-local")
    assert run(arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert says in err.casefold()
    left = {path.name for path in (tmp_path / "out").rglob("*")}
    assert not left if code == 2 else left <= {".imagen"}


def test_broken_yaml_names_file_and_line(tmp_path: Path, capsys) -> None:
    (tmp_path / "imagen.yaml").write_text("backend: auto\nsteps: [1\n")
    assert run(["status", "--config", str(tmp_path / "imagen.yaml")]) == 2
    assert "imagen.yaml:3" in capsys.readouterr().err


def test_control_characters_never_reach_the_terminal(capsys) -> None:
    assert run(["generate", "x", "--backend", "\x1b[2Jbad"]) == 2
    assert "\x1b" not in capsys.readouterr().err


def test_the_version_is_said(capsys) -> None:
    from imagen_nb._version import __version__

    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"imagen_nb {__version__}\n"


def test_a_picture_begins_with_another_one(tmp_path: Path, capsys) -> None:
    place = ["--output", str(tmp_path), "--seed", "3", "--steps", "4", "--json"]
    assert run(["generate", "a red boat", *place]) == 0
    first = json.loads(capsys.readouterr().out)
    begun = ["--init-image", first["path"], "--strength", "0.5"]
    assert run(["generate", "a blue boat", *place, *begun, "--scheduler", "euler-karras"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert [one["sha256"] for one in record["inputs"]] == [first["sha256"]]
    assert (record["strength"], record["scheduler_name"]) == (0.5, "euler-karras")
    assert run(["generate", "a boat", *place, "--mask", first["path"]]) == 2
    assert "mask needs init_image" in capsys.readouterr().err


def test_too_much_strength_for_few_steps_is_told(tmp_path: Path, capsys) -> None:
    place = ["--output", str(tmp_path), "--seed", "3", "--steps", "4"]
    assert run(["generate", "a red boat", *place]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert run(["generate", "a blue boat", *place, "--init-image", first, "--strength", "0.7"]) == 0
    assert "nothing of the init image" not in capsys.readouterr().err
    assert run(["generate", "a blue boat", *place, "--init-image", first, "--strength", "0.8"]) == 0
    assert "nothing of the init image is left with 4 steps" in capsys.readouterr().err


def test_a_sweep_takes_lists_of_strengths_and_schedulers(tmp_path: Path, capsys) -> None:
    image = tmp_path / "grey.png"
    Image.new("RGB", (64, 64), "grey").save(image)
    lists = ["--strength", "0.4,0.7", "--scheduler", "euler,euler-karras", "--seeds", "1"]
    place = ["--init-image", str(image), "--output", str(tmp_path), "--steps", "4", "--json"]
    assert run(["sweep", "a boat", *lists, *place]) == 0
    records = json.loads(capsys.readouterr().out)
    assert [(one["strength"], one["scheduler_name"]) for one in records] == [
        (0.4, "euler"),
        (0.4, "euler-karras"),
        (0.7, "euler"),
        (0.7, "euler-karras"),
    ]


@pytest.mark.parametrize(("command", "method"), [("generate", "generate"), ("sweep", "sweep")])
def test_options_are_named_as_the_arguments_are(command: str, method: str) -> None:
    known = typer.main.get_command(app).commands[command]  # type: ignore[attr-defined]
    options = {parameter.name for parameter in known.params}
    arguments = set(inspect.signature(getattr(Studio, method)).parameters)
    own = {"tag", "lora", *OPTION_NAMES, "no_cloud", "cloud_sync", "config", "preview"}
    own |= {"no_preview", "as_json"}
    own |= {"count", "preset"} if command == "generate" else set()
    assert arguments - options - {"like"} == {
        "self",
        "tags",
        "cloud",
        "progress",
        "wait",  # a command has no handle to give: `imagen jobs` has them all
        "backend_options",
    }
    assert options - arguments == own


@pytest.fixture
def vanishing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process empties the catalog as soon as a call has drawn."""

    def emptied(draw: Any) -> Any:
        def drawing(*arguments: Any, **options: Any) -> Any:
            pictures = draw(*arguments, **options)
            with pictures[0].catalog.connection() as connection:
                connection.execute("DELETE FROM images")
            return pictures

        return drawing

    for method in ("repeat", "sweep"):
        monkeypatch.setattr(Studio, method, emptied(getattr(Studio, method)))


@pytest.mark.usefixtures("vanishing")
class TestWhatVanishedFromTheCatalog:
    """A picture that was drawn is reported, whatever has become of its entry."""

    def test_has_its_paths_printed(self, tmp_path: Path, capsys) -> None:
        assert run([*DRAW, "--output", str(tmp_path)]) == 0
        picture, sidecar = capsys.readouterr().out.splitlines()
        assert sidecar == f"sidecar: {picture}.json"
        assert Path(picture).exists()

    def test_is_a_whole_record_as_json(self, tmp_path: Path, capsys) -> None:
        assert run([*DRAW, "--seed", "7", "--json", "--output", str(tmp_path)]) == 0
        record = json.loads(capsys.readouterr().out)
        assert (record["seed"], record["prompt"]) == (7, "a red boat")
        assert Path(record["path"]).exists()
        assert record["cloud"].startswith("unknown: it is not in the catalog")

    def test_is_in_the_array_of_several(self, tmp_path: Path, capsys) -> None:
        several = ["--seed", "7", "--count", "2", "--json", "--output", str(tmp_path)]
        assert run([*DRAW, *several]) == 0
        assert [row["seed"] for row in json.loads(capsys.readouterr().out)] == [7, 8]

    def test_is_in_the_array_of_a_sweep(self, tmp_path: Path, capsys) -> None:
        options = ["--seeds", "1,2", "--steps", "1", "--backend", "flux-tiny-local", "--json"]
        assert run(["sweep", "a star", *options, "--output", str(tmp_path)]) == 0
        assert [row["seed"] for row in json.loads(capsys.readouterr().out)] == [1, 2]
