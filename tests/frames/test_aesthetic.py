"""Heads on CLIP from files: the layouts that are read, and what is refused."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from imagen_nb.errors import BackendError, ImagenError, UsageError
from imagen_nb.frames.plugins import aesthetic as module
from imagen_nb.frames.plugins.aesthetic import Aesthetic, aesthetic
from imagen_nb.frames.plugins.embedders import make_embedder, unit_vectors
from imagen_nb.studio.studio import Studio
from tests.fixtures.dual_encoders import DIMENSIONS, save_clip

PICTURES = [Image.effect_noise((40, 31), 90).convert("RGB"), Image.new("RGB", (20, 64), "red")]


class LaionHead(nn.Module):
    """As the improved aesthetic predictor has it: no activations, dropout between."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Linear(DIMENSIONS, 12), nn.Dropout(0.2), nn.Linear(12, 8), nn.Dropout(0.2)),
            *(nn.Linear(8, 4), nn.Dropout(0.1), nn.Linear(4, 2), nn.Linear(2, 1)),
        )


@pytest.fixture(autouse=True)
def clip_of_the_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A small random CLIP stands for the one of heads with so many numbers."""
    folder = str(save_clip(tmp_path / "clip"))
    monkeypatch.setitem(module._CLIP_OF_DIMENSIONS, DIMENSIONS, folder)
    return folder


@pytest.fixture
def head() -> LaionHead:
    torch.manual_seed(3)
    return LaionHead().eval()


def expected(head: nn.Module, clip: str) -> list[float]:
    embedder = make_embedder(clip)
    vectors = unit_vectors(embedder.embed_images(PICTURES), embedder, len(PICTURES))
    with torch.inference_mode():
        found: list[float] = head(torch.from_numpy(vectors))[:, 0].tolist()
    return found


def scores(path: Path) -> list[float]:
    return aesthetic.of(str(path))(PICTURES, ["", ""])


def test_laions_head_is_read_as_torch_and_safetensors_save_it(
    head: LaionHead, clip_of_the_tests: str, tmp_path: Path
) -> None:
    torch.save(head.state_dict(), tmp_path / "head.pth")
    save_file(head.state_dict(), tmp_path / "head.safetensors")
    torch.save({"state_dict": head.state_dict(), "epoch": 3}, tmp_path / "head.ckpt")
    for name in ("head.pth", "head.safetensors", "head.ckpt"):
        found = scores(tmp_path / name)
        np.testing.assert_allclose(found, expected(head.layers, clip_of_the_tests), atol=1e-5)


def test_a_single_layer_is_read(clip_of_the_tests: str, tmp_path: Path) -> None:
    linear = nn.Linear(DIMENSIONS, 1)
    torch.save(linear.state_dict(), tmp_path / "linear.pth")
    np.testing.assert_allclose(
        scores(tmp_path / "linear.pth"), expected(linear, clip_of_the_tests), atol=1e-5
    )


def test_another_head_is_another_version(head: LaionHead, tmp_path: Path) -> None:
    path = tmp_path / "head.pth"
    torch.save(head.state_dict(), path)
    first = aesthetic.of(str(path)).version
    torch.save(LaionHead().state_dict(), path)
    second: Aesthetic = aesthetic.of(str(path))
    assert second.version != first
    assert second.version.endswith(first.split(" ")[1])


def test_the_configured_head_scores_a_frame(
    head: LaionHead,
    tmp_path: Path,
    made: Callable[..., pd.DataFrame],
    session: Callable[[Studio], Studio],
    folder: Path,
) -> None:
    frame = made("a boat", "a house")
    with pytest.raises(UsageError, match=r"set score\.aesthetic in imagen\.yaml"):
        frame.imagen.score("aesthetic")
    torch.save(head.state_dict(), tmp_path / "head.pth")
    chosen = {"output": {"dir": str(folder)}, "score": {"aesthetic": tmp_path / "head.pth"}}
    session(Studio(chosen))
    scored = frame.imagen.score("aesthetic")["aesthetic"]
    assert scored.notna().all()
    name = f"aesthetic:{tmp_path / 'head.pth'}"
    assert frame.imagen.score(name)[name].tolist() == scored.tolist()


class Opens:
    """What runs when a pickle is loaded without care."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self._path,)


def test_nothing_in_a_file_is_run(tmp_path: Path) -> None:
    trap = tmp_path / "ran"
    (tmp_path / "head.pth").write_bytes(pickle.dumps({"weight": Opens(trap)}))
    torch.save({"weight": Opens(trap)}, tmp_path / "zipped.pth")
    for name in ("head.pth", "zipped.pth"):
        with pytest.raises(BackendError, match=r"cannot read the head in .*\.pth"):
            scores(tmp_path / name)
    assert not trap.exists()


ODD = {
    "a word": ({"weight": torch.ones(1, DIMENSIONS), "name": "x"}, "'name' is no part"),
    "nothing": ({}, "there are no layers in it"),
    "a list": ([1, 2], "there are no layers in it"),
    "a kernel": ({"weight": torch.ones(1, DIMENSIONS, 1)}, "layer 0 is not linear"),
    "two numbers": ({"weight": torch.ones(2, DIMENSIONS)}, "does not end in one number"),
    "apart": (
        {"layers.0.weight": torch.ones(4, DIMENSIONS), "layers.1.weight": torch.ones(1, 5)},
        "layer 1 does not fit the one before it",
    ),
    "infinite": ({"weight": torch.full((1, DIMENSIONS), torch.inf)}, "infinite numbers"),
    "another size": ({"weight": torch.ones(1, 77)}, "takes vectors of 77 numbers"),
}


@pytest.mark.parametrize("case", ODD)
def test_what_is_no_head_is_one_line(case: str, tmp_path: Path) -> None:
    content, line = ODD[case]
    torch.save(content, tmp_path / "head.pth")
    with pytest.raises(UsageError, match=line) as error:
        scores(tmp_path / "head.pth")
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_or_torn_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no file .*head\.pth"):
        scores(tmp_path / "head.pth")
    (tmp_path / "head.safetensors").write_bytes(b"torn")
    with pytest.raises(ImagenError, match="cannot read the head"):
        scores(tmp_path / "head.safetensors")


def test_without_its_clip_the_line_that_fetches_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    torch.save(nn.Linear(768, 1).state_dict(), tmp_path / "head.pth")
    with pytest.raises(BackendError, match="hf download openai/clip-vit-large-patch14"):
        scores(tmp_path / "head.pth")
