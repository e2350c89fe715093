"""LoRAs are found by path, by folder and in Hugging Face's cache, and say what they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from imagen_nb.backends.flux.lora_files import locate_lora, lora_rows
from imagen_nb.backends.flux.loras import validated_loras
from imagen_nb.cli import run
from imagen_nb.errors import BackendError, UsageError
from tests.fixtures.lora_files import write_lora


def with_header(path: Path, **header: str) -> Path:
    save_file({"weight": torch.zeros(4)}, path, metadata=header)
    return path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Hugging Face's cache with the model me/ink, which has one file."""
    hub = tmp_path / "hub"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(hub))
    model = hub / "models--me--ink"
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text("abc")
    return write_lora(model / "snapshots" / "abc" / "ink.safetensors")


def test_a_folder_means_the_only_file_in_it(tmp_path: Path) -> None:
    file = write_lora(tmp_path / "ink" / "a.safetensors")
    assert locate_lora(file.parent) == file
    assert validated_loras([(file.parent, 0.5)]) == ((file, 0.5),)
    write_lora(tmp_path / "ink" / "b.safetensors")
    with pytest.raises(UsageError, match=r"has 2 LoRAs \(a.safetensors, b.safetensors\): name one"):
        locate_lora(file.parent)
    with pytest.raises(UsageError, match="there is no LoRA"):
        locate_lora(tmp_path)


def test_an_id_means_what_is_in_the_cache(cache: Path) -> None:
    assert locate_lora("me/ink") == cache
    assert locate_lora("me/ink/ink.safetensors") == cache
    with pytest.raises(BackendError, match="hf download me/other"):
        locate_lora("me/other")


@pytest.mark.parametrize("name", ["a.safetensors", "folder/a.safetensors", "./x/y", "x/y/z/w"])
def test_a_path_that_is_not_there_stays_a_path(
    name: str, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert locate_lora(name) == tmp_path / name


def test_a_list_says_size_base_model_and_trigger_words(tmp_path: Path) -> None:
    with_header(tmp_path / "a.safetensors", **{"modelspec.trigger_phrase": "in INK style"})
    tags = {"one": {"boat": 3, " ink ": 9}, "two": {"boat": 4, "sea": 1, "sky": 0}}
    with_header(
        tmp_path / "b.safetensors", ss_tag_frequency=json.dumps(tags), ss_base_model_version="flux1"
    )
    (tmp_path / "more").mkdir()
    with_header(tmp_path / "more" / "c.safetensors", ss_tag_frequency="[1]")
    (tmp_path / "torn.safetensors").write_bytes(b"\xff" * 100)
    rows = {row["file"]: row for row in lora_rows(tmp_path)}
    assert [(row["words"], row["base"], row["error"]) for row in rows.values()] == [
        ("in INK style", "", ""),
        ("ink, boat, sea", "flux1", ""),
        ("", "", ""),
        ("", "", "no safetensors file"),
    ]
    assert [*rows] == ["a.safetensors", "b.safetensors", "more/c.safetensors", "torn.safetensors"]


def test_the_command_lists_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with_header(tmp_path / "a.safetensors", trigger_word="\x1b[31mred")
    assert run(["models", "--loras", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "a.safetensors" in shown
    assert "\x1b" not in shown
    assert run(["models", "--loras", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["words"] == "\x1b[31mred"
    assert run(["models", "--loras", str(tmp_path / "nowhere")]) == 2
    assert "there is no folder" in capsys.readouterr().err
