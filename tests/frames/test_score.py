"""Scores: a column of numbers, by a scorer of ours or of others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image, ImageFilter

from imagen_nb.errors import ImagenError, UsageError
from imagen_nb.frames.plugins.agreement import Agreement
from imagen_nb.frames.plugins.scorers import SCORERS
from imagen_nb.frames.plugins.sharpness import sharpness
from imagen_nb.studio.studio import Studio
from tests.fixtures.dual_encoders import save_clip

Frames = Callable[..., pd.DataFrame]


class Counted:
    """A scorer that remembers the prompts of what it was given; a score is their length."""

    reads_prompts = True

    def __init__(self) -> None:
        self.version = "1"
        self.seen: list[str] = []

    def __call__(self, images: Sequence[Image.Image], prompts: Sequence[str]) -> list[float]:
        self.seen += prompts
        return [float("nan") if each == "unsayable" else float(len(each)) for each in prompts]


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


class TestKept:
    """A scorer with a version looks at each picture once."""

    @pytest.fixture
    def counted(self, scorer: Callable[..., None]) -> Counted:
        mine = Counted()
        scorer(mine)
        return mine

    def test_each_picture_is_looked_at_once(self, made: Frames, counted: Counted) -> None:
        frame = made("a boat", "a house")
        first = frame.imagen.score("mine")["mine"].tolist()
        frame = pd.concat([frame, made("a tree", first=5)], ignore_index=True)
        assert frame.imagen.score("mine")["mine"].tolist() == [*first, 6.0]
        assert counted.seen == ["a boat", "a house", "a tree"]
        without = frame.drop(columns="sidecar")  # the catalog knows the file's hash
        assert without.imagen.score("mine")["mine"].tolist() == [*first, 6.0]
        assert len(counted.seen) == 3

    def test_another_version_looks_again_and_one_without_always(
        self, made: Frames, counted: Counted
    ) -> None:
        frame = made("a boat")
        frame.imagen.score("mine")
        counted.version = "2"
        frame.imagen.score("mine")
        assert len(counted.seen) == 2
        del counted.version
        frame.imagen.score("mine")
        frame.imagen.score("mine")
        assert len(counted.seen) == 4

    def test_the_prompt_counts_where_it_is_read(self, made: Frames, counted: Counted) -> None:
        frame = made("a boat")
        other = frame.assign(prompt="a house by the sea")
        assert frame.imagen.score("mine")["mine"].tolist() == [6.0]
        assert other.imagen.score("mine")["mine"].tolist() == [18.0]
        assert frame.imagen.score("mine")["mine"].tolist() == [6.0]
        counted.reads_prompts = False
        frame.imagen.score("mine")
        other.imagen.score("mine")
        assert counted.seen == ["a boat", "a house by the sea", "a boat"]

    def test_that_nothing_can_be_said_is_kept_too(self, made: Frames, counted: Counted) -> None:
        frame = made("unsayable")
        assert frame.imagen.score("mine")["mine"].isna().all()
        assert frame.imagen.score("mine")["mine"].isna().all()
        assert len(counted.seen) == 1

    def test_a_file_that_was_changed_is_not_taken_for_what_it_was(
        self, made: Frames, counted: Counted
    ) -> None:
        frame = made("a boat", "a house")
        first, other = map(Path, frame["local_path"])
        first.write_bytes(other.read_bytes())
        frame.imagen.score("mine")
        made_anew = frame.iloc[1:].imagen.score("mine")
        assert made_anew["mine"].tolist() == [7.0]
        assert counted.seen == ["a boat", "a house"]

    def test_where_they_cannot_be_kept_they_are_there_even_so(
        self, made: Frames, counted: Counted, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        frame = made("a boat")
        (folder / ".imagen" / "scores.sqlite3").mkdir(parents=True)
        assert frame.imagen.score("mine")["mine"].tolist() == [6.0]
        assert "scores are not kept: cannot write" in capsys.readouterr().err


class TestClip:
    PROMPTS = ("a red boat on the sea", "a green cactus in the desert")

    @pytest.fixture
    def drawn(self, session: Callable[[Studio], Studio], folder: Path) -> pd.DataFrame:
        settings = {"output": {"dir": str(folder)}, "backend": "flux-tiny-local"}
        studio = session(Studio(settings, background=False))
        return studio.sweep([*self.PROMPTS], seeds=[1, 2], progress=False).frame()

    def test_a_picture_fits_what_it_was_drawn_from_better(self, drawn: pd.DataFrame) -> None:
        own = drawn.imagen.score("clip:tiny")["clip:tiny"]
        exchanged = drawn.assign(prompt=[*drawn["prompt"][::-1]])
        assert (own > exchanged.imagen.score("clip:tiny")["clip:tiny"] + 0.1).all()
        assert own.between(-1, 1).all()

    def test_without_a_name_it_is_the_configured_embedder(
        self, drawn: pd.DataFrame, session: Callable[[Studio], Studio], folder: Path
    ) -> None:
        expected = drawn.imagen.score("clip:tiny")["clip:tiny"].tolist()
        session(Studio({"output": {"dir": str(folder)}, "find": {"embedder": "tiny"}}))
        assert drawn.imagen.score("clip")["clip"].tolist() == expected

    def test_a_picture_without_words_it_knows_has_no_score(self, drawn: pd.DataFrame) -> None:
        for prompt in ("", "  ", "qwrtz"):
            scored = drawn.assign(prompt=prompt).imagen.score("clip:tiny")
            assert scored["clip:tiny"].isna().all()

    def test_a_folder_of_clip_does_too(self, drawn: pd.DataFrame, tmp_path: Path) -> None:
        name = f"clip:{save_clip(tmp_path / 'mine')}"
        assert drawn.imagen.score(name)[name].between(-1, 1).all()

    def test_what_lacks_is_one_line(self, drawn: pd.DataFrame, tmp_path: Path) -> None:
        with pytest.raises(
            ImagenError, match=r"the weights of .*siglip2.* are not on this machine"
        ):
            drawn.imagen.score("clip:siglip2-base")
        with pytest.raises(UsageError, match=r"unknown embedder 'tinny'.*did you mean tiny"):
            drawn.imagen.score("clip:tinny")
        with pytest.raises(UsageError, match="sharpness takes nothing after its name"):
            drawn.imagen.score("sharpness:much")

    def test_an_embedder_that_reads_nothing_is_told(self) -> None:
        class Eyes:
            model, dimensions = "eyes-1", 3

            def embed_images(self, images: Sequence[Image.Image]) -> Any:
                return [[1.0, 0.0, 0.0]] * len(images)

        with pytest.raises(ImagenError, match="the embedder eyes-1 reads no texts"):
            Agreement(Eyes())([Image.new("RGB", (8, 8))], ["a boat"])  # type: ignore[arg-type]
