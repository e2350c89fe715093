"""From drawn pictures to a LoRA and back: exported, trained on, previewed, drawn with."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import typer

from imagen_nb.cli import app, run
from imagen_nb.errors import StorageError, UsageError
from imagen_nb.studio.lora_training import TRAINING_TAG
from imagen_nb.studio.studio import Studio

FEW = {"steps": 4, "rank": 2, "learning_rate": 0.02, "batch": 2}


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    folder = tmp_path_factory.mktemp("pictures")
    settings = {"backend": "flux-tiny-local", "output": {"dir": str(folder)}, "steps": 1}
    with Studio(settings, background=False) as made:
        yield made


@pytest.fixture(scope="module")
def boats(studio: Studio, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from imagen_nb.studio.default import using

    folder = tmp_path_factory.mktemp("sets") / "boats"
    drawn = studio.sweep(["a red boat", "a blue boat"], seeds=range(3), progress=False)
    with using(studio):
        drawn.frame().imagen.export(folder, format="imagefolder")
    return folder


def test_previews_are_pictures_of_the_history_and_the_lora_draws(
    studio: Studio, boats: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lora = studio.train_lora(
        boats, tmp_path / "boats.safetensors", preview_every=2, tags=["mine"], **FEW
    )
    assert "4 steps on 6 pictures in" in capsys.readouterr().err
    previews = studio.history(tags=[TRAINING_TAG, "boats", "mine"], source="local", sidecar=True)
    assert sorted(previews["prompt"]) == ["a blue boat"] * 2 + ["a red boat"] * 2
    files = {Path(row["loras"][0]["path"]).name for row in previews["sidecar"]}
    assert files == {"boats-000002.safetensors", "boats.safetensors"}
    assert studio.reproduce(previews["id"].iloc[0]).identical
    with_it = studio.generate("a red boat", seed=5, loras=lora, progress=False)
    without = studio.generate("a red boat", seed=5, progress=False)
    difference = np.asarray(with_it.image, int) - np.asarray(without.image, int)
    assert np.abs(difference).mean() > 0.1


def test_what_previews_show_can_be_said(studio: Studio, boats: Path, tmp_path: Path) -> None:
    prompts = ["a red cat"]
    studio.train_lora(
        boats, tmp_path / "cat.safetensors", preview_every=4, preview_prompts=prompts, **FEW
    )
    assert studio.history(tags="cat", source="local")["prompt"].tolist() == prompts


def test_nothing_is_overwritten_and_wrong_arguments_are_refused_first(
    studio: Studio, boats: Path, tmp_path: Path
) -> None:
    (tmp_path / "x.safetensors").write_text("mine")
    with pytest.raises(StorageError, match=r"x\.safetensors exists: choose another name"):
        studio.train_lora(boats, tmp_path / "x.safetensors")
    with pytest.raises(UsageError, match=r"ends in \.safetensors: not x\.pt"):
        studio.train_lora(boats, tmp_path / "x.pt")
    with pytest.raises(UsageError, match="steps must be"):
        studio.train_lora(boats, tmp_path / "y.safetensors", steps=0)
    with pytest.raises(UsageError, match="unknown argument rnk; did you mean rank"):
        studio.train_lora(boats, tmp_path / "y.safetensors", rnk=4)  # type: ignore[call-arg]
    refused = pytest.raises(UsageError, match="does not draw here: name the model")
    with Studio({"backend": "flux-dev-replicate"}, background=False) as hosted, refused:
        hosted.train_lora(boats, tmp_path / "y.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["x.safetensors"]


class TestCommand:
    def test_options_are_named_as_the_arguments_are(self) -> None:
        known = typer.main.get_command(app).commands["train-lora"]  # type: ignore[attr-defined]
        options = {parameter.name for parameter in known.params}
        arguments = set(inspect.signature(Studio.train_lora).parameters)
        assert options - arguments == {"tag", "preview_prompt", "config", "no_cloud", "as_json"}
        assert arguments - options == {"self", "tags", "preview_prompts", "cloud", "progress"}

    def test_it_trains_and_prints_the_file(
        self,
        boats: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.chdir(tmp_path)
        words = ["--model", "tiny", "--steps", "2", "--rank", "2", "--batch", "2"]
        assert run(["train-lora", str(boats), *words, "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == {"lora": str(tmp_path / "boats.safetensors")}
        assert (tmp_path / "boats.safetensors").is_file()
        assert run(["train-lora", str(boats), *words]) == 1
        assert "boats.safetensors exists" in capsys.readouterr().err
        assert run(["train-lora", str(tmp_path / "none"), *words]) == 2
