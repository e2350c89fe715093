"""Lineage: what a picture was drawn from, by whatever way, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from imagen_nb.studio.studio import Studio
from tests.fixtures.older_catalogs import take_back
from tests.fixtures.server_state import ServerState
from tests.fixtures.supabase_fixtures import TwoUsers, settings


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    chosen = {"output": {"dir": tmp_path / "ours"}, "backend": "flux-tiny-local", "steps": 1}
    with Studio(chosen, background=False) as session:
        yield session


def family(studio: Studio, what: object) -> list[tuple[int, str, str]]:
    frame = studio.lineage(what)
    return [*zip(frame["generation"], frame["how"], frame["prompt"], strict=True)]


class TestHere:
    def test_three_generations_by_three_ways(self, studio: Studio, tmp_path: Path) -> None:
        Image.new("RGB", (128, 128), "navy").save(tmp_path / "sketch.jpg")
        sketch = studio.adopt(tmp_path / "sketch.jpg").iloc[0]
        begun = studio.generate(
            "a blue boat", seed=1, init_image=tmp_path / "sketch.jpg", strength=1
        )
        varied = studio.generate(like=begun, prompt="a red boat")
        studio.reproduce(varied, output=tmp_path / "again")
        assert family(studio, begun) == [
            (-1, "init_image", ""),
            (0, "", "a blue boat"),
            (1, "like", "a red boat"),
            (2, "reproduce", "a red boat"),
        ]
        began_with_it = [(1, "init_image")] * 3
        assert [one[:2] for one in family(studio, sketch)] == [(0, ""), *began_with_it]

    def test_via_tells_whose_parent_or_child_each_is(self, studio: Studio) -> None:
        first = studio.generate("a boat", seed=1)
        second = studio.generate("a boat at sea", seed=2, init_image=first)
        third = studio.generate("a boat at night", seed=3, init_image=first)
        frame = studio.lineage(first)
        assert frame["via"].fillna("").tolist() == ["", str(first.record.id), str(first.record.id)]
        assert set(frame["id"][1:]) == {str(second.record.id), str(third.record.id)}

    def test_a_picture_of_its_own_has_no_family(self, studio: Studio) -> None:
        assert family(studio, studio.generate("a house", seed=1)) == [(0, "", "a house")]

    def test_what_is_deleted_is_left_out_and_comes_back(self, studio: Studio) -> None:
        first = studio.generate("a boat", seed=1)
        second = studio.generate("a ship", seed=2, init_image=first)
        studio.delete(first)
        assert family(studio, second) == [(0, "", "a ship")]
        studio.restore(first)
        assert family(studio, second) == [(-1, "init_image", "a boat"), (0, "", "a ship")]

    def test_records_that_name_each_other_end(self, studio: Studio) -> None:
        first, second = studio.generate("a boat", seed=1), studio.generate("a ship", seed=2)
        catalog = studio.catalog()
        for one, other in ((first, second), (second, first)):
            parent = {"how": "like", "id": str(other.record.id), "sha256": None}
            entry = catalog.get(one.record.id)
            assert entry is not None
            catalog.amend(entry, derived_from=({**parent},))
        assert len(studio.lineage(first)) == 2

    def test_a_record_of_a_stranger_may_say_anything(self, studio: Studio) -> None:
        picture = studio.generate("a boat", seed=1)
        entry = studio.catalog().get(picture.record.id)
        assert entry is not None
        odd = [{"how": [1], "id": {"a": 1}, "sha256": 7}, {"name": None}, {}]
        studio.catalog().amend(entry, derived_from=tuple(odd), inputs=tuple(odd))
        assert len(studio.lineage(picture)) == 1

    def test_catalogs_of_before_are_filled_when_they_are_opened(
        self, studio: Studio, tmp_path: Path
    ) -> None:
        first = studio.generate("a boat", seed=1)
        second = studio.generate("a ship", seed=2, init_image=first)
        with studio.catalog().connection() as connection:
            take_back(connection, 7)
        studio.catalog().close()
        assert family(studio, second)[0] == (-1, "init_image", "a boat")


def test_ancestors_on_another_machine_are_found_in_the_cloud(
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
        third = laptop.generate("a yacht", seed=3, like=str(second.record.id))
        assert family(laptop, third) == [
            (-2, "like", "a boat"),
            (-1, "like", "a ship"),
            (0, "", "a yacht"),
        ]


def test_descendants_on_another_machine_are_found_in_the_cloud(
    tmp_path: Path, local_supabase: TwoUsers, server: ServerState
) -> None:
    chosen = {"backend": "flux-tiny-local", "steps": 1}
    here = settings(tmp_path / "here", local_supabase) | chosen
    there = settings(tmp_path / "there", local_supabase) | chosen
    with Studio(here, background=False) as laptop:
        first = laptop.generate("a boat", seed=1)
        laptop.sync()
        with Studio(there, background=False) as box:
            second = box.generate(like=str(first.record.id), prompt="a ship")
            box.generate("a yacht", seed=3, init_image=second)  # in no catalog of here either
            box.sync()
        assert family(laptop, first) == [
            (0, "", "a boat"),
            (1, "like", "a ship"),
            (2, "init_image", "a yacht"),
        ]
