"""A forked child keeps pictures with what it inherits; its parent's writing is the parent's."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest
from PIL import Image

from imagen_nb.config.groups import ProvenanceSettings
from imagen_nb.storage.credentials import PictureSigner
from imagen_nb.storage.folders import OutputFolders
from imagen_nb.storage.output import PictureFiles, load_record
from imagen_nb.storage.picture import Picture
from imagen_nb.storage.record import Record
from imagen_nb.storage.verification import verify_picture
from imagen_nb.storage.writer import Writer
from imagen_nb.studio.studio import Studio
from tests.fixtures.forks import LIMIT_S, Halt, assert_child_ends_well, forks

Make = Callable[..., Record]
Draw = Callable[..., Image.Image]
Adopt = Callable[..., list[Picture]]
DAY = date(2026, 5, 11)

pytestmark = forks


@pytest.fixture
def folders(folder: Path) -> Iterator[OutputFolders]:
    with closing(OutputFolders(folder)) as folders:
        yield folders


@pytest.fixture
def writer() -> Iterator[Writer]:
    with closing(Writer()) as writer:
        yield writer


@pytest.fixture
def adopt(folders: OutputFolders, writer: Writer, make_record: Make, make_image: Draw) -> Adopt:
    """Has the writer keep a picture of this seed, and waits for it."""

    def adopt_one(seed: int) -> list[Picture]:
        drawn = [(lambda: make_image(seed), make_record(seed=seed))]
        return [
            one.result() for one in writer.keep_drawn(drawn, folders.folder(), {}, lambda *_: None)
        ]

    return adopt_one


def seeds(folders: OutputFolders) -> list[int | None]:
    return sorted(entry.record.seed or 0 for entry in folders.folder().catalog.latest(9))


def test_a_child_keeps_pictures_with_the_same_writer(
    folders: OutputFolders, writer: Writer, adopt: Adopt
) -> None:
    adopt(1)

    def work() -> None:
        adopt(2)
        writer.close()

    assert_child_ends_well(work)
    assert seeds(folders) == [1, 2]


def test_the_parent_keeps_on_writing_after_a_fork(folders: OutputFolders, adopt: Adopt) -> None:
    adopt(1)
    assert_child_ends_well(lambda: None)
    adopt(2)
    assert seeds(folders) == [1, 2]


def test_a_child_does_not_wait_for_what_its_parent_writes(
    folders: OutputFolders, writer: Writer, adopt: Adopt, make_record: Make, make_image: Draw
) -> None:
    go = threading.Event()

    def slow() -> Image.Image:
        go.wait(2 * LIMIT_S)
        return make_image(1)

    written = writer.keep_drawn(
        [(slow, make_record(seed=1))], folders.folder(), {}, lambda *_: None
    )

    def work() -> None:
        writer.wait()
        adopt(2)
        writer.close()

    assert_child_ends_well(work)
    go.set()
    assert written[0].result().path.exists()
    assert seeds(folders) == [1, 2]


def test_a_child_is_not_locked_out_of_a_folder_that_its_parent_was_using(
    folder: Path, make_record: Make, make_image: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parent's thread reads a namesake, and has locked the names, as the child is made."""
    record = make_record()
    PictureFiles(folder).save(make_image(1), record, DAY)
    files, halt = PictureFiles(folder), Halt()

    def slow(path: Path | str) -> Record:
        halt.stay()
        return load_record(path)

    monkeypatch.setattr("imagen_nb.storage.output.load_record", slow)

    def work() -> None:
        monkeypatch.undo()
        assert files.save(make_image(1), record, DAY).reused

    with halt.reached_by(lambda: files.save(make_image(2), record, DAY)):
        assert_child_ends_well(work)


def test_a_child_signs_as_its_parent_did_and_does(
    folder: Path, make_record: Make, make_image: Draw, signing: ProvenanceSettings
) -> None:
    files = PictureFiles(folder, PictureSigner(signing))

    def keep(seed: int) -> None:
        saved = files.save(make_image(seed), make_record(seed=seed), DAY)
        assert str(verify_picture(saved.path).checks[0]).startswith("content credentials: good")

    keep(1)
    assert_child_ends_well(lambda: keep(2))
    keep(3)


def test_a_child_goes_on_with_the_same_studio(
    folder: Path, make_record: Make, make_image: Draw
) -> None:
    with Studio({"output": {"dir": str(folder)}}, background=False) as studio:

        def keep(seed: int) -> None:
            (written,) = studio.keep_drawn([(lambda: make_image(seed), make_record(seed=seed))])
            assert written.result().path.exists()

        def work() -> None:
            keep(2)
            assert len(studio.history(source="local")) == 2
            studio.close()

        keep(1)
        assert_child_ends_well(work)
        assert set(studio.history(source="local")["seed"]) == {1, 2}
