"""Pictures with their sidecars as a folder or a zip, from which another machine has all of them."""

from __future__ import annotations

import errno
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from imagen_nb.errors import ImagenError, StorageError, UsageError
from imagen_nb.storage.output import load_record
from imagen_nb.system.plugins import PluginKind


def test_a_folder_has_each_picture_and_its_record(
    made: Callable[..., pd.DataFrame], tmp_path: Path
) -> None:
    frame = made("a boat", "a house", tags=("sea",))
    done = frame.imagen.export(tmp_path / "given")
    assert len([*(tmp_path / "given").iterdir()]) == 4
    for path, row in zip(done["path"], frame.itertuples(), strict=True):
        assert Path(path).read_bytes() == Path(str(row.local_path)).read_bytes()
        record = load_record(Path(path))
        assert (str(record.id), record.prompt, record.tags) == (row.id, row.prompt, ("sea",))


def test_a_zip_has_them_too_and_is_never_overwritten(
    made: Callable[..., pd.DataFrame], tmp_path: Path
) -> None:
    frame = made("a boat")
    frame.imagen.tag("new")  # of which the cloud is still to hear: nothing for others
    done = frame.imagen.export(tmp_path / "given.zip")
    with zipfile.ZipFile(tmp_path / "given.zip") as archive:
        (name,) = done["path"]
        assert sorted(archive.namelist()) == [name, f"{name}.json"]
        sidecar = json.loads(archive.read(f"{name}.json"))
    assert (sidecar["tags"], "unsent_tags" in sidecar) == (["new"], False)
    assert [path.name for path in tmp_path.glob(".imagen-*")] == []
    with pytest.raises(StorageError, match=r"given\.zip exists: choose another name"):
        frame.imagen.export(tmp_path / "given.zip")


def test_what_cannot_be_had_is_told_and_nothing_is_no_export(
    made: Callable[..., pd.DataFrame], tmp_path: Path
) -> None:
    frame = made("a boat", "a house")
    Path(frame["local_path"][0]).unlink()
    done = frame.imagen.export(tmp_path / "given")
    assert done["path"].isna().tolist() == [True, False]
    assert "not on this machine" in done["reason"][0]
    with pytest.raises(UsageError, match="no pictures to export"):
        frame.iloc[:0].imagen.export(tmp_path / "given")


class TestDataSets:
    """Formats by name: a folder that is whole or not there, and empty before."""

    def test_imagefolder_is_a_line_of_facts_for_each_picture(
        self, made: Callable[..., pd.DataFrame], tmp_path: Path
    ) -> None:
        frame = made("a boat", "a house\nby the sea", tags=("sea",)).imagen.score("sharpness")
        done = frame.imagen.export(tmp_path / "set", format="imagefolder")
        text = (tmp_path / "set" / "metadata.jsonl").read_text()
        lines = [json.loads(line) for line in text.splitlines()]
        for line, path, (_, row) in zip(lines, done["path"], frame.iterrows(), strict=True):
            picture = tmp_path / "set" / line["file_name"]
            assert (str(picture), line["text"]) == (path, row["prompt"])
            assert picture.read_bytes() == Path(row["local_path"]).read_bytes()
            assert (line["seed"], line["tags"]) == (row["seed"], ["sea"])
            assert line["sharpness"] == row["sharpness"]
            assert not {"local_path", "cloud", "sidecar", "storage_path"} & set(line)
        assert len(lines) == 2
        assert len({tuple(line) for line in lines}) == 1
        mode = (tmp_path / "set").stat().st_mode & 0o777
        (tmp_path / "plain").mkdir()
        assert mode == (tmp_path / "plain").stat().st_mode & 0o777

    def test_it_may_be_a_zip_and_names_are_unique(
        self, made: Callable[..., pd.DataFrame], tmp_path: Path
    ) -> None:
        frame = pd.concat([made("a boat"), made("a boat", steps=8)], ignore_index=True)
        twice = frame.assign(storage_path=frame["storage_path"][0])
        done = twice.imagen.export(tmp_path / "set.zip", format="imagefolder")
        with zipfile.ZipFile(tmp_path / "set.zip") as archive:
            assert sorted([*done["path"], "metadata.jsonl"]) == sorted(archive.namelist())
        assert done["path"][1] == done["path"][0].replace(".png", "-2.png")

    def test_what_cannot_be_had_is_left_out_and_told(
        self,
        made: Callable[..., pd.DataFrame],
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        frame = made("a boat", "a house", "a tree")
        Path(frame["local_path"][1]).unlink()
        done = frame.imagen.export(tmp_path / "set", format="imagefolder")
        assert done["path"].isna().tolist() == [False, True, False]
        assert "not on this machine" in done["reason"][1]
        assert "1 of 3 pictures are not exported" in capsys.readouterr().err
        lines = (tmp_path / "set" / "metadata.jsonl").read_text().splitlines()
        assert [json.loads(line)["text"] for line in lines] == ["a boat", "a tree"]

    def test_a_frame_from_a_file_is_taken_too(
        self, made: Callable[..., pd.DataFrame], tmp_path: Path
    ) -> None:
        frame = made("a boat", tags=("sea",)).drop(columns="sidecar")
        frame.to_parquet(tmp_path / "history.parquet")
        frame = pd.read_parquet(tmp_path / "history.parquet")
        frame.imagen.export(tmp_path / "set", format="imagefolder")
        line = json.loads((tmp_path / "set" / "metadata.jsonl").read_text())
        assert (line["tags"], line["created_at"][:3]) == (["sea"], "202")

    def test_whatever_a_column_has_is_json_in_the_end(
        self, made: Callable[..., pd.DataFrame], tmp_path: Path
    ) -> None:
        frame = made("a boat").assign(odd=float("inf"), day=pd.Timestamp("2026-05-11"), of=tmp_path)
        frame.imagen.export(tmp_path / "set", format="imagefolder")
        text = (tmp_path / "set" / "metadata.jsonl").read_text()
        line = json.loads(text, parse_constant=lambda name: pytest.fail(name))
        assert (line["odd"], line["day"][:10], line["of"]) == (None, "2026-05-11", str(tmp_path))

    def test_nothing_is_overwritten_and_nothing_half_written_stays(
        self,
        made: Callable[..., pd.DataFrame],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        frame = made("a boat")
        (tmp_path / "set").mkdir()
        (tmp_path / "set" / "mine.txt").write_text("mine")
        with pytest.raises(StorageError, match="set exists: choose another name"):
            frame.imagen.export(tmp_path / "set", format="imagefolder")
        with pytest.raises(UsageError, match=r"unknown format 'imagefoldr'.*or sidecars; did you"):
            frame.imagen.export(tmp_path / "new", format="imagefoldr")

        def full(path: Path, data: bytes) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(Path, "write_bytes", full)
        with pytest.raises(StorageError, match="No space left on device: free some space"):
            frame.imagen.export(tmp_path / "new", format="imagefolder")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["pictures", "set"]

    def test_an_exporter_that_does_not_say_what_it_wrote_is_named(
        self,
        made: Callable[..., pd.DataFrame],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        silent = lambda pictures, folder: [folder for _ in pictures][:1]  # noqa: E731
        monkeypatch.setattr(PluginKind, "load", lambda kind, name: silent)
        with pytest.raises(ImagenError, match="imagefolder named 1 files in its folder for 2"):
            made("a boat", "a house").imagen.export(tmp_path / "set", format="imagefolder")
        assert not (tmp_path / "set").exists()
