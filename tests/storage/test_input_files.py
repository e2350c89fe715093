"""Images that pictures were drawn from are kept beside them, named in records, and found again."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

from imagen_nb.errors import BackendError, StorageError, UsageError
from imagen_nb.request.images import load_input
from imagen_nb.storage.input_files import recorded_inputs, save_inputs
from imagen_nb.storage.output import load_record
from imagen_nb.storage.picture import Picture
from imagen_nb.storage.record import Record
from imagen_nb.storage.reindex import reindex
from imagen_nb.studio.studio import Studio

FAST: dict[str, Any] = {"progress": False, "steps": 2}
DOTS = np.kron(np.random.default_rng(0).random((8, 8, 3)), np.ones((8, 8, 1)))
START = Image.fromarray((DOTS * 255).astype(np.uint8))
HALF = Image.fromarray(np.repeat(np.uint8([0, 255]), 32)[None].repeat(64, axis=0))


def studio_in(folder: Path) -> Studio:
    settings = {"backend": "flux-tiny-local", "output": {"dir": str(folder)}}
    return Studio(settings, background=False)


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with studio_in(tmp_path / "pictures") as studio:
        yield studio


@pytest.fixture
def draw(studio: Studio) -> Callable[..., Picture]:
    """Draws from START; what is given wins."""

    def drawn(**given: Any) -> Picture:
        usual = {"prompt": "a red boat", "seed": 3, "init_image": START}
        return studio.generate(**FAST | usual | given)

    return drawn


def inputs_of(picture: Picture) -> Path:
    return picture.path.parent / "inputs"


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def pixels(picture: Picture) -> np.ndarray:
    return np.asarray(picture.image)


class TestKept:
    def test_under_the_digest_of_the_file(self, draw: Callable[..., Picture]) -> None:
        picture = draw()
        (path,) = inputs_of(picture).iterdir()
        assert path.name == f"{hashlib.sha256(path.read_bytes()).hexdigest()}.png"
        with Image.open(path) as kept:
            assert kept.tobytes() == START.tobytes()

    def test_a_given_file_to_the_byte(self, draw: Callable[..., Picture], tmp_path: Path) -> None:
        START.save(tmp_path / "photo.jpg")
        data = (tmp_path / "photo.jpg").read_bytes()
        picture = draw(init_image=tmp_path / "photo.jpg")
        assert files(inputs_of(picture)) == {f"{hashlib.sha256(data).hexdigest()}.jpg": data}

    def test_once_however_many_pictures_begin_with_it(
        self, studio: Studio, draw: Callable[..., Picture]
    ) -> None:
        studio.sweep("{a|b}", seeds=[1, 2], init_image=START, **FAST)
        assert len(files(inputs_of(draw()))) == 1

    def test_before_the_picture_is(self, studio: Studio, draw: Callable[..., Picture]) -> None:
        (studio.settings.output.dir / "inputs").parent.mkdir(parents=True)
        (studio.settings.output.dir / "inputs").write_text("in the way")
        with pytest.raises(StorageError):
            draw()
        assert not [*studio.settings.output.dir.glob("*.png")]

    def test_a_torn_file_is_written_anew(self, draw: Callable[..., Picture]) -> None:
        folder = inputs_of(draw())
        whole = files(folder)
        next(folder.iterdir()).write_bytes(b"half")
        draw(seed=4)
        assert files(folder) == whole

    def test_a_whole_one_is_left_alone(self, tmp_path: Path) -> None:
        image = load_input("init_image", START)
        save_inputs(tmp_path, {"init_image": image})
        path = tmp_path / "inputs" / image.file_name
        before = path.stat().st_mtime_ns
        save_inputs(tmp_path, {"init_image": image})
        assert path.stat().st_mtime_ns == before


class TestRecorded:
    def test_record_sidecar_and_png_name_them(self, draw: Callable[..., Picture]) -> None:
        picture = draw(mask=HALF, strength=0.8)
        found = {
            one["name"]: (one["sha256"], one["bytes"], one["file"]) for one in picture.record.inputs
        }
        image, mask = load_input("init_image", START), load_input("mask", HALF)
        assert found == {
            name: (one.sha256, len(one.data), f"inputs/{one.sha256}.png")
            for name, one in (("init_image", image), ("mask", mask))
        }
        sidecar = json.loads(picture.sidecar_path.read_text())
        with Image.open(picture.path) as file:
            chunk = json.loads(file.text["imagen_nb"])
        for stored in (sidecar, chunk):
            assert stored["inputs"] == [*picture.record.inputs]
            assert stored["strength"] == 0.8

    def test_other_tools_read_strength_and_negative_prompt(
        self, draw: Callable[..., Picture]
    ) -> None:
        with Image.open(draw(strength=0.7, negative_prompt="night\nfog").path) as file:
            lines = file.text["parameters"].split("\n")
        assert lines[1] == "Negative prompt: night"
        assert "Denoising strength: 0.7" in lines[-1]

    def test_a_plain_picture_has_neither(self, draw: Callable[..., Picture]) -> None:
        picture = draw(init_image=None)
        with Image.open(picture.path) as file:
            parameters = file.text["parameters"]
        assert "Negative" not in parameters
        assert "Denoising" not in parameters
        assert picture.record.inputs == ()
        assert not inputs_of(picture).exists()


class TestReproduced:
    @pytest.fixture
    def first(self, draw: Callable[..., Picture]) -> Picture:
        return draw(mask=HALF, strength=0.8, negative_prompt="night", true_cfg=2.5)

    @pytest.mark.parametrize("form", ["picture", "id", "file", "record", "sidecar"])
    def test_from_whatever_is_left(self, studio: Studio, first: Picture, form: str) -> None:
        what = {
            "picture": first,
            "id": str(first.record.id)[:8],
            "file": first.path,
            "record": first.record,
            "sidecar": first.sidecar_path,
        }[form]
        again = studio.reproduce(what, progress=False)
        assert (again.identical, again.differs) == (True, ())
        assert again.record.inputs == first.record.inputs

    def test_from_a_row_of_the_history(self, studio: Studio, first: Picture) -> None:
        row = studio.history().iloc[0]
        assert studio.reproduce(row, progress=False).identical is True

    def test_from_a_copy_with_its_inputs_elsewhere(self, first: Picture, tmp_path: Path) -> None:
        (tmp_path / "usb").mkdir()
        copy = Path(shutil.copy(first.path, tmp_path / "usb"))
        shutil.copytree(inputs_of(first), tmp_path / "usb" / "inputs")
        shutil.rmtree(first.path.parent)
        with studio_in(tmp_path / "fresh") as fresh:
            again = fresh.reproduce(copy, progress=False)
        assert (again.identical, again.differs) == (True, ())
        assert files(inputs_of(again)) == files(tmp_path / "usb" / "inputs")

    def test_into_another_folder_its_inputs_go_too(
        self, studio: Studio, first: Picture, tmp_path: Path
    ) -> None:
        again = studio.reproduce(first, output=tmp_path / "other", progress=False)
        assert files(tmp_path / "other" / "inputs") == files(inputs_of(first))
        assert again.identical is True

    def test_a_missing_file_is_one_clear_line(self, studio: Studio, first: Picture) -> None:
        shutil.rmtree(inputs_of(first))
        with pytest.raises(BackendError) as error:
            studio.reproduce(first, progress=False)
        message = str(error.value)
        inputs = recorded_inputs(first.record)
        assert any(
            one["sha256"] in message and f"{name}=" in message for name, one in inputs.items()
        )
        assert str(inputs_of(first)) in message
        assert "\n" not in message

    def test_another_file_under_the_name_is_refused(self, studio: Studio, first: Picture) -> None:
        for path in inputs_of(first).iterdir():
            START.rotate(90).save(path)
        with pytest.raises(
            BackendError, match="drawn from was changed since: put the file with the sha"
        ):
            studio.reproduce(first, progress=False)

    def test_images_that_are_given_are_taken_instead(self, studio: Studio, first: Picture) -> None:
        shutil.rmtree(inputs_of(first))
        again = studio.reproduce(first, init_image=START, mask=HALF, progress=False)
        assert again.identical is True

    def test_another_image_gives_another_picture(self, studio: Studio, first: Picture) -> None:
        again = studio.reproduce(first, init_image=START.rotate(90), progress=False)
        assert again.identical is False
        assert again.record.inputs != first.record.inputs

    @pytest.mark.parametrize(
        "changed",
        [
            {"file": "../../etc/passwd"},
            {"file": "/etc/passwd"},
            {"file": f"inputs/../{'0' * 64}.png"},
            {"file": f"inputs/{'0' * 64}.png/../../secret"},
            {"file": f"inputs/{'0' * 64}.png\n"},
            {"file": f"inputs/{'0' * 64}.exe"},
            {"file": None},
            {"name": "model"},
            {"name": None},
        ],
        ids=str,
    )
    @pytest.mark.parametrize("call", ["reproduce", "like"])
    def test_a_record_that_names_what_is_no_input_is_refused(
        self, studio: Studio, first: Picture, changed: dict[str, Any], call: str
    ) -> None:
        hostile = [first.record.inputs[0] | changed]
        record = first.record.model_copy(update={"inputs": tuple(hostile)})
        again = {
            "like": lambda: studio.generate(like=record, progress=False),
            "reproduce": lambda: studio.reproduce(record, progress=False),
        }
        with pytest.raises(BackendError, match="the picture's record has an input that is none"):
            again[call]()


class TestLike:
    def test_it_begins_with_the_same_image(
        self, studio: Studio, draw: Callable[..., Picture]
    ) -> None:
        first = draw(mask=HALF, strength=0.8, negative_prompt="night", scheduler="euler-karras")
        other = studio.generate(like=first, seed=9, progress=False)
        same = ("inputs", "strength", "negative_prompt", "true_cfg", "scheduler_name", "steps")
        assert all(getattr(other.record, n) == getattr(first.record, n) for n in same)
        assert other.record.seed == 9
        assert (pixels(other) != pixels(first)).any()

    def test_what_is_given_wins(self, studio: Studio, draw: Callable[..., Picture]) -> None:
        first = draw(strength=0.8)
        turned = START.rotate(90)
        other = studio.generate(like=first, init_image=turned, strength=0.5, progress=False)
        assert other.record.strength == 0.5
        assert other.record.inputs[0]["sha256"] == load_input("init_image", turned).sha256

    def test_a_picture_begins_with_a_picture(
        self, studio: Studio, draw: Callable[..., Picture]
    ) -> None:
        first = draw(init_image=None)
        for what in (first, str(first.record.id), first.path, first.record):
            second = draw(init_image=what)
            assert second.record.inputs[0]["sha256"] == first.record.sha256
            assert studio.reproduce(second, progress=False).identical is True


class TestDrawnToday:
    GIVEN: ClassVar[dict[str, Any]] = {"mask": HALF, "strength": 0.8, "negative_prompt": "night"}

    def test_the_same_request_is_the_same_picture(self, draw: Callable[..., Picture]) -> None:
        first = draw(**self.GIVEN)
        assert draw(**self.GIVEN, again=False).record.id == first.record.id

    @pytest.mark.parametrize(
        "changed",
        [
            {"strength": 0.5},
            {"mask": HALF.rotate(90)},
            {"init_image": START.rotate(90)},
            {"negative_prompt": "day"},
            {"true_cfg": 3.0},
            {"scheduler": "euler-karras"},
            {"mask": None},
        ],
        ids=lambda changed: next(iter(changed)),
    )
    def test_another_one_is_drawn(
        self, draw: Callable[..., Picture], changed: dict[str, Any]
    ) -> None:
        first = draw(**self.GIVEN)
        assert draw(**self.GIVEN | changed, again=False).record.id != first.record.id


class TestOldRecords:
    NEW = ("strength", "negative_prompt", "true_cfg", "inputs", "scheduler_name")

    def test_they_load_and_decide_the_same_picture(self, draw: Callable[..., Picture]) -> None:
        record = draw(init_image=None).record
        old = {n: value for n, value in record.snapshot().items() if n not in self.NEW}
        loaded = Record.from_sidecar(json.dumps(old))
        assert loaded == record
        assert loaded.decides() == record.decides()

    def test_their_pictures_are_found_today(self, draw: Callable[..., Picture]) -> None:
        first = draw(init_image=None)
        old = {n: v for n, v in load_record(first.path).snapshot().items() if n not in self.NEW}
        first.sidecar_path.write_text(json.dumps(old))
        assert draw(init_image=None, again=False).record.id == first.record.id


class TestMask:
    def test_where_it_is_black_the_image_is_kept_to_the_pixel(
        self, draw: Callable[..., Picture]
    ) -> None:
        picture = draw(mask=HALF, strength=1.0)
        black = np.asarray(HALF) == 0
        np.testing.assert_array_equal(pixels(picture)[black], np.asarray(START)[black])
        assert (pixels(picture)[~black] != np.asarray(START)[~black]).any()

    def test_without_an_image_it_is_refused_and_nothing_is_kept(
        self, studio: Studio, draw: Callable[..., Picture]
    ) -> None:
        with pytest.raises(UsageError, match="mask needs init_image"):
            draw(init_image=None, mask=HALF)
        assert not [*studio.settings.output.dir.glob("**/*.png")]


class TestReindex:
    def test_inputs_are_left_alone_and_are_no_pictures(self, draw: Callable[..., Picture]) -> None:
        folder, picture = inputs_of(draw(mask=HALF)), draw(seed=4)
        before = files(folder)
        assert reindex(picture.path.parent).found == 2
        assert files(folder) == before

    def test_a_picture_that_began_with_another_is_found_by_its_own_id(
        self, studio: Studio, draw: Callable[..., Picture]
    ) -> None:
        first = draw(init_image=None)
        second = draw(init_image=first)
        reindex(first.path.parent)
        ids = {str(first.record.id), str(second.record.id)}
        assert set(studio.history()["id"]) == ids
        assert studio.lookup.original(str(first.record.id)).path == first.path
