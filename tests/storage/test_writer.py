"""The thread that keeps pictures: all that it has taken, and nothing after its end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from imagen_nb.errors import Cancelled
from imagen_nb.storage.folders import OutputFolders
from imagen_nb.storage.record import Record, new_id
from imagen_nb.storage.writer import MAX_UNWRITTEN_PICTURES, Writer

Make = Callable[..., Record]
Draw = Callable[..., Image.Image]


def test_what_was_taken_is_kept_before_it_is_closed(
    folder: Path, make_record: Make, make_image: Draw
) -> None:
    folders, writer, heard = OutputFolders(folder), Writer(), []
    drawn = [(lambda: make_image(1), make_record(seed=seed)) for seed in range(3)]
    written = writer.keep_drawn(drawn, folders.folder(), {}, lambda _, ids: heard.append(ids))
    writer.close()
    assert [one.result().path.exists() for one in written] == [True] * 3
    assert heard == [[one.result().record.id for one in written]]
    folders.close()


def test_after_its_end_it_takes_nothing(folder: Path, make_record: Make, make_image: Draw) -> None:
    folders, writer = OutputFolders(folder), Writer()
    writer.close()
    with pytest.raises(Cancelled, match="the session was closed"):
        writer.keep_drawn([(lambda: make_image(1), make_record())], folders.folder(), {}, print)
    assert not [*folder.glob("*.png")]


def test_whoever_draws_faster_than_it_writes_is_slowed_to_its_pace(
    folder: Path, make_record: Make, make_image: Draw
) -> None:
    folders, writer, go = OutputFolders(folder), Writer(), threading.Event()

    def slow() -> Image.Image:
        go.wait(30)
        return make_image(1)

    def adopt(count: int) -> None:
        records = [(slow, make_record(seed=seed)) for seed in range(count)]
        writer.keep_drawn(records, folders.folder(), {}, lambda *_: None)

    adopt(MAX_UNWRITTEN_PICTURES)  # at once
    another = threading.Thread(target=adopt, args=(1,))
    another.start()
    another.join(0.1)
    assert another.is_alive()
    go.set()
    another.join(30)
    writer.close()
    folders.close()


def test_a_picture_for_a_job_has_its_id_even_beside_the_same_picture(
    folder: Path, make_record: Make, make_image: Draw
) -> None:
    folders, writer = OutputFolders(folder), Writer()
    home, job, image = folders.folder(), new_id(), make_image(1)
    common = {"cloud": False}
    records = [make_record(), make_record().model_copy(update={"id": job, "job": job})]
    kept = [
        one.result().record.id
        for one in writer.keep_drawn(
            [(lambda: image, record) for record in [*records, records[1], make_record()]],
            home,
            common,
            lambda *_: None,
        )
    ]
    writer.close()
    assert kept == [records[0].id, job, job, records[0].id]
    folders.close()
