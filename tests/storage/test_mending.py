"""What a catalog lost and the files still tell is there again when it is opened."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from PIL import Image

from imagen_nb.storage import mending, output, tags
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.output import PictureFiles, SavedPicture, load_record
from imagen_nb.storage.record import Record
from imagen_nb.storage.reindex import reindex
from imagen_nb.storage.tags import (
    apply_tag_change,
    load_queued_tags,
    make_tag_change,
    merge_cloud_tags,
    remove_sent_tags,
)
from imagen_nb.studio.studio import Studio
from tests.conftest import DAY
from tests.fixtures.pictures import render

SEA = make_tag_change(["sea"])


@pytest.fixture
def catalog(folder: Path) -> Iterator[Catalog]:
    with closing(Catalog(folder)) as catalog:
        yield catalog


def ids(folder: Path) -> list[str]:
    with closing(Catalog(folder)) as catalog:
        return [str(entry.record.id) for entry in catalog.latest(100)]


def forget(folder: Path, condition: str = "true") -> None:
    """Remove rows as a power cut does that takes the end of the write-ahead log."""
    with closing(sqlite3.connect(folder / ".imagen/catalog.sqlite3")) as connection:
        connection.execute(f"DELETE FROM images WHERE {condition}")
        connection.execute("DELETE FROM marks")
        connection.commit()


class TestRows:
    def test_lost_ones_are_entered(self, folder: Path) -> None:
        render(folder, 3)
        before = ids(folder)
        forget(folder, "seed > 0")
        assert ids(folder) == before

    def test_a_catalog_that_is_gone_is_made_anew(self, folder: Path) -> None:
        render(folder, 3)
        before = ids(folder)
        shutil.rmtree(folder / ".imagen")
        assert ids(folder) == before

    def test_pictures_without_cloud_stay_so(self, folder: Path, catalog: Catalog) -> None:
        render(folder, 1)
        entry = catalog.amend(catalog.latest(1)[0], cloud=False)
        catalog.close()
        forget(folder)
        assert catalog.counts()["off"] == 1
        assert ids(folder) == [str(entry.record.id)]

    def test_very_many_are_left_to_reindex_and_said(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(mending, "_MAX_ENTERED", 2)
        render(folder, 3)
        forget(folder)
        assert ids(folder) == []
        assert "3 pictures" in (said := capsys.readouterr().err)
        assert "imagen reindex" in said
        assert reindex(folder).added == 3

    def test_a_folder_that_did_not_change_is_not_listed(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        render(folder, 2)
        os.utime(folder, (1e9, 1e9))
        ids(folder)
        monkeypatch.setattr(mending, "_missing_names", None)  # would raise
        assert len(ids(folder)) == 2

    @pytest.mark.posix
    def test_what_is_no_picture_of_ours_is_passed_by(self, folder: Path) -> None:
        render(folder, 1)
        os.mkfifo(folder / "pipe.png")
        os.mkfifo(folder / "pipe.png.json")
        for name in (b"\xff.png", b"\xff.png.json"):
            Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(b"x")
        (folder / "torn.png").write_bytes(b"x")
        (folder / "torn.png.json").write_bytes(b"{")
        forget(folder)
        assert len(ids(folder)) == 1


class TestReindex:
    @pytest.mark.posix
    def test_pipes_and_names_that_are_not_utf8_are_skipped_and_named(self, folder: Path) -> None:
        render(folder, 1)
        os.mkfifo(folder / "pipe.png")
        strange = os.fsdecode(os.fsencode(folder) + b"/\xff.png")
        Path(strange).write_bytes(b"x")
        report = reindex(folder)
        assert report.found == 1
        assert set(report.skipped) == {folder / "pipe.png", Path(strange)}

    def test_pictures_of_other_programs_are_named_and_sheets_are_not(self, folder: Path) -> None:
        render(folder, 1)
        (path,) = folder.glob("*.png")
        Image.new("RGB", (8, 8)).save(folder / "theirs.png")
        output.save_sheet(path, (folder / "theirs.png").read_bytes())
        assert reindex(folder).foreign == (folder / "theirs.png",)

    def test_a_damaged_catalog_s_queues_are_saved(self, folder: Path, catalog: Catalog) -> None:
        elsewhere = "00000000-0000-4000-8000-000000000001"
        render(folder, 200)
        tags.queue_tag_change(catalog, [elsewhere], SEA)
        catalog.close()
        with closing(sqlite3.connect(catalog.path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            (root,) = connection.execute(
                "SELECT rootpage FROM sqlite_schema WHERE name = 'images'"
            ).fetchone()
        with catalog.path.open("r+b") as file:
            file.seek(4096 * (root - 1))
            file.write(b"\xff" * 4096)
        assert reindex(folder).found == 200
        assert [*load_queued_tags(catalog)] == [elsewhere]


class TestTags:
    """Issue 17: tags were lost by a rebuilt catalog, beside a reindex, by stale rows."""

    def test_unsent_ones_are_queued_again_by_a_catalog_made_anew(
        self, folder: Path, catalog: Catalog
    ) -> None:
        render(folder, 1)
        (id,) = ids(folder)
        apply_tag_change(catalog, [id], SEA)
        before = load_queued_tags(catalog)
        assert before[id]
        catalog.close()
        for rebuild in (lambda: None, lambda: reindex(folder)):
            shutil.rmtree(folder / ".imagen")
            rebuild()
            assert load_queued_tags(catalog) == before
            catalog.close()

    def test_sent_ones_are_not(self, folder: Path, catalog: Catalog) -> None:
        render(folder, 1)
        (id,) = ids(folder)
        apply_tag_change(catalog, [id], SEA)
        sent = load_queued_tags(catalog)
        apply_tag_change(catalog, [id], make_tag_change(["storm"]))  # meanwhile
        merge_cloud_tags(catalog, {id: ("sea", "theirs")}, sent)
        remove_sent_tags(catalog, [(id, mark) for mark in sent[id]])
        catalog.close()
        shutil.rmtree(folder / ".imagen")
        reindex(folder)
        assert [mark.tag for mark in load_queued_tags(catalog)[id]] == ["storm"]
        assert catalog.latest(1)[0].record.tags == ("sea", "storm", "theirs")

    def test_the_sidecar_decides_where_the_row_is_stale(
        self, folder: Path, catalog: Catalog
    ) -> None:
        render(folder, 1)
        (entry,) = catalog.latest(1)
        edited = entry.record.model_copy(update={"tags": ("by hand",)})
        entry.sidecar_path.write_text(edited.to_sidecar())
        apply_tag_change(catalog, [str(entry.record.id)], SEA)
        assert load_record(entry.path).tags == ("by hand", "sea")
        assert catalog.latest(1)[0].record.tags == ("by hand", "sea")
        catalog.amend(entry, cloud=False)
        assert load_record(entry.path).tags == ("by hand", "sea")

    def test_those_set_while_a_reindex_runs_stay(
        self, folder: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The sidecar is read, then tagged by another, then its row is written."""
        render(folder, 1)
        (id,) = ids(folder)
        read = Record.from_sidecar
        taggers: list[threading.Thread] = []

        def tagged_after_reading(text: str) -> Record:
            record = read(text)
            if not taggers:
                taggers.append(threading.Thread(target=apply_tag_change, args=(other, [id], SEA)))
                taggers[0].start()
                taggers[0].join(0.3)
            return record

        with closing(Catalog(folder)) as other:
            other.counts()
            monkeypatch.setattr(Record, "from_sidecar", tagged_after_reading)
            reindex(folder)
            taggers[0].join()
        assert catalog.latest(1)[0].record.tags == ("sea",)

    def test_those_set_while_the_picture_is_drawn_again_stay(
        self,
        folder: Path,
        make_record: Callable[..., Record],
        make_image: Callable[..., Image.Image],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def keep() -> None:
            (writing,) = studio.keep_drawn([(make_image, make_record())])
            assert writing.result().record.tags == ("sea",) * tagging

        with Studio({"output": {"dir": str(folder)}}, background=False) as studio:
            tagging = False
            keep()
            tagging = True
            find = PictureFiles._find_same

            def tagged_after_reading(*arguments: object) -> tuple[int, SavedPicture | None]:
                found = find(*arguments)  # type: ignore[arg-type]
                apply_tag_change(studio.catalog(), ids(folder), SEA)
                return found

            monkeypatch.setattr(PictureFiles, "_find_same", tagged_after_reading)
            keep()
            assert studio.history(source="local")["tags"].tolist() == [["sea"]]


def test_a_picture_that_another_entered_meanwhile_keeps_its_tags(
    folder: Path, catalog: Catalog, make_record: Callable[..., Record]
) -> None:
    """A reindex enters it between its sidecar and its row, and somebody tags it."""
    saved = PictureFiles(folder).save(Image.new("RGB", (32, 16)), make_record(), DAY)
    reindex(folder)
    apply_tag_change(catalog, [str(saved.record.id)], SEA)
    catalog.add(saved, "pending")
    assert catalog.latest(1)[0].record.tags == ("sea",)
