"""`Studio.delete` and `restore`: whatever names pictures, twice as well as once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import imagen_nb as im
from imagen_nb.errors import StorageError, UsageError
from imagen_nb.storage.output import load_record
from imagen_nb.storage.removals import load_removals
from imagen_nb.studio.studio import Studio
from tests.fixtures.pictures import render

SMALL = {"steps": 1, "width": 64, "height": 64, "progress": False}


@pytest.fixture
def studio(folder: Path) -> Iterator[Studio]:
    """Of four pictures, seeds 0 to 3, without a cloud."""
    render(folder, 4)
    settings = {"backend": "flux-tiny-local", "output": {"dir": str(folder)}}
    with Studio(settings, background=False) as studio:
        yield studio


def seeds(studio: Studio) -> list[int]:
    return sorted(studio.history(source="local")["seed"])


def row_of(studio: Studio, seed: int) -> Any:
    frame = studio.history(source="local")
    return frame[frame["seed"] == seed].iloc[0]


NAMED: dict[str, Callable[[Any], Any]] = {
    "a row": lambda row: row,
    "a frame": lambda row: pd.DataFrame([row]),
    "an id": lambda row: row["id"],
    "its first digits": lambda row: row["id"][:8],
    "a PNG": lambda row: row["local_path"],
    "a sidecar": lambda row: Path(f"{row['local_path']}.json"),
    "a record": lambda row: load_record(row["local_path"]),
    "a list": lambda row: [row["id"][:8], Path(row["local_path"])],
}


@pytest.mark.parametrize("name", NAMED)
def test_a_picture_is_deleted_and_restored_by_whatever_names_it(name: str, studio: Studio) -> None:
    row = row_of(studio, 1)
    what = NAMED[name](row)
    assert studio.delete(what) == 1
    assert seeds(studio) == [0, 2, 3]
    assert not Path(row["local_path"]).exists()
    assert studio.delete(what) == 0
    assert [one.id for one in studio.trash()] == [row["id"]]
    assert studio.restore(what) == 1
    assert seeds(studio) == [0, 1, 2, 3]
    assert studio.restore(what) == 0
    assert studio.trash() == []
    assert row_of(studio, 1)["local_path"] == row["local_path"]


def test_all_of_a_history_at_once(studio: Studio) -> None:
    frame = studio.history(source="local")
    assert studio.delete(frame) == 4
    assert len(studio.history(source="local")) == 0
    assert studio.delete(frame) == 0
    assert studio.restore(frame) == 4
    assert seeds(studio) == [0, 1, 2, 3]


def test_what_was_drawn_is_deleted_and_drawn_again(studio: Studio, folder: Path) -> None:
    picture = studio.generate("a boat", seed=9, tags=["sea"], **SMALL)
    assert studio.delete(picture) == 1
    assert picture.catalog_entry() is None
    again = studio.generate("a boat", seed=9, again=False, **SMALL)
    assert again.path == picture.path
    assert again.record.id != picture.record.id
    assert studio.delete(picture) == 0  # not the one that has its name now
    assert studio.restore(picture) == 1
    entry = picture.catalog_entry()
    assert entry
    assert entry.path.name.endswith("-9-2.png")
    assert entry.record.tags == ("sea",)
    sweep = studio.sweep("a {red|blue} barn", seeds=[1], size=(64, 64), steps=1, progress=False)
    assert studio.delete(sweep) == 2
    assert studio.restore(sweep) == 2


REFUSED = {
    "no picture": ("ffffffff", UsageError, "there is no picture ffffffff"),
    "a file that is not there": ("nowhere.png", StorageError, "nowhere.png"),
    "a number": (3, UsageError, "expected a picture"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_picture_is_refused_and_nothing_is_deleted(name: str, studio: Studio) -> None:
    what, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        studio.delete([row_of(studio, 0), what])
    with pytest.raises(UsageError):
        studio.restore(what)
    assert seeds(studio) == [0, 1, 2, 3]


def test_who_restores_what_is_not_in_the_trash_is_told_where_to_look(studio: Studio) -> None:
    message = "in the trash: pictures are kept there for 30 days; `imagen restore` lists them"
    with pytest.raises(UsageError, match=message):
        studio.restore("ffffffff")
    with pytest.raises(UsageError, match="cloud_after must be 0 to 3600 seconds, not -1"):
        studio.delete(row_of(studio, 0), cloud_after=-1)


def test_a_picture_that_may_be_in_the_cloud_waits_to_be_removed_there(studio: Studio) -> None:
    catalog = studio.catalog()
    first, second, *_ = catalog.select("ORDER BY path")
    catalog.amend(first, owner_user_id=first.record.id)  # as before it is sent
    assert studio.delete([first.record.id, second.record.id]) == 2
    (one,) = load_removals(catalog)
    assert (one.id, one.storage_path) == (str(first.record.id), first.record.storage_path)
    studio.restore(first.record)
    assert load_removals(catalog) == []


def test_the_functions_of_the_package_are_of_the_default_session(
    studio: Studio, session: Callable[[Studio], Studio]
) -> None:
    session(studio)
    id = row_of(studio, 2)["id"]
    assert im.delete(id) == 1
    assert im.restore(id) == 1
    with pytest.raises(UsageError, match="did you mean cloud_after"):
        im.delete(id, cloud_aftr=3)  # type: ignore[call-arg]
