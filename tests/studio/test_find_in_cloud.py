"""Finding among the pictures of several machines, whose vectors the cloud has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from imagen_nb.errors import CloudError, UsageError
from imagen_nb.studio.studio import Studio
from tests.fixtures.server_state import ServerState
from tests.fixtures.supabase_fixtures import TwoUsers, settings

BOAT, SNOWMAN, CACTUS, CASTLE, BIRD, FISH = (
    "a yellow boat on the sea at sunset",
    "a white snowman in the snow",
    "a green cactus in the desert",
    "a purple castle in the meadow",
    "a black bird in the city",
    "three blue fish on a white background",
)


def session(folder: Path, supabase: TwoUsers, url: str | None = None) -> Studio:
    chosen = settings(folder, supabase, url) | {"backend": "flux-tiny-local", "steps": 4}
    return Studio(chosen, background=False)


@pytest.fixture
def studio(tmp_path: Path, local_supabase: TwoUsers, server: ServerState) -> Iterator[Studio]:
    """A machine with four pictures, one of them not sent; two others are of another machine."""
    with session(tmp_path / "there", local_supabase) as there:
        there.sweep([BOAT, BIRD], seeds=7)
        there.embed(embedder="tiny")
        assert there.sync().vectors == 2
    with session(tmp_path / "here", local_supabase) as here:
        here.sweep([BOAT, SNOWMAN, CACTUS], seeds=1)
        here.embed(embedder="tiny")
        assert here.sync().vectors == 3
        here.generate(CASTLE, seed=1, cloud=False)
        yield here


def prompts(studio: Studio, what: str, source: str, **conditions: object) -> list[str]:
    found = studio.find(what, embedder="tiny", source=source, **conditions)  # type: ignore[arg-type]
    assert found["score"].is_monotonic_decreasing
    assert found["score"].notna().all()
    assert found["id"].is_unique
    return found["prompt"].tolist()


def test_each_source_has_its_pictures_once_the_best_first(studio: Studio) -> None:
    assert sorted(prompts(studio, BOAT, "local")) == sorted([BOAT, SNOWMAN, CACTUS, CASTLE])
    in_cloud = prompts(studio, BOAT, "cloud")
    assert in_cloud[:2] == [BOAT] * 2
    assert sorted(in_cloud) == sorted([BOAT, BOAT, SNOWMAN, CACTUS, BIRD])
    for source in ("merged", "auto"):
        found = prompts(studio, BOAT, source)
        assert found[:2] == [BOAT] * 2
        assert sorted(found) == sorted([BOAT, BOAT, SNOWMAN, CACTUS, BIRD, CASTLE])


def test_rows_say_where_their_pictures_are(studio: Studio) -> None:
    found = studio.find(BIRD, n=1, embedder="tiny").iloc[0]
    assert found["prompt"] == BIRD
    assert found["cloud"] == "synced"
    castle = studio.find(CASTLE, n=1, embedder="tiny").iloc[0]
    assert (castle["prompt"], castle["cloud"]) == (CASTLE, "off")


def test_conditions_hold_in_the_cloud_too(studio: Studio) -> None:
    for source in ("cloud", "merged"):
        assert prompts(studio, BOAT, source, n=1, seed=7, prompt="bird") == [BIRD]
        assert prompts(studio, BOAT, source, n=1, prompt="castle -purple") == []
    whole = studio.find(BOAT, embedder="tiny", source="merged").set_index("id")["score"]
    part = studio.find(BOAT, embedder="tiny", source="merged", seed=7)
    assert part["score"].tolist() == pytest.approx(whole[part["id"]].tolist(), abs=1e-6)


def test_a_picture_of_another_machine_is_an_example(studio: Studio) -> None:
    id = studio.find(BIRD, n=1, embedder="tiny").iloc[0]["id"]
    found = studio.find(id, embedder="tiny", n=9)
    assert id not in found["id"].tolist()
    assert len(found) == 5


def test_a_picture_has_one_score_whether_the_cloud_is_asked_or_not(
    tmp_path: Path, local_supabase: TwoUsers, server: ServerState
) -> None:
    with session(tmp_path / "alone", local_supabase) as alone:
        alone.sweep([BOAT, SNOWMAN, CACTUS, FISH], seeds=1)
        alone.embed(embedder="tiny")
        alone.sync()
        scores = [
            alone.find(BOAT, embedder="tiny", source=source).set_index("id")["score"]
            for source in ("local", "merged", "cloud")
        ]
    assert scores[0].to_dict() == scores[1].to_dict()
    assert scores[2].to_dict() == pytest.approx(scores[0].to_dict(), abs=0.02)


def test_a_cloud_that_does_not_answer_is_a_line_and_no_more(
    tmp_path: Path,
    local_supabase: TwoUsers,
    short_waits: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with session(tmp_path / "alone", local_supabase, "http://127.0.0.1:9") as alone:
        alone.sweep([BOAT, SNOWMAN], seeds=1)
        capsys.readouterr()
        assert prompts(alone, BOAT, "auto", n=1) == [BOAT]
        told = capsys.readouterr().err
        assert told.count("find: among the pictures of this machine only") == 1
        with pytest.raises(CloudError):
            alone.find(BOAT, embedder="tiny", source="merged")


def test_without_a_cloud_only_this_machine_can_be_searched(tmp_path: Path) -> None:
    with Studio({"output": {"dir": tmp_path}}, background=False) as alone:
        with pytest.raises(UsageError, match="nothing to find in the cloud"):
            alone.find("a boat", embedder="tiny", source="cloud")
        with pytest.raises(UsageError, match="source must be one of"):
            alone.find("a boat", embedder="tiny", source="everywhere")
        assert alone.find("a boat", embedder="tiny").empty
