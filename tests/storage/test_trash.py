"""Deleted pictures: wholly in the trash, wholly back, or gone; whatever happens in between."""

from __future__ import annotations

import datetime
import multiprocessing
import os
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from imagen_nb.errors import StorageError
from imagen_nb.storage import trash_moves
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.folders import OutputFolder
from imagen_nb.storage.outbox import Outbox
from imagen_nb.storage.output import PictureDeletedError, PictureFiles, load_record
from imagen_nb.storage.picture import Picture
from imagen_nb.storage.record import Record
from imagen_nb.storage.reindex import reindex
from imagen_nb.storage.removals import load_removals
from imagen_nb.storage.tags import apply_tag_change, load_queued_tags, make_tag_change
from imagen_nb.storage.trash import (
    move_to_trash,
    restore_from_trash,
    trashed_pictures,
)
from imagen_nb.storage.trash_moves import TRASH_DAYS, trash_folder
from imagen_nb.storage.writer import _save_foreign
from imagen_nb.system.atomic import is_temporary
from tests.fixtures.pictures import render

NAME = "2026-05-11-a-boat-0.png"
OWNER = UUID("aaaaaaaa-0000-4000-8000-000000000001")


@pytest.fixture
def catalog(folder: Path) -> Iterator[Catalog]:
    """Of three pictures."""
    render(folder, 3)
    with closing(Catalog(folder)) as catalog:
        yield catalog


def ids_of(catalog: Catalog) -> list[str]:
    return [str(entry.record.id) for entry in catalog.select("ORDER BY path")]


def names_in(folder: Path) -> list[str]:
    names = (path.name for path in folder.iterdir() if path.is_file())
    return sorted(name for name in names if not is_temporary(name))


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in names_in(folder)}


def test_what_is_deleted_and_restored_is_as_it_was(catalog: Catalog, folder: Path) -> None:
    ids, before = ids_of(catalog), contents(folder)
    apply_tag_change(catalog, ids[:1], make_tag_change(add=["sea"]))
    tagged, queued = contents(folder), load_queued_tags(catalog)
    assert move_to_trash(catalog, ids[:2]) == ids[:2]
    assert move_to_trash(catalog, ids[:2]) == []
    assert contents(folder) == {name: before[name] for name in names_in(folder)}
    assert names_in(folder) == ["2026-05-11-a-boat-2.png", "2026-05-11-a-boat-2.png.json"]
    assert ids_of(catalog) == ids[2:]
    assert load_queued_tags(catalog) == {}
    assert {one.id for one in trashed_pictures(catalog)} == {*ids[:2]}
    assert load_removals(catalog) == []  # nothing of them was ever sent
    report = reindex(folder)
    assert (report.found, report.added, report.removed, report.torn) == (1, 0, 0, ())
    assert {*restore_from_trash(catalog, ids)} == {*ids[:2]}
    assert restore_from_trash(catalog, ids) == []
    assert contents(folder) == tagged
    assert ids_of(catalog) == ids
    assert load_queued_tags(catalog) == queued
    assert [*trash_folder(folder).iterdir()] == []
    assert reindex(folder).added == 0


def test_a_picture_that_shall_not_go_to_the_cloud_comes_back_so(folder: Path) -> None:
    render(folder, 1)
    with closing(Catalog(folder)) as catalog:
        (entry,) = catalog.latest(1)
        catalog.amend(entry, cloud=False)
        with catalog.connection() as connection:
            connection.execute("UPDATE images SET cloud_state = 'off'")
        ids = ids_of(catalog)
        move_to_trash(catalog, ids)
        restore_from_trash(catalog, ids)
        assert catalog.counts()["off"] == 1


def test_a_name_that_is_taken_by_then_is_left_to_its_picture(
    catalog: Catalog, folder: Path
) -> None:
    ids = ids_of(catalog)
    first = catalog.get(ids[0])
    assert first
    deleted = first.path.read_bytes()
    move_to_trash(catalog, ids[:1])
    render(folder, 1)  # the same again, with an id of its own
    assert (folder / NAME).read_bytes() != deleted
    (again,) = {*ids_of(catalog)} - {*ids}
    move_to_trash(catalog, [again])
    render(folder, 1)
    assert {*restore_from_trash(catalog, [ids[0], again])} == {ids[0], again}
    assert [name for name in names_in(folder) if name.startswith("2026-05-11-a-boat-0")] == [
        "2026-05-11-a-boat-0-2.png",
        "2026-05-11-a-boat-0-2.png.json",
        "2026-05-11-a-boat-0-3.png",
        "2026-05-11-a-boat-0-3.png.json",
        NAME,
        f"{NAME}.json",
    ]
    for id in (ids[0], again):
        entry = catalog.get(id)
        assert entry
        assert str(load_record(entry.path).id) == id
    entry = catalog.get(ids[0])
    assert entry
    assert entry.path.read_bytes() == deleted
    assert reindex(folder).found == 5


def age(folder: Path, days: float) -> None:
    """Make what is in the trash older, by the folder's own clock."""
    for bundle in trash_folder(folder).iterdir():
        at = bundle.stat().st_mtime - days * 24 * 3600
        os.utime(bundle, (at, at))


def test_after_thirty_days_it_is_gone_for_good(catalog: Catalog, folder: Path) -> None:
    ids = ids_of(catalog)
    move_to_trash(catalog, ids[:1])
    age(folder, TRASH_DAYS - 0.1)
    move_to_trash(catalog, ids[1:2])
    assert len(trashed_pictures(catalog)) == 2
    (old,) = (one for one in trashed_pictures(catalog) if one.id == ids[0])
    os.utime(old.path.parent, (0, old.path.parent.stat().st_mtime - 10_000))
    catalog.close()  # the next opening sweeps
    assert [one.id for one in trashed_pictures(catalog)] == ids[1:2]
    assert not old.path.exists()
    assert not old.path.parent.exists()
    assert restore_from_trash(catalog, ids) == ids[1:2]
    assert len(ids_of(catalog)) == 2


def test_a_clock_of_the_catalog_that_is_wrong_sweeps_nothing(
    catalog: Catalog, folder: Path
) -> None:
    class Later:
        def now(self) -> datetime.datetime:
            return datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=400)

    ids = ids_of(catalog)
    catalog.clock = Later()  # type: ignore[assignment]
    move_to_trash(catalog, ids[:1])
    move_to_trash(catalog, ids[1:2])
    catalog.close()
    assert len(trashed_pictures(catalog)) == 2


def test_one_whose_file_is_gone_from_the_trash_is_refused_in_one_line(
    catalog: Catalog, folder: Path
) -> None:
    ids = ids_of(catalog)
    move_to_trash(catalog, ids[:2])
    trashed_pictures(catalog, ids[:1])[0].path.unlink()
    with pytest.raises(StorageError, match="cannot be restored: its file is gone"):
        restore_from_trash(catalog, ids[:2])
    assert restore_from_trash(catalog, ids[1:2]) == ids[1:2]


def test_images_that_it_was_drawn_from_stay(catalog: Catalog, folder: Path) -> None:
    (folder / "inputs").mkdir()
    start = folder / "inputs" / f"{'0' * 64}.png"
    start.write_bytes(b"an image")
    move_to_trash(catalog, ids_of(catalog))
    assert start.read_bytes() == b"an image"


class TestInterrupted:
    """A process dies between two steps: the next opening finishes what was committed."""

    @pytest.mark.parametrize("act", ["delete", "restore"])
    @pytest.mark.parametrize("at", range(12))
    def test_the_picture_is_whole_or_in_the_trash(
        self, act: str, at: int, catalog: Catalog, folder: Path, monkeypatch: Any
    ) -> None:
        ids, before = ids_of(catalog)[:2], contents(folder)
        every = ids_of(catalog)
        if act == "restore":
            move_to_trash(catalog, ids)
        work = move_to_trash if act == "delete" else restore_from_trash
        with pytest.MonkeyPatch.context() as patch:
            died = die_at(patch, at)
            with suppress(Died):
                work(catalog, ids)
        catalog.close()
        trashed = {one.id for one in trashed_pictures(catalog)}
        here = {*ids_of(catalog)}
        assert trashed in (set(), {*ids})
        assert here == {*every} - trashed
        if not died:
            assert trashed == ({*ids} if act == "delete" else set())
        shown = contents(folder)
        assert shown == {name: before[name] for name in shown}
        assert len(shown) == 2 * len(here)
        report = reindex(folder)
        assert (report.found, report.added, report.removed) == (len(here), 0, 0)
        for one in trashed_pictures(catalog):
            assert one.path.read_bytes() == before[one.name]
        restore_from_trash(catalog, ids)
        assert contents(folder) == before
        assert ids_of(catalog) == every

    def test_a_lost_row_is_not_entered_again_while_its_files_leave(
        self, catalog: Catalog, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Another process opens the catalog just then: the lock is not free."""
        ids = ids_of(catalog)
        replace = os.replace

        def look_and_replace(source: Any, target: Any) -> None:
            with closing(Catalog(folder)) as other:
                found.append(other.counts()["total"])
            replace(source, target)

        found: list[int] = []
        monkeypatch.setattr(trash_moves.os, "replace", look_and_replace)
        move_to_trash(catalog, ids[:1])
        restore_from_trash(catalog, ids[:1])
        assert set(found) == {2}
        monkeypatch.undo()
        assert catalog.counts()["total"] == 3


class Died(BaseException):
    """The process is gone."""


def die_at(patch: pytest.MonkeyPatch, step: int) -> list[int]:
    """Die at the `step`th change of files, or commit, from now on; the result tells it."""
    left, died = [step], []

    def counted(work: Callable[..., Any]) -> Callable[..., Any]:
        def count(*args: Any, **kwargs: Any) -> Any:
            if left[0] == 0:
                died.append(step)
                raise Died
            left[0] -= 1
            return work(*args, **kwargs)

        return count

    for name in ("replace", "link"):
        patch.setattr(os, name, counted(getattr(os, name)))
    patch.setattr(Path, "unlink", counted(Path.unlink))
    patch.setattr(trash_moves, "flush_folder", counted(trash_moves.flush_folder))
    patch.setattr(trash_moves, "_enter_returned", counted(trash_moves._enter_returned))
    return died


@dataclass
class DrawnTwice:
    """A picture that is kept, and the record of the same one, drawn by another program."""

    catalog: Catalog
    first: Picture
    other: Record
    save_again: Callable[[], Picture]


@pytest.fixture
def twice(
    folder: Path, make_record: Callable[..., Record], make_image: Callable[..., Any]
) -> Iterator[DrawnTwice]:
    with closing(Catalog(folder)) as catalog:
        output = OutputFolder(PictureFiles(folder), catalog)
        record = make_record(seed=5, created_at=datetime.datetime(2026, 5, 11, 12).astimezone())
        first = _save_foreign(make_image, record, output)
        assert first.record.id == record.id
        other = record.model_copy(update={"id": make_record().id})
        yield DrawnTwice(catalog, first, other, partial(_save_foreign, make_image, other, output))


class TestMeanwhile:
    """Others who look at, send, tag or draw the picture that is deleted."""

    def test_a_sender_does_not_bring_it_back(self, catalog: Catalog, folder: Path) -> None:
        ids = ids_of(catalog)
        with Outbox(catalog).lease() as lease:
            (entry,) = lease.claim(ids[:1])
            move_to_trash(catalog, ids[:1])
            assert lease.was_deleted(entry)
            owner = entry.record.id
            with pytest.raises(PictureDeletedError, match="was deleted meanwhile"):
                lease.assign(entry, owner, "x/2026-05-11/a-boat-0.png")
            with pytest.raises(PictureDeletedError):
                lease.change_id(entry, owner)
            lease.acknowledge([entry])
        assert ids_of(catalog) == ids[1:]
        assert len(names_in(folder)) == 4

    def test_what_a_sender_holds_is_removed_from_the_cloud_after_it(self, catalog: Catalog) -> None:
        ids = ids_of(catalog)
        with Outbox(catalog).lease() as sender:
            (entry,) = sender.claim(ids[:1])
            sender.assign(entry, entry.record.id, "x/2026-05-11/a-boat-0.png")
            move_to_trash(catalog, ids[:1])
            with Outbox(catalog).lease() as remover:
                assert remover.claim_removals(refused_too=True) == []
        with Outbox(catalog).lease() as remover:
            (one,) = remover.claim_removals(refused_too=True)
            assert one.storage_path == "x/2026-05-11/a-boat-0.png"

    def test_restored_while_the_cloud_removes_it_is_sent_after_that(self, catalog: Catalog) -> None:
        ids = ids_of(catalog)
        (entry,) = catalog.get_many(ids[:1])
        catalog.amend(entry, owner_user_id=OWNER)
        move_to_trash(catalog, ids[:1])
        with Outbox(catalog).lease() as remover, Outbox(catalog).lease() as sender:
            assert len(remover.claim_removals(refused_too=True)) == 1
            restore_from_trash(catalog, ids[:1])
            assert load_removals(catalog) == []
            assert sender.claim(ids[:1]) == []
        with Outbox(catalog).lease() as sender:
            assert len(sender.claim(ids[:1])) == 1
            assert sender.claim_removals(refused_too=True) == []

    def test_a_removal_begins_when_it_is_due(self, catalog: Catalog) -> None:
        ids = ids_of(catalog)
        for entry in catalog.get_many(ids):
            catalog.amend(entry, owner_user_id=OWNER)
        move_to_trash(catalog, ids[:1], cloud_after=600)
        move_to_trash(catalog, ids[1:2])
        with Outbox(catalog).lease() as remover:
            assert [one.id for one in remover.claim_removals(refused_too=False)] == ids[1:2]
            remover.refuse_removals(ids[1:2], "no right")
        with Outbox(catalog).lease() as remover:
            assert remover.claim_removals(refused_too=False) == []
            assert [one.error for one in remover.claim_removals(refused_too=True)] == ["no right"]
            remover.finish_removals(ids[1:2])
        assert [one.id for one in load_removals(catalog)] == ids[:1]
        restore_from_trash(catalog, ids[:1])
        assert load_removals(catalog) == []

    def test_the_same_picture_drawn_by_another_is_kept_anew(
        self, twice: DrawnTwice, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It was found to be there already, and then it was deleted."""
        catalog, first = twice.catalog, twice.first
        again = catalog.add_again

        def delete_first(*args: Any) -> Any:
            monkeypatch.undo()
            assert move_to_trash(catalog, [str(first.record.id)])
            first.sidecar_path.write_text(first.record.to_sidecar())  # as `_reuse` may
            return again(*args)

        monkeypatch.setattr(catalog, "add_again", delete_first)
        second = twice.save_again()
        assert second.path == first.path
        assert [str(second.record.id)] == ids_of(catalog)
        assert len(names_in(folder)) == 2
        assert restore_from_trash(catalog, [str(first.record.id)])
        assert len(ids_of(catalog)) == 2

    def test_what_a_dead_process_was_deleting_is_not_taken_for_the_same_picture(
        self, twice: DrawnTwice
    ) -> None:
        """The catalog is open already, so that nobody has finished it yet."""
        catalog, first = twice.catalog, twice.first
        with pytest.MonkeyPatch.context() as patch:
            die_at(patch, 0)
            with pytest.raises(Died):
                move_to_trash(catalog, [str(first.record.id)])
        assert first.path.exists()
        second = twice.save_again()
        assert second.record.id == twice.other.id
        catalog.close()
        assert ids_of(catalog) == [str(twice.other.id)]
        assert second.path.exists()
        assert [one.id for one in trashed_pictures(catalog)] == [str(first.record.id)]

    def test_two_processes_delete_the_same(self, catalog: Catalog, folder: Path) -> None:
        render(folder, 30, first=10)
        ids = ids_of(catalog)
        context = multiprocessing.get_context("spawn")
        with context.Pool(2) as pool:
            counts = pool.starmap(_delete_each, [(folder, ids), (folder, ids[::-1])])
        assert sum(counts) == len(ids)
        assert ids_of(catalog) == []
        assert names_in(folder) == []
        assert len(restore_from_trash(catalog, ids)) == len(ids)
        assert ids_of(catalog) == ids


def _delete_each(folder: Path, ids: list[str]) -> int:
    with closing(Catalog(folder)) as catalog:
        return sum(len(move_to_trash(catalog, [id])) for id in ids)


def test_a_damaged_catalog_leaves_the_trash(catalog: Catalog, folder: Path) -> None:
    ids = ids_of(catalog)
    (entry,) = catalog.get_many(ids[:1])
    catalog.amend(entry, owner_user_id=OWNER)
    move_to_trash(catalog, ids[:1])
    catalog.close()
    data = bytearray(catalog.path.read_bytes())
    with closing(Catalog(folder)) as whole, whole.connection() as connection:
        page = connection.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'images'"
        ).fetchone()[0]
    start = (page - 1) * 4096
    data[start : start + 4096] = bytes(4096)
    catalog.path.write_bytes(data)
    assert reindex(folder).found == 2
    assert [one.id for one in load_removals(catalog)] == ids[:1]
    assert restore_from_trash(catalog, ids[:1]) == ids[:1]


def test_a_folder_that_cannot_be_written_to_is_left_as_it_is(
    catalog: Catalog, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids, before = ids_of(catalog), contents(folder)
    monkeypatch.setattr("imagen_nb.storage.trash.os.access", lambda path, mode: False)
    with pytest.raises(StorageError, match="it is read-only"):
        move_to_trash(catalog, ids)
    assert contents(folder) == before
    assert ids_of(catalog) == ids


@pytest.mark.parametrize("state", ["going", "returning", "kept"])
def test_a_crafted_catalog_moves_no_file_of_another_folder(
    state: str, catalog: Catalog, folder: Path
) -> None:
    precious = folder.parent / "precious.png"
    precious.write_bytes(b"precious")
    sneaking = [
        ("1", "0123456789abcdef", "x.png", "../precious.png"),
        ("2", "..", "x.png", "x.png"),
        ("3", "../../..", "precious.png", "stolen.png"),
        ("4", "0123456789abcdef", "../../../../precious.png", "stolen.png"),
        ("5", str(folder.parent), "precious.png", "stolen.png"),
    ]
    with catalog.connection() as connection:
        connection.executemany(
            "INSERT INTO trash (id, bundle, name, target, state, deleted_at)"
            f" VALUES (?, ?, ?, ?, '{state}', 'the day before')",
            sneaking,
        )
    catalog.close()
    before = contents(folder)
    assert catalog.counts()["total"] == 3
    for id, *_ in sneaking:
        with suppress(StorageError):
            restore_from_trash(catalog, [id])
    assert move_to_trash(catalog, ids_of(catalog)[:1])
    assert reindex(folder).found == 2
    assert precious.read_bytes() == b"precious"
    assert {*contents(folder)} < {*before}
