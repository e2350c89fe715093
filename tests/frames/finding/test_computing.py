"""Vectors that pictures lack: computed once, in batches that are kept, whatever comes between."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from imagen_nb.errors import StorageError
from imagen_nb.frames.finding.computing import (
    embed_missing,
    missing_pictures,
    store_of,
    vectors_of_frame,
)
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.vectors import VectorStore

Frames = Callable[..., pd.DataFrame]


class Shades:
    """The shade of the first pixel, as a direction; counts what it looks at."""

    model, dimensions = "shades-1", 8

    def __init__(self) -> None:
        self.batches: list[int] = []

    def embed_images(self, images: Sequence[Image.Image]) -> Any:
        self.batches.append(len(images))
        shades = [image.getpixel((0, 0))[0] for image in images]  # type: ignore[index]
        rows = np.zeros((len(images), self.dimensions), np.float32)
        rows[:, 0], rows[:, 1] = np.cos(shades), np.sin(shades)
        return rows

    def embed_texts(self, texts: Sequence[str]) -> Any:
        raise NotImplementedError


@pytest.fixture
def embedder() -> Shades:
    return Shades()


def test_what_is_missing_is_computed_and_nothing_else(
    made: Frames, folder: Path, embedder: Shades
) -> None:
    frame, catalog = made(*["a boat"] * 3, first=1), Catalog(folder)
    assert embed_missing(catalog, embedder) == 3
    made("a house", first=9)
    assert embed_missing(catalog, embedder) == 1
    assert embed_missing(catalog, embedder) == 0
    assert embedder.batches == [3, 1]
    kept = store_of(catalog, embedder).vectors(frame["id"].tolist())
    expected = [[np.cos(seed), np.sin(seed)] for seed in frame["seed"].astype(float)]
    np.testing.assert_allclose(kept[:, :2], expected, atol=0.01)


def test_an_interruption_keeps_what_is_done(made: Frames, folder: Path, embedder: Shades) -> None:
    made(*["a boat"] * 5, first=1)
    catalog = Catalog(folder)

    class Interrupted(Shades):
        def embed_images(self, images: Sequence[Image.Image]) -> Any:
            if self.batches:
                raise KeyboardInterrupt
            return super().embed_images(images)

    with pytest.raises(KeyboardInterrupt):
        embed_missing(catalog, Interrupted(), batch=2)
    assert embed_missing(catalog, embedder, batch=2) == 3


def test_it_ends_between_batches_when_told(made: Frames, folder: Path, embedder: Shades) -> None:
    made(*["a boat"] * 5, first=1)
    answers = iter([True, True, False])
    count = embed_missing(Catalog(folder), embedder, batch=2, goes_on=lambda: next(answers))
    assert count == 4


def test_what_cannot_be_read_is_counted_and_not_tried_again(
    made: Frames, folder: Path, embedder: Shades, capsys: pytest.CaptureFixture[str]
) -> None:
    frame, catalog = made("a boat", "a boat", "a boat", first=1), Catalog(folder)
    Path(frame["local_path"][0]).write_bytes(b"torn")
    assert embed_missing(catalog, embedder) == 2
    assert "1 of 3 pictures cannot be looked at" in capsys.readouterr().err
    assert embed_missing(catalog, embedder) == 0
    assert missing_pictures(catalog, store_of(catalog, embedder)) == []
    assert capsys.readouterr().err == ""


def test_the_vectors_of_a_frame_come_from_the_stores_and_go_there(
    made: Frames, folder: Path, tmp_path: Path, embedder: Shades
) -> None:
    frame, catalog = made("a boat", "a boat", "a house", first=1), Catalog(folder)
    elsewhere = Catalog(tmp_path / "elsewhere")
    Path(frame["local_path"][1]).unlink()
    stranger = frame.iloc[[2]].assign(id="3f1c9a52-0d4e-4b7a-9c11-5e8f2a6b7c0d")
    asked = pd.concat([frame, stranger], ignore_index=True)
    vectors = vectors_of_frame(asked, embedder, [elsewhere, catalog], None)
    assert vectors.shape == (4, 8)
    assert np.isnan(vectors).all(axis=1).tolist() == [False, True, False, False]
    assert len(store_of(catalog, embedder)) == 2
    assert len(store_of(elsewhere, embedder)) == 1  # of the picture that no catalog has
    again = vectors_of_frame(asked.drop(index=1), embedder, [elsewhere, catalog], None)
    assert embedder.batches == [3]
    np.testing.assert_array_equal(again, vectors[[0, 2, 3]])
    assert vectors_of_frame(frame.iloc[:0], embedder, [catalog], None).shape == (0, 8)


def test_a_folder_that_cannot_be_written_to_has_vectors_all_the_same(
    made: Frames,
    folder: Path,
    embedder: Shades,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse(store: VectorStore, ids: object, vectors: object) -> None:
        raise StorageError("the disk is full")

    monkeypatch.setattr(VectorStore, "add", refuse)
    frame = made("a boat", "a house", first=1)
    vectors = vectors_of_frame(frame, embedder, [Catalog(folder)], None)
    assert np.isfinite(vectors).all()
    assert "vectors are not kept: the disk is full" in capsys.readouterr().err
