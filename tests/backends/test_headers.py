"""Headers of safetensors files that are crafted: one line each, wherever such a file is named."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

import imagen_nb as im
from imagen_nb.backends.flux.headers import count_numbers, load_safetensors_header
from imagen_nb.backends.flux.lora_files import lora_rows
from imagen_nb.backends.flux.memory.machine import weights_gb_in_16_bits
from imagen_nb.backends.tiny import FLUX_TINY
from imagen_nb.cli import run


def with_header(header: bytes, length: int | None = None, data: bytes = bytes(256)) -> bytes:
    return (len(header) if length is None else length).to_bytes(8, "little") + header + data


def tensor(**values: object) -> bytes:
    name = "transformer.transformer_blocks.0.attn.to_q.lora_A.weight"
    usual = {"dtype": "F32", "shape": [2, 4], "data_offsets": [0, 32]}
    return with_header(json.dumps({name: usual | values}).encode())


DEEP = b"[" * 100_000 + b"]" * 100_000
CRAFTED = {
    "nothing": b"",
    "half of a length": b"\x01\x00",
    "no header": bytes(8),
    "a header longer than the file": with_header(b"{}", 1000),
    "a header longer than any": with_header(b"{}", 2**64 - 1),
    "deep JSON": with_header(DEEP),
    "a deep mapping": with_header(b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "deep texts": with_header(b'{"__metadata__": {"base_model": ' + DEEP + b"}}"),
    "a list": with_header(b"[]"),
    "a number": with_header(b"3"),
    "no JSON": with_header(b"\xff\xfe{"),
    "a number of 10000 digits": with_header(b'{"a": ' + b"9" * 10_000 + b"}"),
    "tensors that are none": with_header(b'{"a": 3, "b": null, "c": "d"}'),
    "no shape": with_header(b'{"a": {"dtype": "F32", "data_offsets": [0, 4]}}'),
    "a shape of texts": tensor(shape=[10**9, "x"]),
    "a shape of lists": tensor(shape=[[2], [4]]),
    "a shape beyond numbers": tensor(shape=[10**300, 10**300]),
    "a shape beyond the file": tensor(shape=[10**9, 10**9]),
    "a negative shape": tensor(shape=[-2, 4]),
    "an unknown dtype": tensor(dtype="F3"),
    "a dtype that is none": tensor(dtype=[1]),
    "offsets outside the file": tensor(data_offsets=[0, 2**40]),
    "offsets that overlap backwards": tensor(data_offsets=[32, 0]),
    "offsets beyond numbers": tensor(data_offsets=[0, 2**70]),
    "offsets that are texts": tensor(data_offsets=["0", "32"]),
    "texts that are none": with_header(b'{"__metadata__": {"base_model": {"a": [1]}}}'),
    "tags beyond numbers": with_header(
        json.dumps({"__metadata__": {"ss_tag_frequency": '{"a": {"b": 1e400}}'}}).encode()
    ),
    "deep tags": with_header(
        json.dumps({"__metadata__": {"ss_tag_frequency": '{"a":' * 50_000}}).encode()
    ),
}
crafted = pytest.mark.parametrize("kind", CRAFTED)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where pictures go."""
    return tmp_path / "pictures"


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def written(kind: str) -> Path:
        file = tmp_path / "loras" / "x.safetensors"
        file.parent.mkdir()
        file.write_bytes(CRAFTED[kind])
        return file

    return written


@crafted
def test_a_header_is_a_mapping_or_a_value_error(kind: str, write: Callable[[str], Path]) -> None:
    file = write(kind)
    for read in (load_safetensors_header, count_numbers):
        with suppress(ValueError):
            read(file)


@crafted
def test_a_list_of_loras_has_a_row_for_it(
    kind: str, write: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(kind).parent
    (row,) = lora_rows(folder)
    assert set(row) == {"file", "megabytes", "base", "words", "error"}
    assert run(["models", "--loras", str(folder)]) == 0
    assert capsys.readouterr().err == ""


@crafted
def test_drawing_with_it_is_one_line(
    kind: str, write: Callable[[str], Path], folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = ["generate", "a boat", "--backend", "flux-tiny-local", "--steps", "1", "--output"]
    assert run([*command, str(folder), "--lora", str(write(kind))]) == 1
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert "the LoRA" in said


@crafted
def test_so_is_a_model_with_it(
    kind: str, write: Callable[[str], Path], folder: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    shutil.copytree(FLUX_TINY.source, model, copy_function=os.symlink)
    (weights,) = (model / "transformer").glob("*.safetensors")
    os.replace(write(kind), weights)
    assert weights_gb_in_16_bits(model / "transformer") >= 0
    backend = {"type": "flux", "model": str(model)}
    with (
        im.Studio({"backend": backend, "output": {"dir": str(folder)}}) as studio,
        pytest.raises(im.BackendError) as raised,
    ):
        studio.generate("a boat", steps=1, progress=False)
    assert "\n" not in str(raised.value)


@pytest.mark.posix
def test_a_device_named_like_a_lora_is_no_file_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.safetensors")
    (row,) = lora_rows(tmp_path)
    assert row["error"] == "no safetensors file"


@pytest.mark.parametrize("name", ["model_index.json", "vae/config.json", "transformer/config.json"])
def test_a_configuration_nested_too_deeply_is_one_line(name: str, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(FLUX_TINY.source, model)
    (model / name).write_bytes(b'{"a":' * 100_000)
    with pytest.raises(im.BackendError, match="nested too deeply") as raised:
        im.Studio({"backend": {"type": "flux", "model": str(model)}}).generate("a boat")
    assert "\n" not in str(raised.value)
