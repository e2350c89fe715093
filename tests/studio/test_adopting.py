"""Pictures of other programs: taken over whole, once, and never touched."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import imagen_nb as im
from imagen_nb.errors import BackendError, UsageError
from imagen_nb.storage.output import load_sidecar
from imagen_nb.studio.adopting import AdoptReport
from imagen_nb.studio.studio import Studio
from imagen_nb.studio.watching import FolderWatch

A1111 = (
    "a lighthouse in the fog\nNegative prompt: blurry\nSteps: 20, Sampler: Euler a, "
    "CFG scale: 7, Seed: 4711, Size: 32x16, Model: dreamshaper_8"
)
FORGE = (
    "a red boat at sunset\nSteps: 4, Sampler: Euler, Schedule type: Simple, CFG scale: 1, "
    "Distilled CFG Scale: 3.5, Seed: 7, Size: 128x128, Model: flux-tiny"
)


def write_png(path: Path, text: str = "", shade: int = 0, size: tuple[int, int] = (32, 16)) -> Path:
    info = PngInfo()
    if text:
        info.add_text("parameters", text)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (shade % 256, shade // 256, 9)).save(path, pnginfo=info)
    return path


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A folder of another program: three pictures, and what is none."""
    folder = tmp_path / "outputs"
    write_png(folder / "txt2img" / "00001-4711.png", A1111)
    Image.new("RGB", (24, 8), "teal").save(folder / "holiday.jpg")
    Image.new("RGB", (8, 8), "red").save(folder / "sticker.webp")
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    settings = {"output": {"dir": tmp_path / "ours"}, "backend": "flux-tiny-local"}
    with Studio(settings, background=False) as session:
        yield session


class TestAFolder:
    def test_every_picture_is_a_row_with_what_it_says(self, studio: Studio, theirs: Path) -> None:
        frame = studio.adopt(theirs, tags=["old"]).set_index("backend")
        assert len(frame) == 3
        drawn = frame.loc["a1111"]
        assert (drawn["prompt"], drawn["seed"], drawn["steps"]) == (
            "a lighthouse in the fog",
            4711,
            20,
        )
        assert (drawn["width"], drawn["height"], drawn["tags"]) == (32, 16, ["old"])
        assert sorted(frame.loc["unknown", "prompt"]) == ["", ""]

    def test_the_bytes_are_the_same_and_the_originals_are_where_they_were(
        self, studio: Studio, theirs: Path
    ) -> None:
        before = {path: path.read_bytes() for path in theirs.rglob("*") if path.is_file()}
        frame = studio.adopt(theirs)
        assert {path: path.read_bytes() for path in before} == before
        ours = {Path(path).read_bytes() for path in frame["local_path"]}
        assert ours == {data for path, data in before.items() if path.suffix != ".txt"}

    def test_files_are_named_as_ours_and_keep_their_format(
        self, studio: Studio, theirs: Path
    ) -> None:
        names = sorted(Path(path).name[11:] for path in studio.adopt(theirs)["local_path"])
        assert names == ["a-lighthouse-in-the-fog-4711.png", "holiday.jpg", "sticker.webp"]

    def test_a_hard_link_needs_no_room_twice(self, studio: Studio, theirs: Path) -> None:
        (path,) = studio.adopt(theirs / "holiday.jpg")["local_path"]
        assert os.path.samefile(path, theirs / "holiday.jpg")

    def test_where_there_are_no_links_it_is_copied(
        self, studio: Studio, theirs: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        link = os.link

        def refuse(source: Path, target: Path, **more: bool) -> None:
            if "outputs" in str(source):
                raise OSError(18, "Invalid cross-device link")
            link(source, target, **more)

        monkeypatch.setattr(os, "link", refuse)
        (path,) = studio.adopt(theirs / "holiday.jpg")["local_path"]
        assert not os.path.samefile(path, theirs / "holiday.jpg")
        assert Path(path).read_bytes() == (theirs / "holiday.jpg").read_bytes()

    def test_twice_adopted_is_once_there(self, studio: Studio, theirs: Path) -> None:
        first = studio.adopt_files(theirs)
        shutil.copy(theirs / "holiday.jpg", theirs / "the same.jpeg")
        again = studio.adopt_files(theirs)
        assert (len(first.adopted), again.adopted, len(again.present)) == (3, [], 4)
        assert len(studio.history(source="local")) == 3

    def test_what_a_crash_left_of_a_file_is_completed(
        self, studio: Studio, theirs: Path, tmp_path: Path
    ) -> None:
        (path,) = map(Path, studio.adopt(theirs / "holiday.jpg")["local_path"])
        sidecar = path.with_name(f"{path.name}.json")
        tagged = sidecar.read_bytes().replace(b'"tags": []', b'"tags": ["sea"]')
        for left in (path, sidecar), (path,), (sidecar,):
            studio.close()
            shutil.rmtree(tmp_path / "ours" / ".imagen")
            sidecar.write_bytes(tagged)
            for one in {path, sidecar} - {*left}:
                one.unlink()
            studio = Studio(studio.settings, background=False)
            frame = studio.adopt(theirs / "holiday.jpg")
            assert frame["local_path"].tolist() == [str(path)]
            assert frame["tags"].tolist() == [["sea"] if len(left) == 2 else []]
            files = sorted(one.name for one in (tmp_path / "ours").iterdir() if one.is_file())
            assert files == [path.name, sidecar.name]
        studio.close()

    def test_several_at_once_take_each_file_once(self, tmp_path: Path) -> None:
        for number in range(40):
            write_png(tmp_path / "in" / f"{number}.png", A1111, shade=number)
        settings = {"output": {"dir": tmp_path / "ours"}}

        def adopt(_: int) -> int:
            with Studio(settings, background=False) as session:
                return len(session.adopt_files(tmp_path / "in").adopted)

        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(adopt, range(4))) == 40
        assert len([*(tmp_path / "ours").glob("*.png")]) == 40

    def test_many_that_get_one_name_have_each_a_row_of_their_own(
        self, studio: Studio, tmp_path: Path
    ) -> None:
        for number in range(60):
            write_png(tmp_path / "in" / f"{number}.png", A1111, shade=number)
        first = studio.adopt_files(tmp_path / "in")
        again = studio.adopt_files(tmp_path / "in")
        assert (len({*first.adopted}), again.adopted) == (60, [])
        assert sorted(again.present) == sorted(first.adopted)

    def test_what_was_deleted_here_stays_deleted(self, studio: Studio, theirs: Path) -> None:
        studio.delete(studio.adopt(theirs / "holiday.jpg"))
        again = studio.adopt_files(theirs / "holiday.jpg")
        assert (again.adopted, again.deleted) == ([], 1)
        assert "deleted before" in str(again)

    def test_a_dry_run_keeps_nothing_and_tells_the_same(
        self, studio: Studio, theirs: Path, tmp_path: Path
    ) -> None:
        report = studio.adopt_files(theirs, dry_run=True)
        assert dict(report.programs) == {"a1111": 1, "unknown": 2}
        assert (dict(report.silent), report.others) == ({"unknown": 2}, 1)
        assert [*(tmp_path / "ours").glob("[!.]*")] == []
        assert len(studio.adopt_files(theirs).adopted) == 3

    def test_our_own_pngs_of_another_machine_keep_their_ids(
        self, studio: Studio, tmp_path: Path
    ) -> None:
        with Studio({"output": {"dir": tmp_path / "laptop"}}, background=False) as laptop:
            drawn = laptop.generate("a red boat", seed=3, backend="flux-tiny-local", tags=["sea"])
        frame = studio.adopt(drawn.path, tags=["laptop"])
        assert frame["id"].tolist() == [str(drawn.record.id)]
        assert frame["backend"].tolist() == ["flux-tiny-local"]
        assert sorted(frame.iloc[0]["tags"]) == ["laptop", "sea"]

    def test_a_picture_that_is_in_two_folders_is_one_row(
        self, studio: Studio, tmp_path: Path
    ) -> None:
        drawn = studio.generate("a red boat", seed=3, steps=1)
        frame = studio.adopt(drawn.path, output=tmp_path / "copy")
        assert frame["id"].tolist() == [str(drawn.record.id)]
        assert len([*(tmp_path / "copy").glob("*.png")]) == 1

    def test_the_raw_text_is_kept_whole(self, studio: Studio, theirs: Path) -> None:
        (row,) = studio.adopt(theirs / "txt2img").itertuples()
        record = load_sidecar(Path(f"{row.local_path}.json"))
        assert record is not None
        assert record.options["adopted"] == {"name": "00001-4711.png", "raw": {"parameters": A1111}}

    def test_text_behind_the_pixels_is_read_too(self, studio: Studio, tmp_path: Path) -> None:
        path = write_png(tmp_path / "late.png", A1111)
        data = path.read_bytes()
        start = data.index(b"tEXt") - 4
        end = start + 12 + int.from_bytes(data[start : start + 4], "big")
        tail = data[-12:]
        path.write_bytes(data[:start] + data[end:-12] + data[start:end] + tail)
        assert studio.adopt(path).iloc[0]["seed"] == 4711


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[data.index(b"IDAT") + 6] ^= 255
    path.write_bytes(bytes(data))


def animated_png(path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(path, save_all=True, append_images=frames[1:])


def animated_webp(path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(path, format="WEBP", save_all=True, append_images=frames[1:])


def enormous(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[16:24] = (60_000).to_bytes(4, "big") * 2
    import zlib

    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    path.write_bytes(bytes(data))


def gif_inside(path: Path) -> None:
    Image.new("P", (8, 8)).save(path, format="GIF")


def cut_jpeg(path: Path) -> None:
    Image.effect_noise((64, 64), 90).save(path, format="JPEG")
    truncated(path)


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("damage", "reason"),
        [
            (truncated, "torn"),
            (flipped, "torn"),
            (cut_jpeg, "torn"),
            (animated_png, "animated"),
            (animated_webp, "animated"),
            (enormous, "too large"),
            (gif_inside, "no PNG, JPEG or WebP"),
            (lambda path: path.write_bytes(b""), "empty"),
        ],
        ids=lambda value: getattr(value, "__name__", None),
    )
    def test_is_named_with_its_reason_and_stops_nothing(
        self, studio: Studio, tmp_path: Path, damage: Callable[[Path], None], reason: str
    ) -> None:
        bad = write_png(tmp_path / "in" / "bad.png", A1111)
        damage(bad)
        write_png(tmp_path / "in" / "good.png", A1111, shade=1)
        report = studio.adopt_files(tmp_path / "in")
        assert len(report.adopted) == 1
        ((path, why),) = report.refused
        assert path == bad
        assert reason in why
        assert f"bad.png ({why})" in str(report)

    def test_other_images_are_refused_for_their_kind(self, studio: Studio, theirs: Path) -> None:
        Image.new("P", (8, 8)).save(theirs / "old.gif")
        assert studio.adopt_files(theirs).refused == [(theirs / "old.gif", "no PNG, JPEG or WebP")]

    def test_a_pipe_named_like_a_picture_is_not_waited_for(
        self, studio: Studio, theirs: Path
    ) -> None:
        os.mkfifo(theirs / "live.png")
        assert len(studio.adopt_files(theirs).adopted) == 3

    def test_a_folder_that_is_not_there_is_said(self, studio: Studio, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"there is no .*elsewhere"):
            studio.adopt(tmp_path / "elsewhere")

    def test_the_own_folder_is_not_adopted(self, studio: Studio, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="where pictures are kept"):
            studio.adopt(tmp_path / "ours")


class TestAfterwards:
    def test_an_interrupt_loses_nothing_and_the_next_run_goes_on(
        self, studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for number in range(12):
            write_png(tmp_path / "in" / f"{number:02}.png", A1111, shade=number)
        monkeypatch.setattr("imagen_nb.studio.adopting._BATCH", 4)
        placed = []
        place = im.storage.adoption.Adoption.place  # type: ignore[attr-defined]

        def interrupted(*arguments: object) -> object:
            placed.append(arguments)
            if len(placed) > 6:
                raise KeyboardInterrupt
            return place(*arguments)

        monkeypatch.setattr("imagen_nb.storage.adoption.Adoption.place", interrupted)
        with pytest.raises(KeyboardInterrupt):
            studio.adopt(tmp_path / "in")
        monkeypatch.undo()
        kept = len(studio.history(source="local"))
        assert 4 <= kept <= 7
        studio.adopt(tmp_path / "in")
        assert len(studio.history(source="local")) == 12
        assert len([*(tmp_path / "ours").glob("*.png")]) == 12

    def test_reindex_finds_them_again(self, studio: Studio, theirs: Path, tmp_path: Path) -> None:
        from imagen_nb.storage.reindex import reindex

        before = studio.adopt(theirs)
        studio.close()
        shutil.rmtree(tmp_path / "ours" / ".imagen")
        assert reindex(tmp_path / "ours").found == 3
        with Studio({"output": {"dir": tmp_path / "ours"}}, background=False) as fresh:
            after = fresh.history(source="local")
        assert sorted(after["id"]) == sorted(before["id"])
        assert sorted(after["local_path"]) == sorted(before["local_path"])

    def test_deleted_ones_come_back_under_their_names(self, studio: Studio, theirs: Path) -> None:
        frame = studio.adopt(theirs / "holiday.jpg")
        studio.delete(frame)
        assert not Path(frame.iloc[0]["local_path"]).exists()
        studio.restore(frame)
        assert (
            Path(frame.iloc[0]["local_path"]).read_bytes() == (theirs / "holiday.jpg").read_bytes()
        )

    def test_a_picture_of_a_model_we_have_is_drawn_with_its_settings(
        self, studio: Studio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        frame = studio.adopt(write_png(tmp_path / "forge.png", FORGE, size=(128, 128)))
        again = studio.reproduce(frame.iloc[0])
        assert (again.record.backend, again.record.seed) == ("flux-tiny-local", 7)
        assert again.record.prompt == "a red boat at sunset"
        assert again.identical is False

    def test_of_another_model_it_is_said_in_one_line(self, studio: Studio, theirs: Path) -> None:
        frame = studio.adopt(theirs / "txt2img")
        with pytest.raises(BackendError, match=r"made by a1111 .* its model is dreamshaper_8"):
            studio.reproduce(frame.iloc[0])

    def test_drawing_like_it_with_another_backend(self, studio: Studio, theirs: Path) -> None:
        (frame,) = [studio.adopt(theirs / "txt2img")]
        drawn = studio.generate(
            like=frame.iloc[0], backend="flux-tiny-local", width=128, height=128
        )
        assert drawn.record.prompt == "a lighthouse in the fog"


class TestWatching:
    def test_a_new_file_is_taken_when_it_is_complete(self, studio: Studio, theirs: Path) -> None:
        heard: list[AdoptReport] = []
        stop = threading.Event()
        watching = threading.Thread(
            target=studio.watch_folders, args=([theirs], heard.append, stop)
        )
        watching.start()
        try:
            wait_until(lambda: heard)
            whole = write_png(theirs.parent / "whole.png", A1111, shade=77).read_bytes()
            slow = theirs / "txt2img" / "new.png"
            slow.write_bytes(whole[:60])
            time.sleep(1.2)
            slow.write_bytes(whole)
            begun = time.monotonic()
            wait_until(lambda: any(report.adopted for report in heard[1:]))
            assert time.monotonic() - begun < 4  # 2 on a machine that does nothing else
        finally:
            stop.set()
            watching.join()
        assert len(studio.history(source="local")) == 4

    def test_a_folder_that_did_not_change_is_not_listed(
        self, theirs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        long_ago = time.time() - 3600
        for folder in (theirs, theirs / "txt2img"):
            os.utime(folder, (long_ago, long_ago))
        watch = FolderWatch([theirs], tmp_path / "ours")
        listed = []
        scandir = os.scandir
        monkeypatch.setattr(os, "scandir", lambda path: listed.append(path) or scandir(path))
        assert watch.look() == []
        assert listed == []


def wait_until(condition: Callable[[], object], seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


class TestCommand:
    def test_it_tells_programs_counts_and_refusals(
        self, theirs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        from imagen_nb.cli import run

        truncated(write_png(theirs / "torn.png", A1111, shade=5))
        out = ["--output", str(tmp_path / "ours")]
        assert run(["adopt", str(theirs), "--dry-run", *out]) == 0
        assert run(["adopt", str(theirs), "--tag", "old", *out]) == 0
        told = capsys.readouterr()
        assert "a1111" in told.out
        assert "3 pictures adopted; 0 there already; 1 refused; 1 other files" in told.out
        assert "torn.png: torn: " in told.err
        assert run(["adopt", str(theirs), "--json", *out]) == 0
        facts = json.loads(capsys.readouterr().out)
        assert (facts["adopted"], len(facts["present"])) == ([], 3)
