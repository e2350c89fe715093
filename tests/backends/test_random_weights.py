"""Models with random weights: as large as the true ones, and drawn with by the same code."""

from __future__ import annotations

import json
import threading
from collections import namedtuple
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from imagen_nb.backends.flux.backend import FluxBackend, custom
from imagen_nb.backends.flux.headers import count_numbers
from imagen_nb.backends.flux.memory.machine import this_machine
from imagen_nb.backends.flux.memory.plan import Machine
from imagen_nb.backends.flux.models import LOCAL_MODELS, short_name
from imagen_nb.backends.flux.random_weights import layout, weights
from imagen_nb.backends.flux.random_weights.architectures import ARCHITECTURES
from imagen_nb.backends.flux.random_weights.layout import temporary_model, write_random_model
from imagen_nb.backends.flux.weights import explain_incomplete
from imagen_nb.cli import run
from imagen_nb.errors import BackendError, UsageError
from imagen_nb.request.request import resolve

H100 = Machine(gpu_gb=80, ram_gb=128, capability=9.0)
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes every disk one with so many GB free."""

    def with_free(gb: float) -> None:
        usage = Usage(0, 0, int(gb * 1e9))
        monkeypatch.setattr("shutil.disk_usage", lambda path: usage)

    return with_free


def drawn(backend: FluxBackend) -> np.ndarray[Any, Any]:
    request = resolve(
        "a red boat", defaults=backend.defaults, limits=backend.limits, seed=1, steps=1
    )
    (picture,) = backend.draw([request], None, threading.Event())
    return np.asarray(picture.image)


class TestWhatIsWritten:
    @pytest.mark.parametrize("row", LOCAL_MODELS, ids=short_name)
    def test_every_known_model_has_its_true_size(self, row: Any) -> None:
        architecture = ARCHITECTURES[short_name(row)]
        assert architecture.pipeline == row.pipeline
        sizes = layout._sizes_of_architecture(architecture)
        assert sizes["transformer"] == pytest.approx(row.sizes.transformer, rel=0.01)
        assert sizes[row.kind.large] == pytest.approx(row.sizes.t5, rel=0.01)
        assert sum(sizes.values()) == pytest.approx(row.memory_gb, rel=0.01)

    @pytest.mark.parametrize("name", ["tiny", "tiny-dev", "tiny-klein"])
    def test_it_draws_a_texture(self, tmp_path: Path, name: str) -> None:
        """Neither grey nor black, whose times could be others; and the same each time."""
        write_random_model(name, tmp_path / name)
        assert explain_incomplete(tmp_path / name) == ""
        pixels = drawn(custom(str(tmp_path / name)))
        assert pixels.shape == (128, 128, 3)
        assert pixels.std() > 1
        write_random_model(name, tmp_path / "again")
        assert (drawn(custom(str(tmp_path / "again"))) == pixels).all()

    def test_weights_of_two_models_are_on_disk_once(self, tmp_path: Path) -> None:
        """dev has schnell's weights, by links, and its guidance's in a file of its own."""
        whole, both = tmp_path / "whole", tmp_path / "both"
        write_random_model("tiny-dev", whole)
        write_random_model("tiny", tmp_path / "tiny")
        write_random_model("tiny-dev", both, shared=tmp_path / "tiny")
        own = [path for path in both.rglob("*.safetensors") if not path.is_symlink()]
        assert [path.parent.name for path in own] == ["transformer"]
        guidance = count_numbers(whole / "transformer" / "diffusion_pytorch_model.safetensors")
        shared = count_numbers(tmp_path / "tiny/transformer/diffusion_pytorch_model.safetensors")
        assert count_numbers(own[0]) == guidance - shared
        assert (drawn(custom(str(both))) == drawn(custom(str(whole)))).all()

    def test_large_weights_are_in_several_files(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_random_model("tiny", tmp_path / "one")
        monkeypatch.setattr(weights, "_MAX_SHARD_BYTES", 100_000)
        write_random_model("tiny", tmp_path / "many")
        files = [*(tmp_path / "many" / "transformer").glob("*.safetensors")]
        assert len(files) > 2
        index = tmp_path / "many/transformer/diffusion_pytorch_model.safetensors.index.json"
        named = set(json.loads(index.read_text())["weight_map"].values())
        assert named == {file.name for file in files}
        assert (drawn(custom(str(tmp_path / "many"))) == drawn(custom(str(tmp_path / "one")))).all()


class TestRoom:
    def test_a_disk_without_room_is_one_line(self, temporary: Path, disk: Any) -> None:
        disk(33)
        with pytest.raises(BackendError) as caught, temporary_model("schnell", H100):
            pass
        assert str(caught.value) == (
            f"schnell with random weights takes 33.7 GB of disk, and {temporary} has 33.0 GB free:"
            " set TMPDIR to a folder with more"
        )
        assert [*temporary.iterdir()] == []

    def test_a_machine_without_room_is_one_line(self, temporary: Path, disk: Any) -> None:
        disk(1000)
        small = replace(H100, gpu_gb=2, ram_gb=8)
        with pytest.raises(BackendError) as caught, temporary_model("dev", small):
            pass
        said = str(caught.value)
        assert said.startswith("dev is too large for a card with 2.0 GB for use")
        assert "\n" not in said
        assert [*temporary.iterdir()] == []

    @pytest.mark.parametrize(("in_ram", "fits"), [(False, True), (True, False)])
    def test_files_in_a_ramdisk_take_ram(
        self, tmp_path: Path, disk: Any, monkeypatch: pytest.MonkeyPatch, in_ram: bool, fits: bool
    ) -> None:
        disk(1000)
        monkeypatch.setattr(layout, "_is_ramdisk", lambda folder: in_ram)
        sizes = layout._sizes_of_architecture(ARCHITECTURES["schnell"])
        machine = replace(H100, ram_gb=40)
        if fits:
            layout.require_room("schnell", sizes, tmp_path, machine)
        else:
            with pytest.raises(BackendError, match="too large"):
                layout.require_room("schnell", sizes, tmp_path, machine)

    @pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="there is no /dev/shm")
    def test_a_ramdisk_is_known(self) -> None:
        assert layout._is_ramdisk(Path("/dev/shm"))

    def test_an_unknown_model_names_the_known_ones(self) -> None:
        with pytest.raises(UsageError, match=r"of schnell, dev, .*klein, tiny, not of 'sd3'"):
            temporary_model("sd3", this_machine()).__enter__()

    def test_the_files_are_gone_after_an_error(self, temporary: Path) -> None:
        def stopped() -> None:
            with temporary_model("tiny", this_machine()) as row:
                assert list(temporary.iterdir()) == [Path(row.source).parent]
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            stopped()
        assert [*temporary.iterdir()] == []


class TestCommand:
    def test_the_tiny_model_is_timed_anywhere(
        self, temporary: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["bench-gpu", "--random-weights", "tiny", "--steps", "1"]) == 0
        printed = capsys.readouterr()
        assert printed.out.startswith("tiny with random weights on ")
        assert "| whole | " in printed.out
        assert printed.err.startswith("imagen: writing 0.0 GB of random weights to ")
        assert [*temporary.iterdir()] == []

    @pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
    def test_a_large_one_needs_a_card(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["bench-gpu", "--random-weights", "schnell"]) == 1
        assert capsys.readouterr().err.startswith("imagen: no CUDA graphics card here to time")
