"""Families: which pictures of a frame were drawn from which, all at once."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest

from imagen_nb.frames.families import families_frame
from imagen_nb.studio.default import using
from imagen_nb.studio.studio import Studio
from tests.fixtures.server_state import ServerState
from tests.fixtures.supabase_fixtures import TwoUsers, settings


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    chosen = {"output": {"dir": tmp_path / "ours"}, "backend": "flux-tiny-local", "steps": 1}
    with Studio(chosen, background=False) as session, using(session):
        yield session


def rows(found: pd.DataFrame) -> list[tuple[int, int, str, str]]:
    return [*zip(found["family"], found["generation"], found["how"], found["prompt"], strict=True)]


def test_families_of_a_history_and_of_one_of_its_pictures(studio: Studio) -> None:
    boat = studio.generate("a boat", seed=1)
    ship = studio.generate(like=boat, prompt="a ship")
    studio.generate("alone", seed=3)
    house = studio.generate("a house", seed=4)
    studio.generate(like=house, prompt="a tower")
    studio.generate(like=ship, prompt="a yacht")
    assert rows(studio.history().imagen.lineage()) == [
        (0, 0, "", "a boat"),
        (0, 1, "like", "a ship"),
        (0, 2, "like", "a yacht"),
        (1, 0, "", "a house"),
        (1, 1, "like", "a tower"),
    ]
    of_one = studio.lineage(studio.history(prompt="ship"))
    assert of_one["prompt"].tolist() == ["a boat", "a ship", "a yacht"]
    assert of_one["via"].tolist()[1:] == of_one["id"].tolist()[:2]


def test_pictures_of_their_own_give_no_rows_and_all_columns(studio: Studio) -> None:
    studio.generate("alone", seed=3)
    history = studio.history()
    found = history.imagen.lineage()
    assert found.empty
    assert [*found.columns] == [*history.columns, "family", "generation", "how", "via"]


def test_the_latest_of_several_parents_is_named() -> None:
    history = pd.DataFrame({"id": ["c", "b", "a"]})
    parents = {"b": {"a": "init_image"}, "c": {"a": "init_image", "b": "like"}}
    found = families_frame(parents, history)
    assert [*zip(found["id"], found["generation"], found["how"], strict=True)] == [
        ("a", 0, ""),
        ("b", 1, "init_image"),
        ("c", 2, "like"),
    ]


def test_records_that_name_each_other_end() -> None:
    history = pd.DataFrame({"id": ["a", "b", "c"]})
    parents = {"a": {"b": "like"}, "b": {"a": "like"}, "c": {"b": "mask", "gone": "like"}}
    found = families_frame(parents, history)
    assert sorted(found["id"]) == ["a", "b", "c"]
    assert set(found["family"]) == {0}


def test_a_thousand_generations_are_followed() -> None:
    ids = [f"{n:04}" for n in range(1000)]
    history = pd.DataFrame({"id": ids[::-1]})
    parents = {child: {parent: "init_image"} for parent, child in pairwise(ids)}
    found = families_frame(parents, history)
    assert found["generation"].tolist() == [*range(1000)]
    assert found["via"].tolist()[1:] == ids[:-1]


def test_parents_on_another_machine_are_found_in_the_cloud(
    tmp_path: Path, local_supabase: TwoUsers, server: ServerState
) -> None:
    chosen = {"backend": "flux-tiny-local", "steps": 1}
    there = settings(tmp_path / "there", local_supabase) | chosen
    with Studio(there, background=False) as box:
        first = box.generate("a boat", seed=1)
        second = box.generate(like=first, prompt="a ship")
        box.sync()
    here = settings(tmp_path / "here", local_supabase) | chosen
    with Studio(here, background=False) as laptop:
        laptop.generate("a yacht", seed=3, like=str(second.record.id))
        found = laptop.lineage(laptop.history(source="local"))
    assert found["prompt"].tolist() == ["a boat", "a ship", "a yacht"]
    assert found["generation"].tolist() == [0, 1, 2]
