"""The command: real runs of the embedded FLUX, exit codes, and one line for every mistake."""

from __future__ import annotations

import inspect
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from imagen_nb.cli import app, run
from imagen_nb.studio import Studio

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
    assert says in err
    assert not list((tmp_path / "out").glob("*.png*"))


def test_broken_yaml_names_file_and_line(tmp_path: Path, capsys) -> None:
    (tmp_path / "imagen.yaml").write_text("backend: auto\nsteps: [1\n")
    assert run(["status", "--config", str(tmp_path / "imagen.yaml")]) == 2
    assert "imagen.yaml:3" in capsys.readouterr().err


def test_control_characters_never_reach_the_terminal(capsys) -> None:
    assert run(["generate", "x", "--backend", "\x1b[2Jbad"]) == 2
    assert "\x1b" not in capsys.readouterr().err


def test_models_lists_each_backend_with_the_reason(capsys) -> None:
    assert run(["models", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["flux-tiny-local"]["available"]
    assert "hf download" in rows["flux-dev-local"]["reason"]


def test_reindex_rebuilds_the_catalog(tmp_path: Path, capsys) -> None:
    assert run([*DRAW, "--output", str(tmp_path)]) == 0
    (tmp_path / ".imagen" / "catalog.sqlite3").unlink()
    assert run(["reindex", str(tmp_path)]) == 0
    assert "1 pictures: 1 entered" in capsys.readouterr().out


def test_config_init_validate_show(tmp_path: Path, capsys) -> None:
    file = str(tmp_path / "imagen.yaml")
    assert run(["config", "init", "--config", file]) == 0
    assert run(["config", "init", "--config", file]) == 2
    assert run(["config", "init", "--force", "--config", file]) == 0
    assert run(["config", "validate", "--config", file]) == 0
    assert run(["config", "show", "--json", "--config", file]) == 0
    assert Path(file).stat().st_mode & 0o777 == 0o600


def test_options_are_named_as_the_arguments_of_generate_are() -> None:
    command = typer.main.get_command(app).commands["generate"]  # type: ignore[attr-defined]
    options = {parameter.name for parameter in command.params}
    arguments = set(inspect.signature(Studio.generate).parameters) - {"self", "backend_options"}
    assert arguments - options == {"tags", "cloud", "progress"}  # --tag, --no-cloud, no callback
    assert {"tag", "no_cloud", "count", "config", "preview"} <= options


@pytest.mark.slow
def test_help_loads_neither_torch_nor_pandas() -> None:
    code = (
        "import sys, contextlib\nfrom imagen_nb.cli import run\nrun(['--help'])\n"
        "print([m for m in ('torch', 'diffusers', 'pandas', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
