"""`imagen models`, `status`, `reindex`, `config`: what there is to draw with, what is kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from imagen_nb.cli import run

DRAW = ["generate", "a red boat", "--backend", "flux-tiny-local", "--steps", "1"]


def test_models_lists_each_backend_with_the_reason(capsys) -> None:
    assert run(["models", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["flux-tiny-local"]["available"]
    assert "hf download" in rows["flux-dev-local"]["reason"]


def test_models_is_a_table_alone_with_a_word_for_what_is_lacking(capsys) -> None:
    assert run(["models"]) == 0
    table, hint = capsys.readouterr()
    rows = {line.split()[0]: line.split()[1:] for line in table.splitlines()}
    assert rows["backend"] == ["here", "lacks", "size", "steps", "price"]
    assert rows["flux-tiny-local"] == ["yes", "128×128", "6", "$0"]
    assert rows["flux-dev-local"] == ["no", "weights", "1024×1024", "28", "$0"]
    assert rows["flux"] == ["no", "options"]
    assert rows["flux-dev-replicate"][:2] == ["no", "token"]
    assert hint == "imagen: `imagen models NAME` says how to get what one lacks\n"


def test_models_advises_on_the_one_that_is_asked_about(capsys) -> None:
    assert run(["models", "flux-dev-local"]) == 0
    table, advice = capsys.readouterr().out.split("\n\n")
    assert [line.split()[0] for line in table.splitlines()] == ["backend", "flux-dev-local"]
    assert advice.startswith("the weights of black-forest-labs/FLUX.1-dev are not on this machine")
    assert "hf download" in advice
    assert run(["models", "flux-tiny-local"]) == 0
    assert capsys.readouterr().out.endswith("\n\nflux-tiny-local can draw here\n")
    assert run(["models", "auto"]) == 0
    assert "weights of FLUX.1-schnell are not on this machine" in capsys.readouterr().out
    assert run(["models", "flux-dev-local", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["lacks"] == "weights"


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (["flux-def-local"], "did you mean flux-dev-local"),
        (["flux-dev-local", "--plan"], "--model says whose plan"),
        (["flux-dev-local", "--loras", "."], "goes with neither --plan nor --loras"),
    ],
)
def test_models_knows_no_other_names(said: list[str], error: str, capsys) -> None:
    assert run(["models", *said]) == 2
    assert error in capsys.readouterr().err


def test_models_says_what_is_configured_of_the_price(monkeypatch, capsys) -> None:
    monkeypatch.setenv("IMAGEN_COST_PRICES", "{flux-tiny-local: 0.125}")
    assert run(["models", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["flux-tiny-local"]["cost_usd"] == 0.125
    assert rows["flux-dev-local"]["cost_usd"] == 0
    assert rows["flux"]["cost_usd"] is None


def test_reindex_rebuilds_the_catalog(tmp_path: Path, capsys) -> None:
    assert run([*DRAW, "--output", str(tmp_path)]) == 0
    (tmp_path / ".imagen" / "catalog.sqlite3").unlink()
    assert run(["reindex", str(tmp_path)]) == 0
    assert "1 pictures: 1 entered" in capsys.readouterr().out


def test_status_names_the_last_picture_and_makes_no_catalog(tmp_path: Path, capsys) -> None:
    assert run(["status", "--json", "--output", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out)["pictures"] == {"total": 0}
    assert not list(tmp_path.iterdir())
    assert run([*DRAW, "--output", str(tmp_path)]) == 0
    picture = capsys.readouterr().out.splitlines()[0]
    assert run(["status", "--json", "--output", str(tmp_path)]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["pictures"]["total"], facts["latest"]) == (1, [picture])


def test_a_configuration_is_written_once_unless_forced(tmp_path: Path) -> None:
    file = str(tmp_path / "imagen.yaml")
    assert run(["config", "init", "--config", file]) == 0
    assert run(["config", "init", "--config", file]) == 2
    assert run(["config", "init", "--force", "--config", file]) == 0
    assert Path(file).stat().st_mode & 0o777 == 0o600


def test_a_configuration_that_was_written_is_good(tmp_path: Path, capsys) -> None:
    file = str(tmp_path / "imagen.yaml")
    assert run(["config", "init", "--config", file]) == 0
    capsys.readouterr()
    assert run(["config", "validate", "--config", file]) == 0
    assert capsys.readouterr().out == f"{file}: good\n"


def test_every_value_in_force_is_shown_with_its_source(tmp_path: Path, capsys) -> None:
    file = str(tmp_path / "imagen.yaml")
    assert run(["config", "init", "--config", file]) == 0
    capsys.readouterr()
    assert run(["config", "show", "--json", "--config", file]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {"key", "value", "source"} == {*rows[0]}
    assert "output.dir" in [row["key"] for row in rows]
