"""Finding pictures by meaning and by look."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from imagen_nb.errors import UsageError
from imagen_nb.studio.studio import Studio

PROMPTS = [
    "a large red lighthouse on a cliff at night",
    "a yellow boat on the sea at sunset",
    "three blue fish on a white background",
    "a white snowman in the snow",
    "a green cactus in the desert",
]


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """Each prompt, drawn twice by the embedded FLUX."""
    folder = tmp_path_factory.mktemp("found")
    chosen = {"output": {"dir": folder}, "backend": "flux-tiny-local", "steps": 4}
    with Studio(chosen, background=False) as session:
        session.sweep(PROMPTS, seeds=[1, 2])
        yield session


def find(studio: Studio, *what: object, **arguments: object) -> list[str]:
    return studio.find(*what, embedder="tiny", **arguments)["prompt"].tolist()  # type: ignore[arg-type]


@pytest.mark.parametrize("number", range(len(PROMPTS)))
def test_words_find_what_was_drawn(studio: Studio, number: int) -> None:
    assert find(studio, PROMPTS[number], n=2) == [PROMPTS[number]] * 2


def test_scores_are_how_far_above_the_average_whatever_the_filters(studio: Studio) -> None:
    everything = studio.find("a boat", n=99, embedder="tiny")
    assert everything["score"].is_monotonic_decreasing
    assert everything["score"].mean() == pytest.approx(0, abs=1e-6)
    assert everything["score"].std(ddof=0) == pytest.approx(1)
    assert [*everything.columns] == [*studio.history().columns, "score"]
    some = studio.find("a boat", n=99, embedder="tiny", seed=2)
    assert set(some["seed"]) == {2}
    expected = everything[everything["seed"] == 2].reset_index(drop=True)
    assert some["score"].tolist() == expected["score"].tolist()


def test_a_picture_finds_those_like_it_and_not_itself(studio: Studio) -> None:
    row = studio.history(prompt="snowman").iloc[0]
    found = studio.find(row, n=3, embedder="tiny")
    assert row["id"] not in found["id"].tolist()
    assert found["prompt"][0] == row["prompt"]
    assert find(studio, row["id"][:8], n=1) == [row["prompt"]]


def test_a_file_and_an_image_are_looked_at(studio: Studio, tmp_path: Path) -> None:
    row = studio.history(prompt="cactus").iloc[0]
    image = studio.lookup.original(row["id"]).path
    assert image
    for what in (image, str(image), Path(image)):
        assert studio.find(what, n=1, embedder="tiny")["id"].tolist() == [row["id"]]


def test_what_cannot_be_looked_for_is_said_in_a_line(studio: Studio) -> None:
    with pytest.raises(UsageError, match="knows no word of 'qwrtz'"):
        find(studio, "qwrtz")
    with pytest.raises(UsageError, match=r"there is no file nowhere\.png"):
        find(studio, "nowhere.png")
    with pytest.raises(UsageError, match="n is how many pictures"):
        find(studio, "a boat", n=0)
