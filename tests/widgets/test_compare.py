"""The comparison's Python side: two pictures in any form, and what differs between them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import imagen_nb as im
from imagen_nb.errors import UsageError
from tests.fixtures.views import View


@pytest.fixture
def pictures(tmp_path: Path) -> Iterator[im.Pictures]:
    studio = im.configure(backend="flux-tiny-local", output={"dir": str(tmp_path)}, steps=1)
    one = studio.generate("a red boat", seed=1, progress=False)
    other = studio.generate("a red boat <b>", seed=1, width=64, height=96, progress=False)
    yield im.Pictures([one, other])
    studio.close()


@pytest.mark.slow
def test_pictures_are_taken_in_any_form_that_reproduce_takes(pictures: im.Pictures) -> None:
    one, other = pictures
    frame = im.history()
    row = frame[frame["id"] == str(one.record.id)].iloc[0]
    for a in (one, one.record, str(one.record.id), str(one.record.id)[:8], one.path, row):
        compare = im.Compare(a, other)
        told, files = View(compare).ask("open", "compared")
        compare.close()
        assert files == [one.path.read_bytes(), other.path.read_bytes()]
        assert told["prompts"] == ["a red boat", "a red boat <b>"]
        assert told["rows"] == [
            ["prompt", "a red boat", "a red boat <b>"],
            ["width", "128", "64"],
            ["height", "128", "96"],
        ]


@pytest.mark.slow
def test_how_a_machine_shared_the_work_is_no_setting_that_differs(pictures: im.Pictures) -> None:
    records = [
        picture.record.model_copy(update={"threads": 1 + index, "batch_index": index})
        for index, picture in enumerate(pictures)
    ]
    compare = im.Compare(*records)
    told, _ = View(compare).ask("open", "compared")
    compare.close()
    assert {"threads", "batch_index"} & {row[0] for row in told["rows"]} == set()


@pytest.mark.slow
def test_the_same_picture_twice_differs_in_nothing(pictures: im.Pictures) -> None:
    compare = im.Compare(pictures[0], pictures[0])
    assert View(compare).ask("open", "compared")[0]["rows"] == []
    compare.close()


@pytest.mark.slow
def test_a_picture_that_is_gone_is_one_line_in_the_widget(pictures: im.Pictures) -> None:
    compare = im.Compare(*pictures)
    pictures[1].path.unlink()
    assert compare._repr_html_().count("data:image/webp") == 1
    assert "not on this machine" in View(compare).ask("open", "trouble")[0]["text"]
    compare.close()


@pytest.mark.slow
def test_what_is_no_picture_is_refused_at_once(pictures: im.Pictures) -> None:
    with pytest.raises(UsageError):
        im.Compare(pictures[0], "00000000")


@pytest.mark.slow
def test_a_saved_notebook_keeps_two_thumbnails(pictures: im.Pictures) -> None:
    compare = im.Compare(*pictures)
    page = compare._repr_html_()
    assert page.count("data:image/webp") == 2
    assert "a red boat &lt;b&gt;" in page
    assert len(page) < 40_000
    compare.close()


@pytest.mark.slow
def test_nine_are_compared_and_not_one_more(pictures: im.Pictures) -> None:
    compare = im.Compare(*pictures, *[pictures[0]] * 7)
    told, files = View(compare).ask("open", "compared")
    compare.close()
    assert len(files) == len(told["prompts"]) == 9
    assert told["rows"][1] == ["width", "128", "64", *["128"] * 7]
    with pytest.raises(UsageError, match="expected two to 9 pictures to compare, not 10"):
        im.Compare(*[pictures[0]] * 10)
