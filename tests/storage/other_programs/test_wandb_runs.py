"""A run's files say what its pictures do not."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from imagen_nb.storage.other_programs.foreign_metadata import ForeignMetadata
from imagen_nb.storage.other_programs.reading import read_metadata
from tests.fixtures.other_programs import write_sample
from tests.fixtures.other_programs.sample import Sample
from tests.fixtures.other_programs.wandb import FILES, WANDB

INTEGRATION, TRAINING = WANDB[:2]


def read(sample: Sample, folder: Path) -> ForeignMetadata:
    path = write_sample(sample, folder)
    with Image.open(path) as image:
        return read_metadata(image, path)


def test_what_the_run_says_is_kept_with_the_picture(tmp_path: Path) -> None:
    raw = read(INTEGRATION, tmp_path).raw
    assert json.loads(raw["wandb:arguments"])["num_inference_steps"] == 30
    assert json.loads(raw["wandb:row"]) == {"prompt": "a red boat", "negative_prompt": "blurry"}
    assert read(TRAINING, tmp_path / "b").raw["wandb:caption"] == "1: a red boat, sks style"


def test_what_else_the_run_was_configured_with_is_not_kept(tmp_path: Path) -> None:
    """Scripts log all of their arguments, hub_token among them."""
    name = f"{FILES}/config.yaml"
    text = TRAINING.beside[name] + "hub_token:\n  value: hf_canary\napi_key: canary\n"
    found = read(replace(TRAINING, beside={**TRAINING.beside, name: text}), tmp_path)
    assert found.seed == 1337
    assert "canary" not in repr(found)


def test_a_byte_of_the_generators_state_is_no_seed(tmp_path: Path) -> None:
    """The integration for diffusers logs it by the name of one."""
    assert "seed: 42" in INTEGRATION.beside[f"{FILES}/config.yaml"]
    assert read(INTEGRATION, tmp_path).seed is None


def test_what_changes_beside_the_picture_is_read_again(tmp_path: Path) -> None:
    assert read(TRAINING, tmp_path).seed == 1337
    name = f"{FILES}/config.yaml"
    text = TRAINING.beside[name].replace("1337", "7")
    again = replace(TRAINING, beside={**TRAINING.beside, name: text})
    os.utime(write_sample(again, tmp_path).parents[2] / "config.yaml", (1, 1))
    assert read(again, tmp_path).seed == 7


def test_a_folder_of_that_name_without_a_run_is_no_run(tmp_path: Path) -> None:
    alone = replace(TRAINING, beside={})
    assert read(alone, tmp_path).program == "unknown"


@pytest.mark.parametrize(
    "text", ["", "[", "a: &a [*a]", "prompt: 5", "- 1", "prompt: {value: [1]}", "\ufeff", "\x00"]
)
@pytest.mark.parametrize("name", ["config.yaml", "wandb-summary.json", "media/table/a.table.json"])
def test_files_of_a_run_that_are_none_say_nothing(name: str, text: str, tmp_path: Path) -> None:
    beside = {f"{FILES}/wandb-metadata.json": "{}", f"{FILES}/{name}": text}
    found = read(replace(TRAINING, beside=beside), tmp_path)
    assert (found.program, found.prompt) == ("wandb", "")


def test_a_table_whose_rows_are_of_other_shapes_is_read_over(tmp_path: Path) -> None:
    for table in (
        '{"columns": ["Prompt"], "data": [1, null, [{"path": 5}], [[], {"path": "x"}]]}',
        '{"columns": 1, "data": []}',
        '{"columns": [[], {}], "data": [["a", {"path": "media/images/x.png"}]]}',
    ):
        beside = {
            f"{FILES}/wandb-metadata.json": "{}",
            f"{FILES}/media/table/a.table.json": table,
        }
        assert read(replace(TRAINING, beside=beside), tmp_path).program == "wandb"
