"""Scores: a column of numbers, by a scorer of ours or of others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image, ImageFilter

from imagen_nb.errors import ImagenError, UsageError
from imagen_nb.frames.plugins.scorers import SCORERS
from imagen_nb.frames.plugins.sharpness import sharpness

Frames = Callable[..., pd.DataFrame]


@pytest.fixture
def scorer(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Registers this function as the scorer `mine`."""

    def register(function: Any) -> None:
        known = SCORERS.__class__.load
        monkeypatch.setattr(
            SCORERS.__class__,
            "load",
            lambda kind, name: function if name == "mine" else known(kind, name),
        )

    return register


class TestSharpness:
    def test_the_more_a_picture_is_blurred_the_less_it_is_sharp(self) -> None:
        sharp = Image.effect_mandelbrot((96, 64), (-3, -2.5, 2, 2.5), 100).convert("RGB")
        blurred = [sharp.filter(ImageFilter.GaussianBlur(radius)) for radius in (1, 3)]
        scores = sharpness([sharp, *blurred], [""] * 3)
        assert scores == sorted(scores, reverse=True)
        assert scores[0] > 4 * scores[1] > 4 * scores[2]

    def test_one_colour_has_none_and_too_few_pixels_say_nothing(self) -> None:
        flat, tiny = Image.new("RGB", (64, 64), "red"), Image.new("RGB", (2, 9))
        assert sharpness([flat], [""]) == [0.0]
        assert pd.isna(sharpness([tiny], [""])[0])

    def test_it_is_known_by_its_name(self, made: Frames) -> None:
        frame = made("a boat", "a house")
        scored = frame.imagen.score("sharpness")
        assert [*scored.columns] == [*frame.columns, "sharpness"]
        assert scored["sharpness"].gt(0).all()
        assert "sharpness" not in frame.columns


def test_each_picture_is_given_with_its_prompt(made: Frames, scorer: Callable[..., None]) -> None:
    given: list[tuple[tuple[int, ...], str]] = []

    def mine(images: Sequence[Image.Image], prompts: Sequence[str]) -> list[float]:
        given.extend(zip((image.size for image in images), prompts, strict=True))
        return [float(len(prompt)) for prompt in prompts]

    scorer(mine)
    frame = made("a boat", "a house by the sea")
    assert frame.imagen.score("mine")["mine"].tolist() == [6.0, 18.0]
    assert given == [((32, 16), "a boat"), ((32, 16), "a house by the sea")]
    without = frame.drop(columns="prompt").imagen.score("mine")
    assert without["mine"].tolist() == [0.0, 0.0]


def test_more_than_a_batch_is_given_in_parts(made: Frames, scorer: Callable[..., None]) -> None:
    sizes: list[int] = []

    def mine(images: Sequence[Image.Image], prompts: Sequence[str]) -> list[float]:
        sizes.append(len(images))
        return [float(image.getpixel((0, 0))[0]) for image in images]  # type: ignore[index]

    scorer(mine)
    frame = made(*["a boat"] * 40)
    scored = frame.iloc[::-1].imagen.score("mine")
    assert sizes == [32, 8]
    assert scored["mine"].tolist() == [float(shade) for shade in range(39, -1, -1)]


def test_a_picture_that_cannot_be_had_has_no_score_and_a_line_says_so(
    made: Frames, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = made("a boat", "a house")
    Path(frame["local_path"][0]).unlink()
    scored = frame.imagen.score("sharpness")
    assert scored["sharpness"].isna().tolist() == [True, False]
    assert "1 of 2 pictures cannot be looked at" in capsys.readouterr().err


def test_what_cannot_be_a_column_is_refused(made: Frames, scorer: Callable[..., None]) -> None:
    frame = made("a boat")
    with pytest.raises(UsageError, match=r"unknown scorer 'sharpnes'.*did you mean sharpness\?"):
        frame.imagen.score("sharpnes")
    scorer(lambda images, prompts: [1.0, 2.0])
    with pytest.raises(ImagenError, match=r"the scorer mine gave numbers of the shape \(2,\)"):
        frame.imagen.score("mine")


def test_no_scorer_replaces_a_column_of_the_history(
    made: Frames, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SCORERS.__class__, "load", lambda kind, name: sharpness)
    with pytest.raises(UsageError, match="the scorer seed would replace the column seed"):
        made("a boat").imagen.score("seed")
