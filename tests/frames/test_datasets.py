"""Data sets for training, read back by the libraries that they are for, and taken up again."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import tarfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from imagen_nb.errors import StorageError, UsageError
from imagen_nb.frames.pictures.splitting import split_by_prompt
from imagen_nb.frames.plugins import exporters
from imagen_nb.frames.plugins.exporters import ExportedPicture
from imagen_nb.system.plugins import PluginKind
from tests.fixtures.entry_points import all_plugins

__all__ = ["all_plugins"]
pytestmark = pytest.mark.usefixtures("all_plugins")

FORMATS = ("imagefolder", "kohya", "webdataset", "parquet")
HALVES = {"train": 0.5, "test": 0.5}
SHARDS: dict[str, dict[str, Any]] = {
    "webdataset": {"shard_mb": 0.002},
    "parquet": {"shard_mb": 0.002},
}


@pytest.fixture
def frame(made: Callable[..., pd.DataFrame]) -> pd.DataFrame:
    """Twelve pictures of four prompts; a column says something of the last ones only."""
    prompts = ["a boat", "a house\nby the sea", "a tree", "a cat, photo"] * 3
    rows = made(*prompts, size=(48, 32), tags=("sea",))
    return rows.assign(style=[None] * 8 + ["flat"] * 4, sharpness=[None] * 6 + [0.5] * 6)


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where Hugging Face's datasets keep what they read; and they ask nobody."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path / "cache"


def loaded(cache: Path, *arguments: str, **more: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs
        from datasets import disable_progress_bars, load_dataset

        disable_progress_bars()
        return load_dataset(*arguments, cache_dir=str(cache), **more)


def pixels(path: object) -> Any:
    with Image.open(str(path)) as file:
        return np.asarray(file.convert("RGB"))


def tree(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


class TestReadBack:
    """What was drawn comes out again, pixel by pixel, with its caption, on its side."""

    def check(self, frame: pd.DataFrame, sides: Any, done: pd.DataFrame) -> None:
        assert set(sides) == {"train", "test"}
        seen = {}
        for side, rows in sides.items():
            for row in rows:
                assert row["id"] not in seen
                seen[row["id"]] = (side, row["text"], np.asarray(row["image"].convert("RGB")))
        assert len(seen) == len(frame)
        for (_, row), side in zip(frame.iterrows(), done["split"], strict=True):
            was, text, image = seen[row["id"]]
            assert (was, text) == (side, row["prompt"])
            assert np.array_equal(image, pixels(row["local_path"]))

    def test_imagefolder_by_datasets(
        self, frame: pd.DataFrame, tmp_path: Path, offline: Path
    ) -> None:
        done = frame.imagen.export(tmp_path / "set", "imagefolder", split=HALVES)
        sides = loaded(offline, "imagefolder", data_dir=str(tmp_path / "set"))
        self.check(frame, sides, done)
        assert sides["train"][0]["tags"] == ["sea"]

    def test_parquet_by_datasets(self, frame: pd.DataFrame, tmp_path: Path, offline: Path) -> None:
        options = SHARDS["parquet"]
        done = frame.imagen.export(tmp_path / "set", "parquet", split=HALVES, **options)
        assert len([*(tmp_path / "set" / "train").glob("*.parquet")]) > 1
        sides = loaded(offline, str(tmp_path / "set"))
        self.check(frame, sides, done)
        features = sides["train"].features
        assert type(features["image"]).__name__ == "Image"
        assert (features["seed"].dtype, features["sharpness"].dtype) == ("int64", "float64")
        rows = [row for side in sides.values() for row in side]
        assert {row["style"] for row in rows} == {None, "flat"}
        assert {*map(str, rows[0]["tags"])} == {"sea"}

    def test_webdataset_by_datasets_too(
        self, frame: pd.DataFrame, tmp_path: Path, offline: Path
    ) -> None:
        done = frame.imagen.export(tmp_path / "set", "webdataset", split=HALVES)
        files = {side: str(tmp_path / "set" / side / "*.tar") for side in HALVES}
        sides = loaded(offline, "webdataset", data_files=files)
        rows = {
            side: [
                {"id": row["json"]["id"], "text": row["txt"], "image": row["png"]} for row in part
            ]
            for side, part in sides.items()
        }
        self.check(frame, rows, done)

    def test_webdataset_by_webdataset(self, frame: pd.DataFrame, tmp_path: Path) -> None:
        done = frame.imagen.export(tmp_path / "set", "webdataset", **SHARDS["webdataset"])
        shards = sorted(map(str, (tmp_path / "set").glob("*.tar")))
        assert len(shards) > 2
        assert sorted(set(done["path"])) == shards
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # theirs
            import webdataset

            samples = webdataset.WebDataset(shards, shardshuffle=False).decode("rgb8")
            read = [*samples.to_tuple("png", "txt", "json")]
        assert [facts["seed"] for _, _, facts in read] == frame["seed"].tolist()
        for (image, text, facts), (_, row) in zip(read, frame.iterrows(), strict=True):
            assert text == row["prompt"]
            assert facts["tags"] == ["sea"]
            assert np.array_equal(image, pixels(row["local_path"]))

    def test_shards_are_bounded(self, frame: pd.DataFrame, tmp_path: Path) -> None:
        frame.imagen.export(tmp_path / "set", "webdataset", shard_mb=0.01)
        for path in (tmp_path / "set").glob("*.tar"):
            with tarfile.open(path) as archive:
                members = archive.getmembers()
            pictures = [one.size for one in members if one.name.endswith(".png")]
            assert len(pictures) == 1 or sum(pictures) <= 10_000

    def test_a_dot_in_a_name_ends_no_sample(self, frame: pd.DataFrame, tmp_path: Path) -> None:
        names = [f"x/2026-05-11/boat.{n}.png" for n in range(12)]
        frame.assign(storage_path=names).imagen.export(tmp_path / "set", "webdataset")
        with tarfile.open(tmp_path / "set" / "00000.tar") as archive:
            members = archive.getnames()
        assert len(members) == len({*members}) == 36
        assert len({name.partition(".")[0] for name in members}) == 12

    def test_kohya_has_captions_beside_pictures(self, frame: pd.DataFrame, tmp_path: Path) -> None:
        done = frame.imagen.export(tmp_path / "set", "kohya", repeats=10, name="my boats")
        (concept,) = (tmp_path / "set").iterdir()
        assert concept.name == "10_my boats"
        for path, (_, row) in zip(map(Path, done["path"]), frame.iterrows(), strict=True):
            assert path.parent == concept
            assert path.with_suffix(".txt").read_text() == " ".join(row["prompt"].split()) + "\n"
            assert path.read_bytes() == Path(row["local_path"]).read_bytes()


class TestCaptions:
    @pytest.mark.parametrize(
        ("captions", "first", "last"),
        [
            (None, "a boat", "a cat, photo"),
            ("{prompt}, {style}", "a boat", "a cat, photo, flat"),
            ("style", "", "flat"),
            ("a picture, {tags}", "a picture, sea", "a picture, sea"),
        ],
    )
    def test_they_are_the_prompt_a_template_or_a_column(
        self, frame: pd.DataFrame, tmp_path: Path, captions: str | None, first: str, last: str
    ) -> None:
        frame.imagen.export(tmp_path / "set", "imagefolder", captions=captions)
        lines = (tmp_path / "set" / "metadata.jsonl").read_text().splitlines()
        texts = [json.loads(line)["text"] for line in lines]
        assert (texts[0], texts[-1]) == (first, last)

    @pytest.mark.parametrize("captions", ["{no_such}", "no such", "{prompt", 3])
    def test_others_are_refused_before_anything_is_written(
        self, frame: pd.DataFrame, tmp_path: Path, captions: Any
    ) -> None:
        before = {*tmp_path.iterdir()}
        with pytest.raises(UsageError, match="caption"):
            frame.imagen.export(tmp_path / "set", "kohya", captions=captions)
        assert {*tmp_path.iterdir()} == before


class TestSplit:
    @given(st.lists(st.text(max_size=3), max_size=30))
    @settings(max_examples=30)
    def test_no_prompt_is_on_two_sides_in_any_order(self, prompts: list[str]) -> None:
        prompts = ["", "x", "y", *prompts]
        shares = {"train": 0.7, "valid": 0.2, "test": 0.1}
        sides = dict(zip(prompts, split_by_prompt(prompts, shares), strict=True))
        assert {*sides.values()} == {*shares}
        again = split_by_prompt(prompts[::-1], shares)
        assert again == [sides[prompt] for prompt in prompts[::-1]]

    def test_the_shares_are_those_asked_for(self) -> None:
        prompts = [f"a boat {n % 200}" for n in range(1000)]
        sides = split_by_prompt(prompts, {"train": 0.9, "test": 0.1})
        assert sides.count("test") == pytest.approx(100, abs=5)

    def test_few_prompts_change_sides_when_pictures_are_added(self) -> None:
        prompts = [f"a boat {n}" for n in range(500)]
        shares = {"train": 0.9, "test": 0.1}
        before = split_by_prompt(prompts[:400], shares)
        after = split_by_prompt(prompts, shares)[:400]
        assert sum(a != b for a, b in zip(before, after, strict=True)) <= 20

    def test_case_and_spaces_make_no_other_prompt(self) -> None:
        sides = split_by_prompt(["A  boat", "a boat", "a house"], HALVES)
        assert sides[0] == sides[1] != sides[2]

    @pytest.mark.parametrize(
        ("split", "said"),
        [
            ({"train": 0.9}, "add up to 0.9"),
            ({"train": 0.9, "../x": 0.1}, "letters, digits"),
            ({"train": 1.0, "test": 0}, "share of test"),
            ({}, "shares by name"),
            (0.9, "shares by name"),
            ({str(n): 0.2 for n in range(5)}, "4 different prompts cannot be split into 5"),
        ],
    )
    def test_what_is_no_split_is_refused(
        self, frame: pd.DataFrame, tmp_path: Path, split: Any, said: str
    ) -> None:
        with pytest.raises(UsageError, match=said):
            frame.imagen.export(tmp_path / "set", "imagefolder", split=split)


class TestSize:
    def test_larger_pictures_are_made_smaller_and_none_is_enlarged(
        self, made: Callable[..., pd.DataFrame], tmp_path: Path
    ) -> None:
        frame = pd.concat([made("a boat", size=(96, 64)), made("a house", size=(32, 16))])
        done = frame.imagen.export(tmp_path / "set", "imagefolder", size=48)
        first, second = map(Path, done["path"])
        assert pixels(first).shape == (32, 48, 3)
        assert second.read_bytes() == Path(frame["local_path"].iloc[1]).read_bytes()
        lines = (tmp_path / "set" / "metadata.jsonl").read_text().splitlines()
        sides = [(line["width"], line["height"]) for line in map(json.loads, lines)]
        assert sides == [(48, 32), (32, 16)]

    @pytest.mark.parametrize("size", [0, 15, 1e3, True, "48", 20_000])
    def test_others_are_refused(self, frame: pd.DataFrame, tmp_path: Path, size: Any) -> None:
        with pytest.raises(UsageError, match="longer side in pixels, 16 to 16384"):
            frame.imagen.export(tmp_path / "set", "imagefolder", size=size)


def test_options_are_those_of_the_format(frame: pd.DataFrame, tmp_path: Path) -> None:
    for options, said in [
        (
            {"repeat": 3},
            "argument repeat: .*kohya takes repeats, name; did you mean repeats",
        ),
        ({"repeats": 0}, "repeats is a whole number"),
        ({"name": "../x"}, "name has letters"),
    ]:
        with pytest.raises(UsageError, match=said):
            frame.imagen.export(tmp_path / "set", "kohya", **options)
    with pytest.raises(UsageError, match="imagefolder takes no options"):
        frame.imagen.export(tmp_path / "set", "imagefolder", repeats=2)
    with pytest.raises(UsageError, match="shard_mb is a number of MB"):
        frame.imagen.export(tmp_path / "set", "parquet", shard_mb=0)
    with pytest.raises(UsageError, match="with sidecars, pictures stay as they are"):
        frame.imagen.export(tmp_path / "set", size=64)
    assert [path.name for path in tmp_path.iterdir()] == ["pictures"]


class _BrokenOffError(Exception):
    """Whatever ends an export."""


def break_after(count: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The picture after `count` others cannot be read any more; later it can."""
    read = [0]
    load = exporters.ExportedPicture

    def counted(*args: Any, **kwargs: Any) -> ExportedPicture:
        read[0] += 1
        if read[0] > count:
            raise _BrokenOffError
        return load(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr("imagen_nb.frames.pictures.dataset.ExportedPicture", counted)
        yield


class TestGoingOn:
    """An export that was broken off goes on, and gives what it would have given."""

    @pytest.mark.parametrize("format", FORMATS)
    @pytest.mark.parametrize("split", [None, HALVES])
    def test_wherever_it_was_broken_off(
        self,
        frame: pd.DataFrame,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        format: str,
        split: dict[str, float] | None,
    ) -> None:
        options = {"split": split, "size": 40, **SHARDS.get(format, {})}
        frame.imagen.export(tmp_path / "whole", format, **options)
        for count in (2, 7):
            target = tmp_path / f"set-{count}"
            for _ in break_after(count, monkeypatch):
                with pytest.raises(_BrokenOffError):
                    frame.imagen.export(target, format, **options)
            assert not target.exists()
            done = frame.imagen.export(target, format, **options)
            assert done["path"].notna().all()
            assert all(Path(path).is_file() for path in done["path"])
            assert tree(target) == tree(tmp_path / "whole")
        assert [*tmp_path.glob(".imagen-*")] == []

    def test_what_is_finished_is_not_read_again(
        self,
        frame: pd.DataFrame,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        for _ in break_after(9, monkeypatch):
            with pytest.raises(_BrokenOffError):
                frame.imagen.export(tmp_path / "set", "imagefolder")
        assert "9 pictures are exported: the same export" in capsys.readouterr().err
        for path in frame["local_path"][:9]:
            Path(path).unlink()
        done = frame.imagen.export(tmp_path / "set", "imagefolder")
        assert done["path"].notna().all()

    def test_one_of_other_pictures_begins_anew(
        self, frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for _ in break_after(6, monkeypatch):
            with pytest.raises(_BrokenOffError):
                frame.imagen.export(tmp_path / "set", "imagefolder")
        frame.tail(3).imagen.export(tmp_path / "set", "imagefolder")
        assert len([*(tmp_path / "set").glob("*.png")]) == 3
        assert [*tmp_path.glob(".imagen-*")] == []

    def test_a_file_that_a_power_cut_took_begins_it_anew(
        self, frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for _ in break_after(6, monkeypatch):
            with pytest.raises(_BrokenOffError):
                frame.imagen.export(tmp_path / "set", "kohya")
        (staged,) = tmp_path.glob(".imagen-*")
        next(staged.rglob("*.png")).write_bytes(b"")
        frame.imagen.export(tmp_path / "set", "kohya")
        assert all(path.stat().st_size for path in (tmp_path / "set").rglob("*.png"))

    @pytest.mark.posix
    @pytest.mark.parametrize("format", FORMATS)
    def test_a_killed_process_leaves_what_the_next_one_takes_up(
        self, frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str
    ) -> None:
        options = SHARDS.get(format, {})
        if (child := os.fork()) == 0:
            monkeypatch.setattr("imagen_nb.frames.pictures.dataset.Dataset.picture", killed_at(8))
            frame.imagen.export(tmp_path / "set", format, **options)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
        (staged,) = tmp_path.glob(".imagen-*")
        assert len((staged / "done.jsonl").read_bytes().splitlines()) >= 4
        frame.imagen.export(tmp_path / "set", format, **options)
        frame.imagen.export(tmp_path / "whole", format, **options)
        assert tree(tmp_path / "set") == tree(tmp_path / "whole")

    def test_two_processes_do_not_write_one_data_set(
        self, frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for _ in break_after(6, monkeypatch):
            with pytest.raises(_BrokenOffError):
                frame.imagen.export(tmp_path / "set", "imagefolder")
        (staged,) = tmp_path.glob(".imagen-*")
        busy = pytest.raises(StorageError, match=r"exports to .*set: wait for it")
        with FileLock(staged / "lock"), busy:
            frame.imagen.export(tmp_path / "set", "imagefolder")
        assert frame.imagen.export(tmp_path / "set", "imagefolder")["path"].notna().all()

    def test_an_exporter_that_cannot_go_on_leaves_nothing(
        self, frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def plain(pictures: Any, folder: Path) -> Iterator[Path]:
            for picture in pictures:
                (folder / picture.name).write_bytes(picture.data)
                yield folder / picture.name

        monkeypatch.setattr(PluginKind, "load", lambda kind, name: plain)
        for _ in break_after(6, monkeypatch):
            with pytest.raises(_BrokenOffError):
                frame.imagen.export(tmp_path / "set", "imagefolder")
        assert [path.name for path in tmp_path.iterdir()] == ["pictures"]
        done = frame.imagen.export(tmp_path / "set", "imagefolder", size=40, split=HALVES)
        assert {Path(path).parent.name for path in done["path"]} == {"train", "test"}


def killed_at(count: int) -> Callable[..., ExportedPicture]:
    """In place of `Dataset.picture`: the process is gone at that picture."""
    from imagen_nb.frames.pictures.dataset import Dataset

    make, made = Dataset.picture, [0]

    def picture(*arguments: Any) -> ExportedPicture:
        made[0] += 1
        if made[0] == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return make(*arguments)

    return picture


def test_a_picture_with_transparency_keeps_it_when_made_smaller(
    frame: pd.DataFrame, tmp_path: Path
) -> None:
    path = Path(frame["local_path"][0])
    file = io.BytesIO()
    Image.new("RGBA", (96, 64), (255, 0, 0, 128)).save(file, "PNG")
    path.write_bytes(file.getvalue())
    done = frame.head(1).imagen.export(tmp_path / "set", "imagefolder", size=48)
    with Image.open(done["path"][0]) as image:
        assert image.getpixel((0, 0)) == (255, 0, 0, 128)
