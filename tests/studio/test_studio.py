"""Studio: request to kept picture, with the embedded FLUX and real files."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import imagen_nb as im
from imagen_nb.backends import Step
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.output import load_record


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("studio")
    settings = {"backend": "flux-tiny-local", "output": {"dir": str(folder)}, "steps": 2}
    with im.Studio(settings) as studio:
        yield studio


def test_a_picture_is_kept_with_sidecar_and_catalog_row_before_generate_returns(studio) -> None:
    picture = studio.generate("a red boat", seed=3, tags=["try"])
    sidecar = json.loads(picture.sidecar_path.read_text())
    entry = studio.catalog().get(picture.record.id)
    assert picture.image.size == (128, 128)
    assert sidecar["seed"] == 3
    assert sidecar["sha256"] == picture.record.sha256
    assert entry is not None
    assert entry.path == picture.path
    assert entry.record.tags == ("try",)


def test_the_same_request_again_is_the_same_file(studio) -> None:
    first, again = (studio.generate("a blue house", seed=5) for _ in range(2))
    assert again.path == first.path
    assert again.record.id == first.record.id


def test_the_same_request_with_other_tags_gathers_them(studio) -> None:
    studio.generate("a pink house", seed=5, tags=["first"], cloud=False)
    again = studio.generate("a pink house", seed=5, tags=["second"])
    assert load_record(again.path).tags == ("first", "second")
    assert studio.catalog().get(again.record.id).record.tags == ("first", "second")
    assert again.cloud == "off"


def test_other_steps_never_overwrite(studio) -> None:
    first = studio.generate("a green tree", seed=5)
    before = first.path.read_bytes()
    second = studio.generate("a green tree", seed=5, steps=3)
    assert second.path.name == first.path.name.replace(".png", "-2.png")
    assert first.path.read_bytes() == before


def test_a_sweep_draws_every_combination_in_order(studio) -> None:
    pictures = studio.sweep("a {red|blue} star", seeds=[1, 2], steps=[1, 2])
    said = [(p.record.prompt, p.record.steps, p.record.seed) for p in pictures]
    assert said == [
        (f"a {colour} star", steps, seed)
        for colour in ("red", "blue")
        for steps in (1, 2)
        for seed in (1, 2)
    ]
    assert [axis.name for axis in pictures.axes] == ["prompt", "steps", "seed"]
    assert all(picture.path.exists() for picture in pictures)


def test_a_sweep_says_that_a_number_for_seeds_is_one_seed(
    studio, capsys: pytest.CaptureFixture[str]
) -> None:
    (picture,) = studio.sweep("a comet", seeds=3, progress=False)
    assert picture.record.seed == 3
    assert "write seeds=[3] or seeds=range(3)" in capsys.readouterr().err
    studio.sweep("a comet", seeds=[3], progress=False)
    assert "seeds=" not in capsys.readouterr().err


def test_generate_says_that_braces_are_for_a_sweep(
    studio, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = studio.generate("a {red|blue} comet", steps=1, progress=False)
    assert picture.record.prompt == "a {red|blue} comet"
    assert "{red|blue} is drawn as it is written: did you mean sweep" in capsys.readouterr().err
    studio.generate("a {red} comet", steps=1, progress=False)
    assert capsys.readouterr().err == ""


def test_a_sweep_comes_back_as_a_frame(studio) -> None:
    frame = studio.sweep("a moon", seeds=[2**53 - 1, 1]).frame()
    assert frame["seed"].tolist() == [2**53 - 1, 1]
    assert str(frame["seed"].dtype) == "Int64"
    assert str(frame["created_at"].dtype) == "datetime64[us, UTC]"
    assert all(Path(path).exists() for path in frame["local_path"])


def test_cancel_stops_between_steps_and_leaves_no_files(studio, tmp_path: Path) -> None:
    def stop(step: Step) -> None:
        studio.cancel()

    with pytest.raises(im.Cancelled):
        studio.generate("a cat", seed=1, steps=4, output=tmp_path, progress=stop)
    assert [path.name for path in tmp_path.iterdir()] in ([], [".imagen"])
    assert studio.generate("a cat", seed=1, output=tmp_path).path.exists()


def test_cancel_reaches_a_call_that_has_not_begun_to_draw(studio, tmp_path: Path) -> None:
    def tags() -> Iterator[str]:
        studio.cancel()
        yield "early"

    with pytest.raises(im.Cancelled):
        studio.generate("a cat", seed=1, tags=tags(), output=tmp_path)
    assert not [*tmp_path.glob("*.png")]


def test_cancel_reaches_every_thread_that_draws(studio, tmp_path: Path) -> None:
    drawing, go_on = threading.Event(), threading.Event()
    called = {seed: threading.Event() for seed in (1, 2)}
    ends: list[str] = []

    def wait(step: Step) -> None:
        drawing.set()
        go_on.wait(30)

    def tags(seed: int) -> Iterator[str]:
        called[seed].set()  # the call reads its arguments, so it has begun
        yield "cat"

    def draw(seed: int) -> None:
        try:
            studio.generate(
                "a cat", seed=seed, steps=4, tags=tags(seed), output=tmp_path, progress=wait
            )
        except im.Cancelled:
            ends.append("cancelled")

    threads = [threading.Thread(target=draw, args=(seed,)) for seed in called]
    threads[0].start()
    assert drawing.wait(30)
    threads[1].start()
    assert called[2].wait(30)
    studio.cancel()
    go_on.set()
    for thread in threads:
        thread.join(30)
    assert ends == ["cancelled"] * 2


def test_what_is_cancelled_does_not_cancel_what_comes_after(studio, tmp_path: Path) -> None:
    studio.cancel()
    assert studio.generate("a cat", seed=1, output=tmp_path).path.exists()


def test_a_named_file_is_that_file(studio, tmp_path: Path) -> None:
    picture = studio.generate("a ring", seed=1, output=tmp_path / "mine.png")
    assert picture.path == tmp_path / "mine.png"
    assert load_record(picture.path).prompt == "a ring"


def test_an_output_that_cannot_be_meant_is_refused_before_drawing(studio, tmp_path: Path) -> None:
    with pytest.raises(im.UsageError, match="pictures are PNG"):
        studio.generate("a ring", output=tmp_path / "mine.jpg")
    with pytest.raises(im.UsageError, match="give a folder"):
        studio.sweep("a ring", seeds=[1, 2], output=tmp_path / "mine.png")
    with pytest.raises(im.UsageError, match="no such home folder"):
        studio.generate("a ring", output="~nouser/x")
    assert not list(tmp_path.iterdir())


def test_auto_says_what_it_chose_once_and_only_when_it_draws(tmp_path: Path, capsys) -> None:
    with im.Studio({"backend": "auto", "output": {"dir": str(tmp_path)}, "steps": 1}) as studio:
        with pytest.raises(im.UsageError, match="steps"):
            studio.generate("a ring", steps=0)
        assert capsys.readouterr().err == ""
        studio.generate("a ring", seed=1)
        assert capsys.readouterr().err.startswith("imagen: drawing with flux-tiny-local")
        studio.generate("a ring", seed=2)
        assert capsys.readouterr().err == ""


def test_another_contact_sheet_of_the_same_name_is_not_overwritten(studio, tmp_path: Path) -> None:
    def sheet(*seeds: int) -> Path:
        return studio.sweep("a cup", seeds=seeds, output=tmp_path).save_contact_sheet()

    first, again, other = sheet(1, 2), sheet(1, 2), sheet(1, 3)
    assert (again, other.name) == (first, f"{first.stem}-2.png")


def test_no_pictures_have_no_contact_sheet() -> None:
    none = im.Pictures([])
    for make in (none.contact_sheet, none.save_contact_sheet):
        with pytest.raises(im.UsageError) as error:
            make()
        assert str(error.value) == "no pictures, so no contact sheet"


def test_cloud_off_marks_the_picture(studio, tmp_path: Path) -> None:
    picture = studio.generate("a fish", seed=1, cloud=False, output=tmp_path)
    assert picture.cloud == "off"
    assert load_record(picture.path).cloud is False
    assert Catalog(tmp_path).counts()["off"] == 1


def test_an_output_below_a_file_is_one_clear_line(studio, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(im.StorageError, match="choose a folder") as error:
        studio.generate("a fish", output=tmp_path / "file" / "folder")
    assert "\n" not in str(error.value)


def test_two_threads_draw_with_one_studio(studio, tmp_path: Path) -> None:
    def draw(seed: int) -> None:
        studio.generate("a bird", seed=seed, output=tmp_path)

    threads = [threading.Thread(target=draw, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(entry.record.seed for entry in studio.catalog(tmp_path).latest(9)) == [0, 1, 2, 3]


def test_a_displayed_picture_is_small_and_escaped(studio) -> None:
    picture = studio.generate("<img src=x onerror=alert(1)> boat", seed=1)
    bundle = picture._repr_mimebundle_()
    assert "<img src=x" not in bundle["text/html"]
    assert "&lt;img src=x onerror=alert(1)&gt;" in bundle["text/html"]
    assert len(bundle["text/html"]) < 12_000
    assert "image/png" not in bundle


def test_pictures_show_as_a_labelled_contact_sheet(studio) -> None:
    pictures = studio.sweep("a heart", seeds=[1, 2, 3], steps=[1, 2])
    sheet = pictures.contact_sheet(cell=64)
    assert sheet.width > 3 * 64
    assert sheet.height > 2 * 64
    assert len(pictures._repr_mimebundle_()["text/html"]) < 100_000


def test_unknown_names_are_refused_with_the_known_ones(studio) -> None:
    with pytest.raises(im.UsageError, match="flux-tiny-local"):
        studio.generate("a boat", backend="flux-tiny")
    with pytest.raises(im.UsageError, match="takes loras, memory, and was given speed"):
        studio.generate("a boat", backend="flux-tiny-local", speed=3)
