"""LoRAs are located by path, by folder and in Hugging Face's cache; headers tell of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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


def test_of_a_folder_with_two_one_must_be_named(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_lora(tmp_path / f"{name}.safetensors")
    with pytest.raises(UsageError, match=r"has 2 LoRAs \(a.safetensors, b.safetensors\): name one"):
        locate_lora(tmp_path)


def test_a_folder_without_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no LoRA"):
        locate_lora(tmp_path)


@pytest.mark.parametrize("name", ["me/ink", "me/ink/ink.safetensors"])
def test_an_id_means_what_is_in_the_cache(name: str, cache: Path) -> None:
    assert locate_lora(name) == cache


def test_an_id_that_is_not_in_the_cache_comes_with_the_command(cache: Path) -> None:
    with pytest.raises(BackendError, match="hf download me/other"):
        locate_lora("me/other")


@pytest.mark.parametrize("name", ["a.safetensors", "folder/a.safetensors", "./x/y", "x/y/z/w"])
def test_a_path_that_is_not_there_stays_a_path(
    name: str, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert locate_lora(name) == tmp_path / name


class TestRows:
    def row_of(self, file: Path) -> dict[str, Any]:
        (row,) = lora_rows(file.parent)
        return row

    def test_there_is_one_for_each_file_in_the_folder_and_below_it(self, tmp_path: Path) -> None:
        (tmp_path / "more").mkdir()
        names = ["a.safetensors", "b.safetensors", "more/c.safetensors"]
        for name in names:
            with_header(tmp_path / name)
        assert [row["file"] for row in lora_rows(tmp_path)] == names

    def test_a_trigger_phrase_is_told(self, tmp_path: Path) -> None:
        header = {"modelspec.trigger_phrase": "in INK style"}
        file = with_header(tmp_path / "a.safetensors", **header)
        assert self.row_of(file)["words"] == "in INK style"

    def test_without_a_phrase_it_is_the_most_frequent_tags(self, tmp_path: Path) -> None:
        tags = {"one": {"boat": 3, " ink ": 9}, "two": {"boat": 4, "sea": 1, "sky": 0}}
        file = with_header(tmp_path / "a.safetensors", ss_tag_frequency=json.dumps(tags))
        assert self.row_of(file)["words"] == "ink, boat, sea"

    def test_the_base_model_is_told(self, tmp_path: Path) -> None:
        file = with_header(tmp_path / "a.safetensors", ss_base_model_version="flux1")
        assert self.row_of(file)["base"] == "flux1"

    def test_tags_that_are_none_are_passed_over(self, tmp_path: Path) -> None:
        row = self.row_of(with_header(tmp_path / "a.safetensors", ss_tag_frequency="[1]"))
        assert (row["words"], row["error"]) == ("", "")

    def test_texts_that_are_no_mapping_are_passed_over(self, tmp_path: Path) -> None:
        header = json.dumps({"__metadata__": ["a list"]}).encode()
        file = tmp_path / "a.safetensors"
        file.write_bytes(len(header).to_bytes(8, "little") + header + bytes(100))
        row = self.row_of(file)
        assert (row["words"], row["error"]) == ("", "")

    def test_a_torn_file_has_an_error(self, tmp_path: Path) -> None:
        file = tmp_path / "torn.safetensors"
        file.write_bytes(b"\xff" * 100)
        assert self.row_of(file)["error"] == "no safetensors file"


class TestCommand:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return with_header(tmp_path / "a.safetensors", trigger_word="\x1b[31mred").parent

    def test_it_lists_them_with_nothing_that_a_terminal_obeys(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["models", "--loras", str(folder)]) == 0
        listing = capsys.readouterr().out
        assert "a.safetensors" in listing
        assert "\x1b" not in listing

    def test_data_have_the_words_as_they_are(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["models", "--loras", str(folder), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)[0]["words"] == "\x1b[31mred"

    def test_a_folder_that_is_not_there_is_one_line(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["models", "--loras", str(folder / "nowhere")]) == 2
        assert "there is no folder" in capsys.readouterr().err
