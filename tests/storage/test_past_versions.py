"""Folders that earlier versions wrote are read today: PNG, sidecars, catalog.

Each folder of `past/` has the number of a catalog's schema, and was made by the code that brought
it: two pictures and `catalog.sql`, what SQLite says of the catalog's file.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.catalog_schema import _SCHEMA_MIGRATIONS
from imagen_nb.storage.drawing_queue import DrawingQueue
from imagen_nb.storage.outbox import Outbox
from imagen_nb.storage.output import load_record
from imagen_nb.storage.record import SCHEMA_VERSION, Record
from imagen_nb.storage.reindex import reindex
from imagen_nb.storage.tags import load_queued_tags
from imagen_nb.storage.trash import restore_from_trash, trashed_pictures

PAST = Path(__file__).parent / "past"
VERSIONS = sorted(int(folder.name) for folder in PAST.iterdir())
STABILITY = Path(__file__).parents[2] / "docs" / "stability.md"


@pytest.fixture(params=VERSIONS, ids="schema-{}".format)
def version(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def past(version: int, tmp_path: Path) -> Path:
    """A folder as that version left it."""
    folder = tmp_path / "pictures"
    (folder / ".imagen").mkdir(parents=True)
    for file in PAST.joinpath(str(version)).glob("*.png*"):
        shutil.copyfile(file, folder / file.name)
    for file in PAST.joinpath(str(version)).glob("trash/*/*"):
        bundle = folder / ".imagen" / "trash" / file.parent.name
        bundle.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, bundle / file.name)
    script = PAST.joinpath(str(version), "catalog.sql").read_text(encoding="utf-8")
    with closing(sqlite3.connect(folder / ".imagen" / "catalog.sqlite3")) as connection:
        connection.executescript(script)
    return folder


def red_boat(folder: Path) -> Path:
    (png,) = folder.glob("*-a-red-boat-at-sunset-11.png")
    return png


def test_there_is_a_folder_of_every_schema_but_the_newest() -> None:
    """Before a schema changes, a folder of the one of before is kept here."""
    assert set(VERSIONS) >= set(range(1, len(_SCHEMA_MIGRATIONS)))


def test_the_page_on_stability_tells_of_every_schema() -> None:
    text = STABILITY.read_text(encoding="utf-8")
    told = [line for line in text.splitlines() if line.startswith("| catalog ")]
    assert len(told) == len(_SCHEMA_MIGRATIONS), "docs/stability.md lacks a schema of the catalog"
    told = [line for line in text.splitlines() if line.startswith("| record ")]
    assert len(told) == SCHEMA_VERSION, "docs/stability.md lacks a schema of the record"


def test_its_sidecars_and_pictures_are_read(past: Path) -> None:
    sidecar = red_boat(past).with_name(f"{red_boat(past).name}.json")
    record = Record.from_sidecar(sidecar.read_text(encoding="utf-8"))
    assert (record.prompt, record.seed) == ("a red boat at sunset", 11)
    assert record.schema_version in range(1, SCHEMA_VERSION + 1)
    inside = load_record(red_boat(past))
    assert (inside.id, inside.prompt) == (record.id, record.prompt)


def test_its_catalog_is_opened_and_has_what_it_had(past: Path, version: int) -> None:
    with closing(Catalog(past)) as catalog:
        states = {entry.record.seed: entry.cloud_state for entry in catalog.latest(9)}
        assert states == ({11: "pending"} if version >= 7 else {11: "pending", 12: "off"})
        (waiting,) = Outbox(catalog).entries()
        assert waiting.path == red_boat(past)
        assert "boats" in waiting.record.tags
        tags = [mark.tag for marks in load_queued_tags(catalog).values() for mark in marks]
        assert tags == (["sea"] if version >= 3 else [])
        with closing(DrawingQueue(catalog)) as queue:
            prompts = [item.request.prompt for item in queue.items()]
        assert prompts == (["a green boat"] if version >= 4 else [])
        trashed = [one.record.seed for one in trashed_pictures(catalog) if one.record]
        assert trashed == ([12] if version >= 7 else [])
        assert len(restore_from_trash(catalog, [one.id for one in trashed_pictures(catalog)])) == (
            1 if version >= 7 else 0
        )
        assert {entry.record.seed for entry in catalog.latest(9)} == {11, 12}


def test_its_folder_is_indexed_anew(past: Path, version: int) -> None:
    (past / ".imagen" / "catalog.sqlite3").unlink()
    report = reindex(past)
    left = 1 if version >= 7 else 2  # of a new catalog, what is in the trash is nobody's
    assert (report.found, report.torn, report.rebuilt) == (left, (), ())
