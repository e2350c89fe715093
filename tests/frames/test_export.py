"""Pictures with their sidecars as a folder or a zip, from which another machine has all of them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from imagen_nb.errors import StorageError, UsageError
from imagen_nb.storage.output import load_record


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
