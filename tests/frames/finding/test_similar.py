"""Pictures that are like one, by whatever embedder is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from imagen_nb.errors import ImagenError, UsageError
from imagen_nb.frames.plugins import embedders
from imagen_nb.system.plugins import PluginKind

Frames = Callable[..., pd.DataFrame]


class Angles:
    """The shade of the first pixel is an angle, 0 to 255 degrees; 0 is no direction at all."""

    model, dimensions = "angles-1", 2

    def embed_images(self, images: Sequence[Image.Image]) -> Any:
        shades = [image.getpixel((0, 0))[0] for image in images]  # type: ignore[index]
        turns = np.radians(shades)
        return np.array([np.cos(turns), np.sin(turns)]).T * np.array(shades)[:, None]

    def embed_texts(self, texts: Sequence[str]) -> Any:
        raise NotImplementedError


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Registers these embedders, by name."""

    def register(**known: Any) -> None:
        monkeypatch.setattr(PluginKind, "names", lambda kind: sorted(known))
        monkeypatch.setattr(PluginKind, "find", lambda kind, name: known.get(name))

    embedders._made_embedder.cache_clear()
    yield register
    embedders._made_embedder.cache_clear()


def test_the_most_similar_come_first_and_it_itself_does_not(
    made: Frames, installed: Callable[..., None]
) -> None:
    installed(angles=Angles)
    frame = made(*["a boat"] * 5, first=1)  # of 1 to 5 degrees
    found = frame.imagen.similar(0, n=3)
    assert found["seed"].tolist() == [2, 3, 4]
    assert [*found.columns] == [*frame.columns, "similarity"]
    expected = np.cos(np.radians([1, 2, 3]))
    np.testing.assert_allclose(found["similarity"], expected, atol=0.01)  # kept as int8
    by_id = frame.imagen.similar(frame["id"][4], n=99, embedder="angles")
    assert by_id["seed"].tolist() == [4, 3, 2, 1]


def test_what_nothing_can_be_said_of_is_like_nothing(
    made: Frames, installed: Callable[..., None]
) -> None:
    installed(angles=Angles)
    frame = made("a boat", "a boat", "a boat", first=0)
    assert frame.imagen.similar(1)["similarity"].tolist()[1:] == [0.0]
    assert frame.imagen.similar(0)["similarity"].tolist() == [0.0, 0.0]


def test_what_cannot_be_had_is_left_out(
    made: Frames, installed: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    installed(angles=Angles)
    frame = made("a boat", "a boat", "a boat", first=1)
    Path(frame["local_path"][1]).unlink()
    assert frame.imagen.similar(0)["seed"].tolist() == [3]
    assert "1 of 3 pictures cannot be looked at" in capsys.readouterr().err
    with pytest.raises(ImagenError, match="not on this machine"):
        frame.imagen.similar(1)


def test_with_no_embedder_at_all_one_line_says_what_to_install(
    made: Frames, installed: Callable[..., None]
) -> None:
    installed()
    with pytest.raises(UsageError, match="no embedder is installed: install a package"):
        made("a boat").imagen.similar(0)


def test_ours_is_taken_where_none_is_named(
    made: Frames, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    embedders._made_embedder.cache_clear()
    (likeness,) = made("a boat", "a boat", first=1).imagen.similar(0)["similarity"]
    assert likeness == pytest.approx(1, abs=0.01)  # two even greys, one level apart


def test_of_several_one_is_to_be_named(made: Frames, installed: Callable[..., None]) -> None:
    installed(angles=Angles, others=Angles)
    frame = made("a boat")
    with pytest.raises(UsageError, match=r"which embedder\? give embedder=, one of angles, others"):
        frame.imagen.similar(0)
    with pytest.raises(UsageError, match=r"unknown embedder 'angle'.*did you mean angles\?"):
        frame.imagen.similar(0, embedder="angle")
    with pytest.raises(UsageError, match="n is how many pictures"):
        frame.imagen.similar(0, n=0, embedder="angles")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (np.ones((1, 3)), r"gave \(1, 3\) where vectors of the shape \(1, 2\)"),
        (np.array([[np.nan, 1]]), "gave infinite or missing numbers"),
    ],
)
def test_vectors_that_are_none_are_refused(
    made: Frames, installed: Callable[..., None], given: Any, told: str
) -> None:
    class Wrong(Angles):
        def embed_images(self, images: Sequence[Image.Image]) -> Any:
            return given

    installed(wrong=Wrong)
    with pytest.raises(ImagenError, match=told):
        made("a boat").imagen.similar(0)


def test_a_picture_is_looked_at_once(made: Frames, installed: Callable[..., None]) -> None:
    looked_at: list[int] = []

    class Counting(Angles):
        def embed_images(self, images: Sequence[Image.Image]) -> Any:
            looked_at.append(len(images))
            return super().embed_images(images)

    installed(counting=Counting)
    frame = made(*["a boat"] * 5, first=1)
    first = frame.imagen.similar(0)
    again = frame.imagen.similar(0)
    assert sum(looked_at) == 5
    assert first["similarity"].tolist() == again["similarity"].tolist()
