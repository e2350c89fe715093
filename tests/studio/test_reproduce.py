"""Every way of making a picture is repeated bit for bit, from whatever is left of it."""

from __future__ import annotations

import json
import os
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from PIL import Image

from imagen_nb.backends.tiny import FLUX_TINY
from imagen_nb.cli import run
from imagen_nb.config.groups import ProvenanceSettings
from imagen_nb.errors import BackendError, ConfigError, StorageError, UsageError
from imagen_nb.storage.picture import Picture
from imagen_nb.storage.record import Record
from imagen_nb.storage.verification import verify_picture
from imagen_nb.studio.studio import Studio
from tests.fixtures.lora_files import write_lora

FAST: dict[str, Any] = {"progress": False, "steps": 2}


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    settings = {"backend": "flux-tiny-local", "output": {"dir": str(tmp_path / "pictures")}}
    with Studio(settings, background=False) as studio:
        yield studio


def same_pixels(one: Path, other: Path) -> bool:
    with Image.open(one) as a, Image.open(other) as b:
        return np.array_equal(np.asarray(a), np.asarray(b))


def assert_repeated(studio: Studio, first: Picture, what: Any, folder: Path) -> None:
    """Drawn again into another folder, by another session: nothing is left of the first one."""
    before = first.path.read_bytes()
    with Studio(studio.settings, background=False) as fresh:
        again = fresh.reproduce(what, output=folder, progress=False)
    assert again.identical is True
    assert again.differs == ()
    assert again.path != first.path
    assert same_pixels(again.path, first.path)
    assert first.path.read_bytes() == before


class TestWaysOfDrawing:
    def test_generate(self, studio: Studio, tmp_path: Path) -> None:
        first = studio.generate("a red boat at sunset", seed=11, guidance=0.0, **FAST)
        assert_repeated(studio, first, first, tmp_path / "again")

    @pytest.mark.parametrize("seeds", [1, 2, pytest.param(5, marks=pytest.mark.soak), 11])
    def test_each_of_a_sweep_of_any_batch_size(
        self, studio: Studio, tmp_path: Path, seeds: int
    ) -> None:
        pictures = studio.sweep("a red boat", seeds=range(seeds), **FAST)
        for picture in (pictures[0], pictures[-1]):
            assert_repeated(studio, picture, picture, tmp_path / str(picture.record.seed))
        assert pictures[-1].record.batch_size == (seeds if seeds < 11 else 3)

    def test_several_prompts_in_one_batch(self, studio: Studio, tmp_path: Path) -> None:
        pictures = studio.sweep("a {red|blue|green} {boat|house}", seeds=[7], **FAST)
        assert {picture.record.batch_size for picture in pictures} == {6}
        for number in (0, 3, 5):
            picture = pictures[number]
            assert picture.record.batch_index == number
            assert_repeated(studio, picture, picture, tmp_path / str(number))

    def test_a_grid_of_sizes_and_steps(self, studio: Studio, tmp_path: Path) -> None:
        sizes = [(128, 128), (96, 128)]
        pictures = studio.sweep("a star", seeds=[1, 2], steps=[1, 3], size=sizes, progress=False)
        for number in (0, 3, 6):  # all values of each of the three, whatever their order
            picture = pictures[number]
            assert_repeated(studio, picture, picture, tmp_path / str(number))

    def test_like_another(self, studio: Studio, tmp_path: Path) -> None:
        first = studio.generate("a red boat", seed=3, **FAST)
        second = studio.generate(like=first, steps=3, progress=False)
        assert_repeated(studio, second, second, tmp_path / "again")

    @pytest.mark.usefixtures("quick_kernels")
    def test_in_another_process_by_a_notebook(self, studio: Studio, tmp_path: Path) -> None:
        cell = f"""
import imagen_nb as im
im.configure(backend="flux-tiny-local", output={{"dir": {str(tmp_path / "batch")!r}}})
im.sweep("a {{red|blue}} moon", seeds=range(3), steps=2)
"""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
        NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
        paths = sorted((tmp_path / "batch").glob("*.png"))
        assert len(paths) == 6
        for number, path in enumerate(paths[::5]):  # the first and the last
            again = studio.reproduce(path, output=tmp_path / str(number), progress=False)
            assert again.identical is True
            assert again.record.batch_size == 6


class TestSigned:
    """Content credentials are in the file, not in the pixels."""

    def test_a_signed_picture_is_repeated_and_signed_anew(
        self, studio: Studio, signing: ProvenanceSettings, tmp_path: Path
    ) -> None:
        settings = studio.settings.model_copy(update={"provenance": signing})
        with Studio(settings, background=False) as signs:
            first = signs.generate("a red boat at sunset", seed=11, **FAST)
            assert first.record.content_credentials == "signed"
            assert_repeated(signs, first, first.path, tmp_path / "again")
            again = signs.reproduce(first, output=tmp_path / "more", progress=False)
        assert verify_picture(again.path).holds
        assert again.record.content_credentials == "signed"
        assert_repeated(studio, first, first, tmp_path / "unsigned")

    def test_it_is_not_drawn_twice_a_day(self, studio: Studio, signing: ProvenanceSettings) -> None:
        plain = studio.generate("a red boat", seed=11, **FAST)
        settings = studio.settings.model_copy(update={"provenance": signing})
        with Studio(settings, background=False) as signs:
            first = signs.generate("a red boat", seed=11, again=False, **FAST)
            assert first.path != plain.path  # that one is not signed
            assert signs.generate("a red boat", seed=11, again=False, **FAST).path == first.path

    def test_pictures_that_others_drew_are_kept_even_if_they_cannot_be_signed(
        self, studio: Studio, signing: ProvenanceSettings, tmp_path: Path, make_record: Any
    ) -> None:
        gone = signing.model_copy(update={"private_key": tmp_path / "gone.pem"})
        settings = studio.settings.model_copy(update={"provenance": gone})
        with Studio(settings, background=False) as signs:
            record = make_record(width=8, height=8)
            (kept,) = signs.keep_drawn([(lambda: Image.new("RGB", (8, 8)), record)])
            assert kept.result().record.content_credentials == "unsigned"
            with pytest.raises(ConfigError, match="imagen config provenance"):
                signs.generate("a red boat", **FAST)


class TestWatermarked:
    """A watermark is in the pixels: a picture is repeated where it is switched as it was then."""

    def test_it_is_repeated_with_its_watermark_and_what_lacks_one_is_named(
        self, studio: Studio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        drawing = {**FAST, "width": 256, "height": 256}
        settings = studio.settings.model_copy(
            update={"provenance": ProvenanceSettings(watermark=True)}
        )
        plain = studio.generate("a red boat", seed=11, **drawing)
        with Studio(settings, background=False) as marks:
            first = marks.generate("a red boat", seed=11, **drawing)
            assert first.record.watermark == "dwtDctSvd"
            assert_repeated(marks, first, first.path, tmp_path / "again")
            capsys.readouterr()
            more = marks.reproduce(plain, output=tmp_path / "more", progress=False)
        less = studio.reproduce(first, output=tmp_path / "less", progress=False)
        assert (more.identical, more.differs) == (False, ("watermark was none, is dwtDctSvd",))
        assert (less.identical, less.differs) == (False, ("watermark was dwtDctSvd, is none",))
        assert "reproduce: watermark was none, is dwtDctSvd" in capsys.readouterr().err


class TestLoras:
    """A picture drawn with LoRAs is repeated with the same files, or says why it cannot be."""

    @pytest.fixture
    def lora(self, tmp_path: Path) -> Path:
        return write_lora(tmp_path / "loras" / "style.safetensors")

    def test_one_and_two_with_weights(self, studio: Studio, tmp_path: Path, lora: Path) -> None:
        other = write_lora(lora.with_name("other.safetensors"), seed=1)
        plain = studio.generate("a red boat", seed=3, **FAST)
        for number, loras in enumerate([lora, [(lora, 0.5), (other, -0.25)]]):
            first = studio.generate("a red boat", seed=3, loras=loras, **FAST)
            assert not same_pixels(first.path, plain.path)
            assert_repeated(studio, first, first.path, tmp_path / str(number))

    def test_a_sweep(self, studio: Studio, tmp_path: Path, lora: Path) -> None:
        pictures = studio.sweep("a {red|blue} boat", seeds=[1, 2, 3], loras=lora, **FAST)
        assert {picture.record.batch_size for picture in pictures} == {6}
        for picture in (pictures[0], pictures[4]):
            assert_repeated(studio, picture, picture, tmp_path / str(picture.record.id))

    def test_by_the_command(self, studio: Studio, tmp_path: Path, lora: Path, capsys) -> None:
        draw = [*TestDrawnToday.DRAW, "--lora", f"{lora}:0.5", "--output", str(tmp_path / "a")]
        assert run([*draw, "--json"]) == 0
        first = json.loads(capsys.readouterr().out)
        assert first["loras"][0]["weight"] == 0.5
        assert run(["reproduce", first["path"], "--output", str(tmp_path / "b")]) == 0
        assert capsys.readouterr().out.splitlines()[-1] == "identical: yes"

    def test_one_that_is_configured_is_not_added_to_a_picture_without(
        self, studio: Studio, tmp_path: Path, lora: Path
    ) -> None:
        first = studio.generate("a red boat", seed=3, **FAST)
        backend = {"type": "flux-tiny-local", "loras": str(lora)}
        settings = {"backend": backend, "output": {"dir": str(tmp_path / "configured")}}
        with Studio(settings, background=False) as configured:
            other = configured.generate("a red boat", seed=3, **FAST)
            again = configured.reproduce(first, progress=False)
        assert not same_pixels(other.path, first.path)
        assert again.identical is True
        assert again.record.loras == ()

    def test_like_keeps_it_and_can_drop_it(self, studio: Studio, lora: Path) -> None:
        first = studio.generate("a red boat", seed=3, loras=lora, **FAST)
        kept = studio.generate(like=first, steps=3, progress=False)
        dropped = studio.generate(like=first, loras=None, progress=False)
        assert kept.record.loras == first.record.loras
        assert dropped.record.loras == ()
        assert not same_pixels(dropped.path, first.path)

    def test_another_file_in_its_place_is_said_and_can_be_named(
        self, studio: Studio, tmp_path: Path, lora: Path
    ) -> None:
        first = studio.generate("a red boat", seed=3, loras=lora, **FAST)
        moved = lora.rename(lora.with_name("moved.safetensors"))
        with pytest.raises(BackendError, match=r"cannot read the LoRA .*style\.safetensors"):
            studio.reproduce(first)
        write_lora(lora, seed=9)
        with pytest.raises(BackendError, match=r"not the file .* name this one with loras="):
            studio.reproduce(first)
        again = studio.reproduce(first, loras=moved, output=tmp_path / "again", progress=False)
        assert again.identical is True


class TestThreads:
    def test_it_is_drawn_with_as_many_as_it_was(self, studio: Studio, tmp_path: Path) -> None:
        """Sums are split among threads: other numbers of them are other last bits."""
        import torch

        usual = torch.get_num_threads()
        try:
            torch.set_num_threads(1)
            pictures = studio.sweep("a red boat", seeds=range(3), **FAST)
            torch.set_num_threads(2)
            for picture in pictures:
                assert picture.record.threads == 1
                assert_repeated(studio, picture, picture, tmp_path / str(picture.record.seed))
            assert torch.get_num_threads() == 2
        finally:
            torch.set_num_threads(usual)


class TestModels:
    def test_a_folder_below_the_home_is_found_by_whoever_has_it(
        self, studio: Studio, tmp_path: Path
    ) -> None:
        shutil.copytree(FLUX_TINY.source, Path.home() / "models" / "mine")
        first = studio.generate("a red boat", seed=3, backend="flux", model="~/models/mine", **FAST)
        assert first.record.options == {"model": "~/models/mine"}
        assert_repeated(studio, first, first.path, tmp_path / "again")


class TestWhatIsLeft:
    @pytest.fixture
    def first(self, studio: Studio) -> Picture:
        return studio.sweep("a red boat", seeds=[5, 6, 7], tags=["sea"], **FAST)[1]

    FORMS: ClassVar[dict[str, Callable[[Picture, Any], Any]]] = {
        "a picture": lambda picture, frame: picture,
        "a record": lambda picture, frame: picture.record,
        "an id": lambda picture, frame: picture.record.id,
        "the id as text": lambda picture, frame: str(picture.record.id),
        "eight digits of the id": lambda picture, frame: str(picture.record.id)[:8],
        "a PNG": lambda picture, frame: picture.path,
        "the name of a PNG": lambda picture, frame: str(picture.path),
        "a sidecar": lambda picture, frame: picture.sidecar_path,
        "a row with its sidecar": lambda picture, frame: frame.iloc[1],
        "a row without": lambda picture, frame: frame.drop(columns="sidecar").iloc[1],
    }

    @pytest.mark.parametrize("form", FORMS)
    def test_each_of_these_is_enough(
        self, studio: Studio, first: Picture, tmp_path: Path, form: str
    ) -> None:
        frame = studio.history(source="local", sidecar=form == "a row with its sidecar")
        what = self.FORMS[form](first, frame)
        assert_repeated(studio, first, what, tmp_path / "again")

    def test_a_png_alone_is_enough(self, studio: Studio, first: Picture, tmp_path: Path) -> None:
        alone = tmp_path / "from a friend.png"
        shutil.copy(first.path, alone)
        studio.close()
        shutil.rmtree(first.path.parent)
        with Studio(studio.settings, background=False) as fresh:
            again = fresh.reproduce(alone, progress=False)
        assert again.identical is True
        assert (again.record.seed, again.record.prompt) == (6, "a red boat")
        assert again.record.tags == ()
        assert same_pixels(again.path, alone)

    def test_a_picture_that_is_gone_is_drawn_and_not_compared(
        self, studio: Studio, first: Picture
    ) -> None:
        first.path.unlink()
        again = studio.reproduce(first.record.id, progress=False)
        assert again.identical is None
        assert again.image.size == (128, 128)

    def test_a_row_known_nowhere_is_drawn_from_its_columns(
        self, studio: Studio, first: Picture, tmp_path: Path
    ) -> None:
        row = studio.history(source="local", seed=6).iloc[0].copy()
        row["id"], row["local_path"] = str(uuid.uuid4()), float("nan")
        again = studio.reproduce(row, output=tmp_path / "again", progress=False)
        off = np.abs(np.asarray(again.image, int) - np.asarray(first.image, int))
        assert off.max() <= 3  # the batch is no column, so the last bits may be others
        with pytest.raises(UsageError, match=r"its row does not say: .*steps"):
            studio.reproduce(row.drop("steps"))

    WRONG: ClassVar[dict[str, tuple[Any, type[Exception], str]]] = {
        "an id of nobody": (str(uuid.UUID(int=1)), UsageError, "there is no picture"),
        "too few digits": ("abc", UsageError, "neither an id"),
        "a number": (3, UsageError, "expected a picture"),
        "no such file": ("nothing.png", StorageError, "cannot read the picture"),
    }

    @pytest.mark.parametrize("case", WRONG)
    def test_what_is_no_picture_is_one_line(self, studio: Studio, case: str) -> None:
        what, kind, said = self.WRONG[case]
        with pytest.raises(kind, match=said) as error:
            studio.reproduce(what)
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize(
        "part",
        [
            lambda frame: frame,
            lambda frame: frame.iloc[[0]],
            lambda frame: frame.drop(columns="id"),
            lambda frame: frame.iloc[:0],
        ],
        ids=["a history", "a frame of one row", "a frame without ids", "an empty frame"],
    )
    def test_a_frame_is_refused_with_what_to_give_instead(
        self, studio: Studio, first: Picture, part: Callable[[Any], Any]
    ) -> None:
        frame = part(studio.history(source="local"))
        uses = [
            lambda: studio.reproduce(frame),
            lambda: studio.generate(like=frame),
            lambda: studio.generate("a blue boat", init_image=frame, strength=0.5),
        ]
        for use in uses:
            with pytest.raises(UsageError, match=r"give one row, e\.g\. df\.iloc\[0\]") as error:
                use()
            assert "\n" not in str(error.value)


class TestWhatDiffers:
    def test_other_versions_and_devices_are_named_and_it_draws(
        self, studio: Studio, capsys: pytest.CaptureFixture[str]
    ) -> None:
        first = studio.generate("a red boat", seed=1, **FAST)
        old = first.record.model_copy(
            update={
                "versions": {**first.record.versions, "torch": "1.0"},
                "device": "cuda:0",
                "batch_size": 300,
            }
        )
        again = studio.reproduce(old, progress=False)
        assert again.path.exists()
        assert "device was cuda:0, is cpu" in again.differs
        assert any(line.startswith("torch was 1.0, is ") for line in again.differs)
        assert "batch size was 300, is 1" in again.differs
        assert "torch was 1.0" in capsys.readouterr().err

    def test_other_pixels_without_a_reason_are_said(
        self, studio: Studio, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        first = studio.generate("a red boat", seed=1, **FAST)
        image = first.image
        image.putpixel((3, 3), (1, 2, 3))
        image.save(first.path)
        changed = first.record.model_copy(update={"sha256": None})
        picture = Picture(changed, first.path, first.sidecar_path, first.catalog)
        again = studio.reproduce(picture, output=tmp_path / "again", progress=False)
        assert again.identical is False
        assert "other pixels, and nothing recorded is why" in capsys.readouterr().err

    def test_a_model_that_is_not_here_is_one_line(self, studio: Studio) -> None:
        first = studio.generate("a red boat", seed=1, **FAST)
        away = first.record.model_copy(update={"backend": "flux-schnell-local"})
        with pytest.raises(BackendError, match=r"FLUX.1-schnell are not on this machine"):
            studio.reproduce(away)
        gone = first.record.model_copy(update={"backend": "flux-of-next-year"})
        with pytest.raises(BackendError, match="flux-of-next-year, which is not installed"):
            studio.reproduce(gone)


class TestLike:
    def test_one_thing_changes_and_the_rest_stays(self, studio: Studio) -> None:
        first = studio.generate("a red boat", seed=5, steps=2, width=96, tags=["x"], progress=False)
        second = studio.generate(like=first, steps=3, progress=False)
        assert second.record.steps == 3
        for name in ("prompt", "seed", "width", "height", "guidance", "backend"):
            assert getattr(second.record, name) == getattr(first.record, name)
        assert second.record.tags == ()

    def test_nothing_changed_is_the_very_picture(self, studio: Studio) -> None:
        first = studio.generate("a red boat", seed=5, **FAST)
        assert studio.generate(like=first.path, progress=False).path == first.path

    def test_another_prompt_keeps_the_seed(self, studio: Studio) -> None:
        first = studio.generate("a red boat", seed=5, **FAST)
        second = studio.generate("a blue boat", like=str(first.record.id), progress=False)
        assert (second.record.prompt, second.record.seed) == ("a blue boat", 5)

    def test_neither_prompt_nor_picture_is_refused(self, studio: Studio) -> None:
        with pytest.raises(UsageError, match="give a prompt, or like= a picture"):
            studio.generate()


class TestDrawnToday:
    DRAW = ("generate", "a red boat", "--backend", "flux-tiny-local", "--steps", "1", "--seed", "7")

    def test_the_same_settings_give_the_picture_and_load_no_model(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        draw = [*self.DRAW, "--output", str(tmp_path)]
        assert run(draw) == 0
        first = capsys.readouterr()
        made = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.png")}
        code = f"import sys\nfrom imagen_nb.cli import run\nassert run({draw!r}) == 0\n"
        code += "assert 'torch' not in sys.modules, 'a model was loaded'"
        import subprocess

        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout == first.out
        path = first.out.splitlines()[0]
        assert done.stderr == f"imagen: drawn today already: {path} (--again draws anew)\n"
        assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.png")} == made
        assert run([*draw, "--again"]) == 0
        assert "already" not in capsys.readouterr().err

    def test_only_what_is_missing_is_drawn(self, tmp_path: Path, capsys) -> None:
        draw = [*self.DRAW, "--output", str(tmp_path), "--json"]
        assert run(draw) == 0
        first = json.loads(capsys.readouterr().out)
        assert run([*draw, "--count", "3", "--tag", "new"]) == 0
        said = capsys.readouterr()
        rows = json.loads(said.out)
        assert [row["seed"] for row in rows] == [7, 8, 9]
        assert rows[0]["id"] == first["id"]
        assert rows[0]["tags"] == ["new"]
        assert "drawn today already" in said.err

    @pytest.mark.parametrize("change", [["--steps", "2"], ["--guidance", "1"], ["--width", "96"]])
    def test_other_settings_are_another_picture(
        self, tmp_path: Path, capsys, change: list[str]
    ) -> None:
        draw = [*self.DRAW, "--output", str(tmp_path)]
        assert run(draw) == 0
        assert run([*draw, *change]) == 0
        assert "already" not in capsys.readouterr().err
        assert len([*tmp_path.glob("*.png")]) == 2


class TestCommand:
    def test_it_prints_the_path_and_whether_it_is_identical(self, tmp_path: Path, capsys) -> None:
        assert run([*TestDrawnToday.DRAW, "--output", str(tmp_path / "a"), "--json"]) == 0
        first = json.loads(capsys.readouterr().out)
        again = ["reproduce", first["path"], "--output", str(tmp_path / "b"), "--no-cloud"]
        assert run(again) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[-1] == "identical: yes"
        assert same_pixels(Path(lines[0]), Path(first["path"]))
        os.remove(first["path"])
        assert run([*again, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["identical"] is None

    def test_a_torn_sidecar_is_one_line(self, tmp_path: Path, capsys) -> None:
        torn = tmp_path / "x.png.json"
        torn.write_text("{")
        assert run(["reproduce", str(torn)]) == 1
        assert capsys.readouterr().err.count("\n") == 1


def test_records_of_older_programs_can_be_repeated(studio: Studio, make_record: Any) -> None:
    """Without batch, versions or scheduler: as a sidecar of schema 1 may be."""
    old = Record.model_validate(
        {
            "prompt": "a red boat",
            "backend": "flux-tiny-local",
            "seed": 1,
            "steps": 1,
            "width": 128,
            "height": 128,
        }
    )
    again = studio.reproduce(old, progress=False)
    assert (again.record.seed, again.identical) == (1, None)
