"""Files: names, what is in them, and that nothing is lost, overwritten or half there."""

from __future__ import annotations

import dataclasses
import errno
import json
import math
import os
import re
import signal
import subprocess
import sys
import textwrap
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from imagen_nb.errors import StorageError, UsageError
from imagen_nb.storage import output as output_module
from imagen_nb.storage.names import parse_destination, sidecar_of, slug, storage_path_of
from imagen_nb.storage.output import (
    PictureDeletedError,
    PictureFiles,
    SavedPicture,
    encode_png,
    load_png_record,
    load_record,
    load_sidecar,
    read_sidecar,
    require_picture,
    rewrite_sidecar,
    save_sheet,
)
from imagen_nb.storage.record import Record
from imagen_nb.system import atomic
from tests.fixtures.kill_points import killing

DAY = date(2026, 5, 11)
Make = Callable[..., Record]
Draw = Callable[..., Image.Image]

SCRIPT_HEAD = """
import datetime, os, sys, time
from pathlib import Path
from PIL import Image
from imagen_nb.storage.output import PictureFiles
from imagen_nb.storage.record import Record

def draw(shade):
    return Image.new("RGB", (64, 64), (shade, 0, 0))

def record(steps, prompt="a boat"):
    return Record(prompt=prompt, backend="b", seed=11, steps=steps, width=64, height=64)

def keep(folder, shade, steps, prompt="a boat"):
    return PictureFiles(folder).save(draw(shade), record(steps, prompt), datetime.date(2026, 5, 11))
"""


def start(script: str, *arguments: object, killed_at: str = "") -> subprocess.Popen[str]:
    """A real Python process that runs the script with those arguments."""
    script = killing(killed_at) + SCRIPT_HEAD + textwrap.dedent(script)
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process: subprocess.Popen[str]) -> str:
    """What the process printed. It must have ended well."""
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder)) if folder.exists() else []


def assert_whole(path: Path) -> Record:
    """The picture and its sidecar are whole and agree; gives the record."""
    record = Record.from_sidecar(sidecar_of(path).read_text(encoding="utf-8"))
    assert load_png_record(path) == record
    return record


# Names


def test_the_name_of_the_contract() -> None:
    prompt = "a tiny lighthouse on a stormy cliff, photo"
    assert f"{DAY}-{slug(prompt)}-11.png" == (
        "2026-05-11-a-tiny-lighthouse-on-a-stormy-cliff-phot-11.png"
    )


@pytest.mark.parametrize(
    ("prompt", "part"),
    [
        ("Crème brûlée", "creme-brulee"),
        ("CAFÉ — au lait!", "cafe-au-lait"),
        ("ＦＵＬＬ width ²", "full-width-2"),
        ("İstanbul ﬁsh ™", "istanbul-fish-tm"),
        ("🏠🌊", "untitled"),
        ("a 🏠 by the 🌊", "a-by-the"),
        ("בית לבן", "untitled"),
        ("\N{RIGHT-TO-LEFT OVERRIDE}gnp.exe", "gnp-exe"),
        ("", "untitled"),
        ("---", "untitled"),
        ("../../etc/passwd", "etc-passwd"),
        ("C:\\Windows\\con", "c-windows-con"),
        ("nul\0byte", "nul-byte"),
        ("a" * 10_000, "a" * 40),
        ("a" * 39 + " boat", "a" * 39),
        ("a" * 40 + " boat", "a" * 40),
        ("x\n\ty", "x-y"),
        ("\ud83d", "untitled"),
    ],
)
def test_the_prompt_becomes_a_part_of_a_name(prompt: str, part: str) -> None:
    assert slug(prompt) == part


@given(st.text(st.characters(exclude_categories=[])))
def test_a_slug_is_always_safe_short_and_the_same_in_any_case(prompt: str) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug(prompt))
    assert len(slug(prompt)) <= 40
    assert slug(slug(prompt)) == slug(prompt)


@pytest.mark.parametrize("prompt", ["con", "NUL", "com1", "aux.txt", "LPT9"])
def test_names_that_windows_reserves_never_stand_alone(
    prompt: str, folder: Path, make_record: Make, make_image: Draw
) -> None:
    path = PictureFiles(folder).save(make_image(), make_record(prompt=prompt), DAY).path
    assert path.name.startswith("2026-05-11-")
    assert path.name.split(".")[0].lower() not in {"con", "nul", "com1", "aux", "lpt9"}


@pytest.mark.parametrize(
    "prompt", ["../../etc/passwd", "/etc/passwd", "a\0b", "x" * 10_000, "🏠" * 99]
)
def test_no_prompt_leads_out_of_the_folder(
    prompt: str, folder: Path, make_record: Make, make_image: Draw
) -> None:
    kept = PictureFiles(folder).save(make_image(), make_record(prompt=prompt), DAY)
    assert names(folder.parent) == ["pictures"]
    assert kept.path.parent == folder
    assert len(kept.sidecar_path.name) < 100
    assert assert_whole(kept.path).prompt == prompt


def test_the_path_in_the_cloud_follows_the_name_of_the_file() -> None:
    assert storage_path_of(DAY, "2026-05-11-a-boat-11-2") == "2026-05-11/a-boat-11-2.png"
    assert storage_path_of(DAY, "My Boat ü") == "2026-05-11/my-boat-u.png"


# What is in the files


def test_a_picture_is_kept_with_its_sidecar(
    folder: Path, make_record: Make, make_image: Draw
) -> None:
    kept = PictureFiles(folder).save(make_image(), make_record(), DAY)
    assert names(folder) == [kept.path.name, kept.sidecar_path.name]
    assert kept.path.name == "2026-05-11-a-tiny-lighthouse-on-a-stormy-cliff-phot-11.png"
    assert kept.sidecar_path.name == kept.path.name + ".json"
    assert not kept.reused
    record = assert_whole(kept.path)
    assert record == kept.record
    assert record.bytes == kept.path.stat().st_size
    assert record.storage_path == "2026-05-11/a-tiny-lighthouse-on-a-stormy-cliff-phot-11.png"


def test_the_pixels_come_back_as_they_were(folder: Path, make_record: Make) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (48, 80, 3), dtype=np.uint8)
    kept = PictureFiles(folder).save(Image.fromarray(pixels), make_record(width=80, height=48), DAY)
    with Image.open(kept.path) as image:
        assert np.array_equal(np.asarray(image), pixels)


def test_other_tools_find_their_text_and_the_mark_of_a_model(
    tmp_path: Path, make_record: Make, make_image: Draw
) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(encode_png(make_image(), make_record(prompt="ein Löwe, 家 🏠")))
    with Image.open(path) as image:
        assert image.info["parameters"].startswith("ein Löwe, 家 🏠\nSteps: 4, Sampler: ")
        assert json.loads(image.info["imagen_nb"])["prompt"] == "ein Löwe, 家 🏠"
        packet = image.info["XML:com.adobe.xmp"]
    description = ET.fromstring(packet[packet.index("<x:") : packet.rindex("<?")])[0][0]
    assert description.attrib["{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"] == (
        "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    )


@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_no_prompt_tears_the_png(tmp_path_factory: Any, prompt: str) -> None:
    path = tmp_path_factory.mktemp("any") / "2026-05-11-x.png"
    record = Record(prompt=prompt, backend="b", seed=1, steps=1, width=4, height=4)
    path.write_bytes(encode_png(Image.new("RGB", (4, 4)), record))
    assert load_png_record(path).prompt == prompt


def test_a_record_is_read_from_the_sidecar_the_png_or_either_name(
    folder: Path, make_record: Make, make_image: Draw
) -> None:
    kept = PictureFiles(folder).save(make_image(), make_record(), DAY)
    assert load_record(kept.path) == load_record(kept.sidecar_path) == kept.record
    kept.sidecar_path.write_text("{ torn")
    assert load_record(kept.path) == load_record(kept.sidecar_path) == kept.record
    kept.sidecar_path.unlink()
    assert load_record(str(kept.path)) == kept.record


def test_a_picture_that_was_renamed_is_still_known(
    folder: Path, make_record: Make, make_image: Draw
) -> None:
    kept = PictureFiles(folder).save(make_image(), make_record(), DAY)
    day, path = kept.record.created_at.astimezone().date(), kept.path
    for name in ("holiday.png", "HOLIDAY.PNG"):
        path = path.rename(folder / name)
        assert load_record(path).id == kept.record.id
        assert load_record(path).storage_path == f"{day}/holiday.png"


def test_the_day_of_its_name_is_that_of_its_path_in_the_cloud(
    folder: Path, make_record: Make, make_image: Draw
) -> None:
    path = folder / "2025-12-31.png"
    folder.mkdir()
    path.write_bytes(encode_png(make_image(), make_record()))
    assert load_png_record(path).storage_path == "2025-12-31/2025-12-31.png"


LONGEST = 16_777_216  # characters of a sidecar


@pytest.mark.parametrize("chars", [LONGEST, LONGEST + 1])
def test_a_sidecar_longer_than_any_of_ours_is_not_read(chars: int, tmp_path: Path) -> None:
    path = tmp_path / "x.png.json"
    path.write_text("x" * chars)
    if chars == LONGEST:
        assert len(read_sidecar(path)) == chars
    else:
        with pytest.raises(StorageError, match=r"x\.png\.json is too long for a picture's record"):
            read_sidecar(path)
    assert load_sidecar(path) is None


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"{}", None])
def test_a_sidecar_that_cannot_be_read_is_none(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "x.png.json").write_bytes(content)
    assert load_sidecar(tmp_path / "x.png.json") is None


def test_torn_foreign_and_missing_files_are_one_clear_line(
    tmp_path: Path, make_record: Make, make_image: Draw
) -> None:
    whole = encode_png(make_image(), make_record())
    contents = {"empty": b"", "text": b"hello", "cut": whole[:-40], "header": whole[:20]}
    for name, content in contents.items():
        (tmp_path / f"{name}.png").write_bytes(content)
    make_image().save(tmp_path / "foreign.png")
    (tmp_path / "folder.png").mkdir()
    for name in [*contents, "foreign", "folder", "missing"]:
        with pytest.raises(StorageError, match=name) as caught:
            load_record(tmp_path / f"{name}.png")
        assert "\n" not in str(caught.value)


# Never overwritten


def test_other_settings_get_the_next_number_and_overwrite_nothing(
    folder: Path, make_record: Make, make_image: Draw
) -> None:
    output = PictureFiles(folder)
    kept = [output.save(make_image(n), make_record(steps=n), DAY) for n in (1, 2, 3)]
    stem = "2026-05-11-a-tiny-lighthouse-on-a-stormy-cliff-phot-11"
    assert [k.path.name for k in kept] == [f"{stem}.png", f"{stem}-2.png", f"{stem}-3.png"]
    assert kept[1].record.storage_path == f"2026-05-11/{stem[11:]}-2.png"
    assert [assert_whole(k.path).steps for k in kept] == [1, 2, 3]


@pytest.mark.parametrize("fresh", [True, False], ids=["another session", "the same session"])
def test_the_same_picture_again_is_the_same_file(
    fresh: bool, folder: Path, make_record: Make, make_image: Draw
) -> None:
    output = PictureFiles(folder)
    first = [output.save(make_image(n), make_record(steps=n), DAY) for n in (1, 2)]
    before = names(folder)
    again = (PictureFiles(folder) if fresh else output).save(
        make_image(2), make_record(steps=2), DAY
    )
    assert again == SavedPicture(first[1].path, first[1].sidecar_path, first[1].record, reused=True)
    assert names(folder) == before


def test_the_same_settings_with_other_pixels_are_another_picture(
    folder: Path, make_record: Make, make_image: Draw
) -> None:
    output = PictureFiles(folder)
    paths = [output.save(make_image(shade), make_record(), DAY).path for shade in (1, 2, 1, 2)]
    assert paths[:2] == paths[2:]
    assert len(set(paths)) == 2


def test_the_same_pixels_with_other_settings_are_another_picture(
    folder: Path, make_record: Make, make_image: Draw
) -> None:
    output = PictureFiles(folder)
    kept = [output.save(make_image(), make_record(prompt=p), DAY) for p in ("A boat", "a boat")]
    assert kept[0].path != kept[1].path
    assert kept[0].path.name.lower() != kept[1].path.name.lower()


def test_long_prompts_that_begin_alike_do_not_get_slower_with_each(
    folder: Path, make_record: Make, make_image: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    monkeypatch.setattr(
        "imagen_nb.storage.output.load_record", lambda path: read.append(path) or load_record(path)
    )
    output, image = PictureFiles(folder), make_image()
    for n in range(50):
        output.save(image, make_record(prompt=f"{'the same beginning ' * 5}{n}"), DAY)
    assert len(read) <= 50
    assert len(names(folder)) == 100


def test_files_of_others_are_never_overwritten(
    folder: Path, make_record: Make, make_image: Draw
) -> None:
    folder.mkdir()
    stem = folder / "2026-05-11-a-boat-11"
    taken = {f"{stem}.png": b"a picture of mine", f"{stem}-2.png.json": b"an orphan"}
    for name, content in taken.items():
        Path(name).write_bytes(content)
    (folder / "2026-05-11-a-boat-11-3.png").symlink_to("nowhere")
    kept = PictureFiles(folder).save(make_image(), make_record(prompt="a boat"), DAY)
    assert kept.path.name == "2026-05-11-a-boat-11-4.png"
    assert all(Path(name).read_bytes() == content for name, content in taken.items())


def test_neither_is_a_sidecar_behind_a_name_that_only_looks_free(
    folder: Path, make_record: Make, make_image: Draw
) -> None:
    folder.mkdir()
    (folder / "2026-05-11-a-boat-11.png").symlink_to("nowhere")
    orphan = folder / "2026-05-11-a-boat-11-2.png.json"
    orphan.write_bytes(b"an orphan")
    kept = PictureFiles(folder).save(make_image(), make_record(prompt="a boat"), DAY)
    assert kept.path.name == "2026-05-11-a-boat-11-3.png"
    assert orphan.read_bytes() == b"an orphan"


def test_a_name_of_ones_own_is_numbered_like_any_other(
    folder: Path, make_record: Make, make_image: Draw
) -> None:
    output = PictureFiles(folder)
    kept = [output.save(make_image(n), make_record(steps=n), DAY, "My Boat") for n in (1, 2)]
    assert [k.path.name for k in kept] == ["My Boat.png", "My Boat-2.png"]
    assert [k.record.storage_path for k in kept] == [
        "2026-05-11/my-boat.png",
        "2026-05-11/my-boat-2.png",
    ]


def test_after_everything_was_removed_names_begin_anew(
    folder: Path, make_record: Make, make_image: Draw
) -> None:
    output = PictureFiles(folder)
    first = output.save(make_image(), make_record(), DAY)
    first.path.unlink()
    first.sidecar_path.unlink()
    folder.rmdir()
    assert output.save(make_image(), make_record(), DAY).path == first.path


@pytest.mark.parametrize("removed", [1, 3], ids=["the first was", "all were"])
def test_after_the_first_was_removed_its_name_is_free(
    removed: int, folder: Path, make_record: Make, make_image: Draw
) -> None:
    output = PictureFiles(folder)
    kept = [output.save(make_image(), make_record(steps=steps), DAY) for steps in (1, 2, 3)]
    for one in kept[:removed]:
        one.path.unlink()
        one.sidecar_path.unlink()
    assert output.save(make_image(), make_record(steps=4), DAY).path == kept[0].path


def test_processes_that_keep_the_same_name_at_once_lose_nothing(folder: Path) -> None:
    script = """
        folder, me, go = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
        output = PictureFiles(folder)
        print("ready", flush=True)
        while not go.exists():
            time.sleep(0.001)
        for n in range(10):
            kept = output.save(draw(me), record(1 + 10 * me + n), datetime.date(2026, 5, 11))
            print(kept.path.name, kept.record.id)
            same = output.save(draw(200), record(500 + n), datetime.date(2026, 5, 11))
            print("same", n, same.path.name, same.record.id)
    """
    go = folder.with_name("go")
    processes = [start(script, folder, me, go) for me in range(4)]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    go.touch()
    lines = [line.split() for process in processes for line in finished(process).splitlines()]
    own = {line[0]: line[1] for line in lines if line[0] != "same"}
    shared = {tuple(line[1:]) for line in lines if line[0] == "same"}
    assert len(own) == 40  # each its own name
    assert len(shared) == 10  # drawn four times, kept once, with one id
    pictures = [name for name in names(folder) if name.endswith(".png")]
    assert len(pictures) == 50
    assert len(names(folder)) == 100
    for name in pictures:
        record = assert_whole(folder / name)
        if name in own:
            assert str(record.id) == own[name]


def test_where_files_cannot_be_linked_names_are_claimed_all_the_same(
    folder: Path, make_record: Make, make_image: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "this file system has no links")

    monkeypatch.setattr(os, "link", refuse)
    output = PictureFiles(folder)
    (folder).mkdir()
    (folder / ".imagen-2026-05-11-a-boat-11-2.png.claim").touch()  # another process is at it
    kept = [output.save(make_image(n), make_record(prompt="a boat", steps=n), DAY) for n in (1, 2)]
    assert [k.path.name for k in kept] == ["2026-05-11-a-boat-11.png", "2026-05-11-a-boat-11-3.png"]
    again = PictureFiles(folder).save(make_image(1), make_record(prompt="a boat", steps=1), DAY)
    assert again.reused
    assert len(names(folder)) == 5


class TestDrawnBefore:
    """The picture of these settings, drawn on this day, is given again instead of being drawn."""

    @pytest.fixture
    def kept(self, folder: Path, make_record: Make, make_image: Draw) -> SavedPicture:
        record = make_record(created_at=datetime(2026, 5, 11, 12).astimezone())
        return PictureFiles(folder).save(make_image(), record, DAY)

    def find(self, kept: SavedPicture, day: date = DAY, **changes: Any) -> SavedPicture | None:
        record = kept.record.model_copy(update=changes)
        stem = kept.path.stem  # whatever the day
        return PictureFiles(kept.path.parent).find_drawn(record, day, stem)

    def test_it_is_found(self, kept: SavedPicture) -> None:
        assert self.find(kept) == dataclasses.replace(kept, reused=True)
        usual = PictureFiles(kept.path.parent).find_drawn(kept.record, DAY)
        assert usual == dataclasses.replace(kept, reused=True)

    def test_other_settings_are_another_picture(self, kept: SavedPicture) -> None:
        assert self.find(kept, steps=5) is None

    @pytest.mark.parametrize("day", [date(2026, 5, 10), date(2026, 5, 12)])
    def test_so_is_another_day(self, kept: SavedPicture, day: date) -> None:
        assert self.find(kept, day) is None

    @pytest.mark.parametrize("digest", ["0" * 64, "f" * 64])
    def test_a_file_that_was_changed_is_not_whole(self, kept: SavedPicture, digest: str) -> None:
        rewrite_sidecar(kept, kept.record.model_copy(update={"sha256": digest}))
        assert self.find(kept) is None

    def test_a_png_that_is_gone_is_not_there(self, kept: SavedPicture) -> None:
        kept.path.unlink()
        assert self.find(kept) is None

    def test_the_first_that_is_whole_is_found(self, kept: SavedPicture, make_image: Draw) -> None:
        second = PictureFiles(kept.path.parent).save(make_image(7), kept.record, DAY)
        kept.path.write_bytes(b"torn")
        assert self.find(kept) == dataclasses.replace(second, reused=True)

    def test_a_sidecar_that_is_missing_is_made_again_and_flushed(
        self, kept: SavedPicture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        flushed: list[Path] = []
        monkeypatch.setattr(output_module, "flush_folder", flushed.append)
        kept.sidecar_path.unlink()
        assert self.find(kept) == dataclasses.replace(kept, reused=True)
        assert assert_whole(kept.path) == kept.record
        assert flushed == [kept.path.parent]


class TestSaving:
    def test_names_are_flushed_before_it_is_acknowledged(
        self, folder: Path, make_record: Make, make_image: Draw, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[list[str]] = []
        monkeypatch.setattr(output_module, "flush_folder", lambda path: seen.append(names(path)))
        kept = PictureFiles(folder).save(make_image(), make_record(), DAY)
        assert {kept.path.name, kept.sidecar_path.name} <= set(seen[-1])
        before = len(seen)
        PictureFiles(folder).save(make_image(), make_record(), DAY)
        assert len(seen) == before + 1
        save_sheet(kept.path, b"sheet")
        assert f"{kept.path.stem}-sheet.png" in seen[-1]

    @pytest.mark.parametrize("gone", [False, True], ids=["there", "removed meanwhile"])
    def test_without_a_sidecar_no_png_stays(
        self,
        gone: bool,
        folder: Path,
        make_record: Make,
        make_image: Draw,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def interrupt(path: Path, data: bytes) -> None:
            if gone:
                path.with_suffix("").unlink()
            raise KeyboardInterrupt

        monkeypatch.setattr(output_module, "write_atomically", interrupt)
        with pytest.raises(KeyboardInterrupt):
            PictureFiles(folder).save(make_image(), make_record(), DAY)
        assert names(folder) == []

    def test_a_folder_that_takes_no_file_is_said_when_it_is_prepared(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fill(path: Path, **options: Any) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(Path, "touch", fill)
        with pytest.raises(StorageError, match="No space left on device: free some space"):
            PictureFiles(folder).prepare()

    @pytest.mark.posix
    def test_a_child_made_by_fork_saves_whatever_its_parent_was_doing(
        self, folder: Path, make_record: Make, make_image: Draw
    ) -> None:
        files = PictureFiles(folder)
        with files._lock:
            process = os.fork()
            if process == 0:
                signal.alarm(20)
                files.save(make_image(), make_record(), DAY)
                os._exit(0)
            assert os.waitpid(process, 0)[1] == 0
        assert len(names(folder)) == 2

    def test_few_names_are_remembered_and_that_changes_nothing(
        self, folder: Path, make_record: Make, make_image: Draw, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(output_module, "_MAX_CACHED_STEMS", 3)
        files, most = PictureFiles(folder), 0
        for steps in (1, 2):
            for seed in range(8):
                kept = files.save(make_image(), make_record(seed=seed, steps=steps), DAY)
                most = max(most, len(files._namesakes))
                assert kept.path.stem.endswith(f"-{seed}" if steps == 1 else f"-{seed}-2")
        assert most == 3

    def test_a_picture_that_another_process_kept_meanwhile_is_found(
        self, folder: Path, make_record: Make, make_image: Draw, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, second = PictureFiles(folder), PictureFiles(folder)
        encode = output_module.encode_png

        def meanwhile(*arguments: Any) -> bytes:
            monkeypatch.undo()
            kept.append(second.save(make_image(), make_record(), DAY))
            return encode(*arguments)

        kept: list[SavedPicture] = []
        monkeypatch.setattr(output_module, "encode_png", meanwhile)
        again = first.save(make_image(), make_record(), DAY)
        assert again == dataclasses.replace(kept[0], reused=True)
        assert len(names(folder)) == 2


# Crashes

POINTS = ["before-flush:1", "before-png", "after-png", "before-flush:2", "after-sidecar"]


@pytest.mark.posix
@pytest.mark.parametrize("point", POINTS)
def test_a_crash_leaves_a_whole_picture_or_nothing_that_looks_like_one(
    point: str, folder: Path
) -> None:
    process = start("keep(sys.argv[1], 7, 4)", folder, killed_at=point)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    pictures = [name for name in names(folder) if not name.startswith(".")]
    for name in pictures:
        if name.endswith(".png"):
            assert load_png_record(folder / name).steps == 4
    assert ("2026-05-11-a-boat-11.png" in pictures) == (point not in POINTS[:2])
    assert ("2026-05-11-a-boat-11.png.json" in pictures) == (point == "after-sidecar")

    finished(
        start("assert keep(sys.argv[1], 7, 4).path.name == '2026-05-11-a-boat-11.png'", folder)
    )
    assert names(folder) == ["2026-05-11-a-boat-11.png", "2026-05-11-a-boat-11.png.json"]
    assert_whole(folder / "2026-05-11-a-boat-11.png")


def test_temporary_files_of_the_living_and_of_other_machines_stay(folder: Path) -> None:
    folder.mkdir()
    mine = atomic.temporary_name(folder)
    elsewhere = folder / ".imagen-00000000-1-ab.tmp"
    forgotten = folder / ".imagen-00000000-1-cd.tmp"
    foreign = folder / ".imagen-notes"
    for path in (mine, elsewhere, forgotten, foreign):
        path.touch()
    for path in (forgotten, foreign):
        os.utime(path, (0, 0))
    PictureFiles(folder)
    assert set(folder.iterdir()) == {mine, elsewhere, foreign}


# Folders that cannot be written, and full disks


def test_a_folder_below_a_file_is_refused_in_one_line(
    tmp_path: Path, make_record: Make, make_image: Draw
) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "pictures"):
        output = PictureFiles(place)
        for attempt in (output.prepare, lambda o=output: o.save(make_image(), make_record(), DAY)):
            with pytest.raises(StorageError, match=r"cannot keep pictures in .*: choose") as caught:
                attempt()
            assert "\n" not in str(caught.value)
            assert str(place) in str(caught.value)
    assert names(tmp_path) == ["file"]


def test_preparing_makes_the_folder_and_leaves_nothing_in_it(folder: Path) -> None:
    output = PictureFiles(folder / "deep")
    assert not folder.exists()
    output.prepare()
    output.prepare()
    assert names(folder / "deep") == []


def test_a_folder_with_nul_in_its_name_is_refused() -> None:
    with pytest.raises(UsageError, match="NUL"):
        PictureFiles("pic\0tures")


def test_the_home_of_nobody_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^~nouser/x: there is no such home folder$"):
        PictureFiles("~nouser/x")


class TestDestination:
    def test_a_folder_is_a_folder(self, folder: Path) -> None:
        assert parse_destination(folder) == (folder, None)
        assert parse_destination(folder / "v1.5", 3) == (folder / "v1.5", None)

    @pytest.mark.parametrize("name", ["mine.png", "mine.PNG"])
    def test_a_png_is_a_file(self, name: str, folder: Path) -> None:
        assert parse_destination(folder / name) == (folder, "mine")

    def test_home_is_resolved(self) -> None:
        assert parse_destination("~/x.png") == (Path.home(), "x")

    @pytest.mark.parametrize("name", ["x.jpg", "x.JPEG", "x.webp", "x.tiff"])
    def test_files_of_other_kinds_are_refused_with_the_name_to_use(self, name: str) -> None:
        with pytest.raises(UsageError, match=rf"{name} is not: name it x\.png, or give a folder"):
            parse_destination(name)

    def test_one_file_for_several_pictures_is_refused(self) -> None:
        with pytest.raises(UsageError, match=r"x\.png names one picture, and these are 3"):
            parse_destination("x.png", 3)

    @pytest.mark.parametrize("name", ["x.jpg", "x.png"])
    def test_a_folder_that_is_there_is_one_whatever_its_name(self, name: str, folder: Path) -> None:
        (folder / name).mkdir(parents=True)
        assert parse_destination(folder / name, 3) == (folder / name, None)


class TestSheets:
    @pytest.mark.parametrize("pages", [(b"one", b"two"), (b"two", b"one")])
    def test_a_sheet_is_never_overwritten(self, pages: tuple[bytes, ...], tmp_path: Path) -> None:
        first, second = (save_sheet(tmp_path / "a.png", page) for page in pages)
        assert [first.name, second.name] == ["a-sheet.png", "a-sheet-2.png"]
        assert (first.read_bytes(), second.read_bytes()) == pages

    def test_no_name_is_tried_twice(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        tried: list[str] = []

        def move(source: Path, target: Path) -> None:
            tried.append(target.name)
            atomic.move_to_new_name(source, target)

        monkeypatch.setattr(output_module, "move_to_new_name", move)
        (tmp_path / "a-sheet.png").touch()
        save_sheet(tmp_path / "a.png", b"one")
        assert tried == ["a-sheet.png", "a-sheet-2.png"]

    def test_the_same_sheet_again_is_the_same_file(self, tmp_path: Path) -> None:
        for page in (b"one", b"two"):
            save_sheet(tmp_path / "a.png", page)
        assert save_sheet(tmp_path / "a.png", b"two").name == "a-sheet-2.png"
        assert {path.name for path in tmp_path.iterdir()} == {"a-sheet.png", "a-sheet-2.png"}

    def test_a_full_disk_is_one_line_and_leaves_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(descriptor: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match="No space left on device: free some space"):
            save_sheet(tmp_path / "a.png", b"one")
        assert not list(tmp_path.iterdir())


@pytest.mark.posix
@pytest.mark.parametrize("limit", [0, 50, 400])
def test_a_file_that_may_not_grow_leaves_nothing_behind(limit: int, folder: Path) -> None:
    script = """
        import resource
        folder, limit = Path(sys.argv[1]), int(sys.argv[2])
        from imagen_nb.errors import StorageError
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            keep(folder, 1, 4)
        except StorageError as error:
            print(error)
    """
    message = finished(start(script, folder, limit))
    assert re.fullmatch(r"cannot keep pictures in .*: File too large: choose .*\n", message)
    assert names(folder) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Real disks of so many pages of 4 kB; skips where they cannot be mounted."""
    mounted: list[Path] = []

    def mount(pages: int) -> Path:
        place = tmp_path / f"disk{pages}"
        place.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={pages * 4}k", "tmpfs", str(place)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            pytest.skip(f"no mount command: {error}")
        if done.returncode:
            pytest.skip(f"cannot mount a small disk: {done.stderr.strip()}")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", str(place)], check=True)


def test_on_a_full_disk_a_picture_is_whole_or_not_there(
    small_disk: Callable[[int], Path], make_record: Make
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    image, record = Image.fromarray(pixels), make_record(width=64, height=64)
    pages = math.ceil(len(encode_png(image, record)) / 4096)
    for size in range(pages - 1, pages + 2):  # too small for the PNG, the sidecar, just enough
        disk = small_disk(size)
        if size <= pages:
            with pytest.raises(StorageError, match="No space left on device: free some space"):
                PictureFiles(disk).save(image, record, DAY)
            assert names(disk) == []
        else:
            assert_whole(PictureFiles(disk).save(image, record, DAY).path)


def test_writing_a_whole_file_replaces_the_old_one_or_leaves_it(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    atomic.write_atomically(path, b"old")
    with pytest.raises(TypeError):
        atomic.write_atomically(path, "text")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    atomic.write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["x.json"]


# What is gone meanwhile


@pytest.mark.parametrize("other", [UUID(int=0), UUID(int=2**128 - 1)])
def test_of_a_picture_that_is_gone_only_its_own_sidecar_goes_too(
    other: UUID, folder: Path, make_record: Make, make_image: Draw
) -> None:
    saved = PictureFiles(folder).save(make_image(), make_record(), DAY)
    require_picture(saved)
    saved.path.unlink()
    rewrite_sidecar(saved, saved.record.model_copy(update={"id": other}))
    with pytest.raises(PictureDeletedError, match="was deleted meanwhile"):
        require_picture(saved)
    assert saved.sidecar_path.exists()
    rewrite_sidecar(saved, saved.record)
    with pytest.raises(PictureDeletedError):
        require_picture(saved)
    assert names(folder) == []


def test_a_sidecar_that_somebody_else_removes_first_is_no_trouble(
    folder: Path, make_record: Make, make_image: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = PictureFiles(folder).save(make_image(), make_record(), DAY)
    saved.path.unlink()

    def read_and_removed(path: Path) -> Record:
        path.unlink()
        return saved.record

    monkeypatch.setattr(output_module, "load_sidecar", read_and_removed)
    with pytest.raises(PictureDeletedError):
        require_picture(saved)
