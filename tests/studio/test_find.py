"""Finding pictures by meaning and by look."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

import imagen_nb as im
from imagen_nb.errors import ImagenError, UsageError
from imagen_nb.frames.plugins import embedders
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
    assert everything["score"].mean() == pytest.approx(0, abs=0.02)  # kept as int8
    assert everything["score"].std(ddof=0) == pytest.approx(1, abs=0.02)
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


def test_what_is_not_wanted_comes_last(studio_of_boats: Studio) -> None:
    """The sea with a boat and without one, each drawn by the embedded FLUX."""
    found = studio_of_boats.find("the sea", without="a boat", n=99, embedder="tiny")
    has_boat = ["boat" in prompt for prompt in found["prompt"]]
    assert has_boat == sorted(has_boat)
    by_place = studio_of_boats.find("the sea", n=99, embedder="tiny")
    assert ["boat" in prompt for prompt in by_place["prompt"]] != has_boat
    unlike = studio_of_boats.find("the sea", unlike=["a boat"], n=99, embedder="tiny")
    assert unlike["id"].tolist() == found["id"].tolist()


@pytest.fixture(scope="module")
def studio_of_boats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    folder = tmp_path_factory.mktemp("boats")
    chosen = {"output": {"dir": folder}, "backend": "flux-tiny-local"}
    with Studio(chosen, background=False) as session:
        things = ["lighthouse", "castle", "bird", "tree"]
        session.sweep([f"a {one}, sea" for one in things], seeds=1)
        session.sweep([f"a {one} left of a boat, sea" for one in things], seeds=1)
        yield session


def test_examples_count_together(studio: Studio) -> None:
    snowman, cactus = (studio.history(prompt=word).iloc[0]["id"] for word in ("snowman", "cactus"))
    found = studio.find(like=[snowman, cactus], n=2, embedder="tiny")
    assert sorted(found["prompt"]) == sorted([PROMPTS[3], PROMPTS[4]])
    alone = studio.find(like=snowman, n=99, embedder="tiny")
    both = studio.find("three fish", like=studio.history(ids=[snowman]), n=99, embedder="tiny")
    fish = [frame[frame["prompt"] == PROMPTS[2]]["score"].mean() for frame in (alone, both)]
    assert fish[0] < fish[1]


def test_filters_that_leave_out_the_best_go_on_to_the_others(studio: Studio) -> None:
    found = studio.find(PROMPTS[0], n=1, embedder="tiny", prompt="cactus", seed=2)
    assert found["prompt"].tolist() == [PROMPTS[4]]
    assert studio.find("a boat", embedder="tiny", tags="none").empty
    ids = studio.history(prompt="snowman")["id"].tolist()
    assert set(studio.find("a boat", embedder="tiny", ids=ids)["id"]) == set(ids)


def test_the_configured_embedder_is_taken(tmp_path: Path) -> None:
    settings = {"output": {"dir": tmp_path}, "find": {"embedder": str(tmp_path / "none")}}
    with Studio(settings, background=False) as session:
        with pytest.raises(ImagenError, match="there is no folder"):
            session.find("a boat")
        assert session.embedder("tiny").dimensions == 256


def test_a_line_says_once_what_to_fetch_where_only_tiny_is_here(
    made: Callable[..., pd.DataFrame],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    embedders._made_embedder.cache_clear()
    made("a boat")
    im.find("a boat")
    assert "hf download" not in capsys.readouterr().err
    made("a boat", first=9, backend="flux-dev-local")
    im.find("a boat")
    im.find("a boat")
    assert capsys.readouterr().err.count("hf download google/siglip2-base-patch16-224") == 1
    embedders._made_embedder.cache_clear()


def test_finding_with_tiny_loads_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys, imagen_nb as im\n"
        f"im.configure(output={{'dir': {str(tmp_path)!r}}})\n"
        "assert im.find('a boat', embedder='tiny').empty\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
