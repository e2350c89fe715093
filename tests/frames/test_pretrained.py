"""Embedders of Hugging Face: small random models of their layouts, made here."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imagen_nb.errors import BackendError
from imagen_nb.frames.plugins.embedders import make_embedder, unit_vectors
from imagen_nb.frames.plugins.pretrained import (
    clip_vit_base_patch32,
    pretrained_embedder,
    siglip2_base,
)
from tests.fixtures.dual_encoders import (
    DIMENSIONS,
    save_clip,
    save_siglip,
    save_siglip2,
)

LAYOUTS = {"clip": save_clip, "siglip": save_siglip, "siglip2": save_siglip2}
PICTURES = [
    Image.effect_noise((48, 31), 90).convert("RGB"),
    Image.new("RGB", (20, 64), "red"),
    Image.linear_gradient("L").convert("RGB"),
]
TEXTS = ["a red boat", "A Cat", "x" * 999, ""]


@pytest.fixture(scope="module", params=LAYOUTS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = LAYOUTS[request.param](tmp_path_factory.mktemp("models") / request.param)
    return made


def test_each_layout_gives_vectors_of_pictures_and_texts_of_any_size(folder: Path) -> None:
    embedder = make_embedder(str(folder))
    pictures, texts = embedder.embed_images(PICTURES), embedder.embed_texts(TEXTS)
    assert embedder.dimensions == DIMENSIONS
    for rows, count in ((pictures, len(PICTURES)), (texts, len(TEXTS))):
        assert rows.dtype == np.float32
        units = unit_vectors(rows, embedder, count)
        assert len({tuple(row) for row in units.round(3)}) == count
    assert embedder.embed_images([]).shape == embedder.embed_texts([]).shape == (0, DIMENSIONS)


def test_a_vector_does_not_depend_on_what_else_is_in_the_call(folder: Path) -> None:
    embedder = pretrained_embedder(str(folder))
    together = embedder.embed_images(PICTURES), embedder.embed_texts(TEXTS)
    alone = (
        np.concatenate([embedder.embed_images([each]) for each in PICTURES]),
        np.concatenate([embedder.embed_texts([each]) for each in TEXTS]),
    )
    for rows, single in zip(together, alone, strict=True):
        np.testing.assert_allclose(rows, single, atol=1e-5)


def test_capital_letters_make_no_difference(folder: Path) -> None:
    embedder = pretrained_embedder(str(folder))
    small, large = embedder.embed_texts(["a red boat", "A RED Boat"])
    np.testing.assert_array_equal(small, large)


class TestSpace:
    def test_it_is_named_by_folder_and_weights(self, tmp_path: Path) -> None:
        first = pretrained_embedder(str(save_clip(tmp_path / "mine", seed=1))).model
        moved = pretrained_embedder(
            str(shutil.copytree(tmp_path / "mine", tmp_path / "b" / "mine"))
        )
        other = pretrained_embedder(str(save_clip(tmp_path / "c" / "mine", seed=2))).model
        assert first.startswith("mine@")
        assert moved.model == first != other
        assert len(first) <= 100

    def test_of_the_cache_it_is_named_by_id_and_commit(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        commit = "0123456789abcdef" * 2 + "01234567"
        home = tmp_path / "models--someone--clip"
        (home / "refs").mkdir(parents=True)
        (home / "refs" / "main").write_text(commit)
        save_clip(home / "snapshots" / commit)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
        embedder = pretrained_embedder("someone/clip")
        assert embedder.model == "someone/clip@0123456789ab"
        assert embedder.embed_texts(["a boat"]).shape == (1, DIMENSIONS)


class TestMissing:
    @pytest.fixture(autouse=True)
    def empty_cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))

    @pytest.mark.parametrize(
        ("make", "said"),
        [
            (
                siglip2_base,
                "the weights of google/siglip2-base-patch16-224 are not on this machine (1.5 GB,"
                " licence Apache-2.0): run `hf download google/siglip2-base-patch16-224`",
            ),
            (
                clip_vit_base_patch32,
                "the weights of openai/clip-vit-base-patch32 are not on this machine (0.6 GB,"
                ' licence MIT): run `hf download openai/clip-vit-base-patch32 --exclude "*.h5"'
                ' --exclude "*.msgpack"`',
            ),
            (
                lambda: make_embedder("someone/else"),
                "the weights of someone/else are not on this machine (licence on its Hugging"
                " Face page): run `hf download someone/else`",
            ),
            (
                lambda: make_embedder("./nowhere/at/all"),
                "there is no folder ./nowhere/at/all: name a folder with a CLIP or SigLIP"
                " model, or a Hugging Face id",
            ),
        ],
    )
    def test_one_line_says_size_licence_and_command(
        self, make: Callable[[], object], said: str
    ) -> None:
        with pytest.raises(BackendError) as caught:
            make()
        assert str(caught.value) == said

    @pytest.mark.parametrize(
        ("lost", "said"),
        [
            ("config.json", "there is no config.json"),
            ("model.safetensors", "there are no weights"),
            ("tokenizer.json", "there is no tokenizer"),
            ("processor_config.json", "there is no preprocessor_config.json"),
        ],
    )
    def test_a_folder_without_a_part_is_refused(self, tmp_path: Path, lost: str, said: str) -> None:
        folder = save_clip(tmp_path / "clip")
        (folder / lost).unlink()
        with pytest.raises(BackendError, match=f"{said}.*save_pretrained of model and processor"):
            pretrained_embedder(str(folder))

    def test_another_kind_of_model_is_refused(self, tmp_path: Path) -> None:
        folder = save_clip(tmp_path / "clip")
        (folder / "config.json").write_text('{"model_type": "bert"}')
        with pytest.raises(BackendError, match="'bert': an embedder is one of clip, siglip"):
            pretrained_embedder(str(folder))

    def test_weights_that_are_damaged_or_too_few_are_not_made_up(self, tmp_path: Path) -> None:
        from safetensors.torch import load_file, save_file

        folder = save_clip(tmp_path / "clip")
        weights = folder / "model.safetensors"
        some = {name: each for name, each in load_file(weights).items() if "text" not in name}
        save_file(some, weights, metadata={"format": "pt"})
        with pytest.raises(BackendError, match=r"cannot load.*weights are missing.*fetch it again"):
            pretrained_embedder(str(folder)).embed_texts(["a boat"])
        weights.write_bytes(b"torn")
        with pytest.raises(BackendError, match="cannot load the embedder"):
            pretrained_embedder(str(folder)).embed_texts(["a boat"])
