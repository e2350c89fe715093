"""Duplicates: the same file, and pictures that look alike."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import imagehash
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from imagen_nb.errors import UsageError
from imagen_nb.frames.pictures.duplicates import HashCache, group_equal, group_near
from imagen_nb.studio.studio import Studio
from tests.fixtures.fault_proxy import FaultProxy


@pytest.fixture
def scenes(tmp_path: Path, session: Callable[[Studio], Studio]) -> pd.DataFrame:
    """Three pictures, a copy of the second, and the first one a little brighter."""
    session(Studio({"output": {"dir": str(tmp_path / "none")}}))
    random = np.random.default_rng(3)
    paths = [tmp_path / f"{name}.png" for name in ("one", "two", "three", "copy", "brighter")]
    for path in paths[:3]:
        rough = random.integers(0, 255, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(rough).resize((128, 128), Image.Resampling.BICUBIC).save(path)
    shutil.copy(paths[1], paths[3])
    ImageEnhance.Brightness(Image.open(paths[0])).enhance(1.02).save(paths[4])
    return pd.DataFrame(
        {"id": list("abcde"), "storage_path": "", "local_path": [str(path) for path in paths]},
        index=[10, 11, 12, 13, 14],
    )


def test_the_same_file_twice_is_a_group(scenes: pd.DataFrame) -> None:
    found = scenes.imagen.duplicates()
    assert [*found.index] == [11, 13]
    assert found["group"].tolist() == [0, 0]
    assert [*found.columns] == [*scenes.columns, "group"]
    assert scenes.iloc[[0, 1, 2]].imagen.duplicates().empty


def test_pictures_that_look_alike_are_groups(scenes: pd.DataFrame) -> None:
    found = scenes.imagen.duplicates(near=4)
    assert found["group"].to_dict() == {10: 0, 14: 0, 11: 1, 13: 1}
    assert [*found.index] == [10, 14, 11, 13]


def test_a_picture_is_looked_at_once_until_it_changes(
    scenes: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = []
    phash = imagehash.phash
    monkeypatch.setattr(imagehash, "phash", lambda image: looked.append(image) or phash(image))
    first = scenes.imagen.duplicates(near=4)
    assert len(looked) == 5
    pd.testing.assert_frame_equal(scenes.imagen.duplicates(near=4), first)
    assert len(looked) == 5
    shutil.copy(scenes["local_path"][12], scenes["local_path"][10])
    assert scenes.imagen.duplicates(near=4)["group"].to_dict() == {10: 0, 12: 0, 11: 1, 13: 1}
    assert len(looked) == 6


def test_pictures_that_cannot_be_read_are_left_out_and_that_is_said(
    scenes: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(scenes["local_path"][10]).write_bytes(b"torn")
    Path(scenes["local_path"][12]).unlink()
    assert scenes.imagen.duplicates(near=4)["group"].to_dict() == {11: 0, 13: 0}
    assert "2 of 5 pictures were not compared" in capsys.readouterr().err


def test_what_is_in_the_cloud_only_is_compared_by_its_record(
    away: Studio, proxy: FaultProxy
) -> None:
    frame = away.history(source="cloud")
    twice = pd.concat([frame, frame.iloc[[2]]], ignore_index=True)
    assert twice.imagen.duplicates()["group"].to_dict() == {2: 0, 6: 0}
    assert not any("token=" in path for _, path in proxy.requests)
    assert len(twice.imagen.duplicates(near=1)) == 7  # they differ in one pixel
    assert sum("token=" in path for _, path in proxy.requests) == 6


@pytest.mark.parametrize("near", [-1, 25, 1.5, "4"])
def test_near_is_a_number_of_bits(scenes: pd.DataFrame, near: int) -> None:
    with pytest.raises(UsageError, match="number of bits"):
        scenes.imagen.duplicates(near=near)


def test_without_imagehash_the_line_that_installs_it_is_said(
    scenes: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "imagehash", None)
    assert len(scenes.imagen.duplicates()) == 2
    with pytest.raises(UsageError, match=r'pip install "imagen_nb\[similar\]"'):
        scenes.imagen.duplicates(near=2)


hashes = st.lists(st.integers(0, 2**64 - 1) | st.sampled_from([0, 1, 3, 7, 15, 2**63]), max_size=40)


@given(hashes, st.integers(1, 24))
def test_any_two_of_a_group_are_near_and_equal_ones_are_together(
    values: list[int], bits: int
) -> None:
    groups = group_near(values, bits)
    group_of = {place: number for number, group in enumerate(groups) for place in group}
    assert len(group_of) == sum(map(len, groups))
    for group in groups:
        assert len(group) > 1
        for one in group:
            assert all((values[one] ^ values[other]).bit_count() <= bits for other in group)
    for group in group_equal(values):
        assert len({group_of[place] for place in group}) == 1


def test_a_chain_of_likes_is_no_group() -> None:
    """The first and the last have nothing in common any more."""
    chain = [2**n - 1 for n in range(9)]
    assert group_near(chain, 2) == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]


def test_ten_thousand_hashes_are_compared() -> None:
    random = np.random.default_rng(5)
    values = random.integers(0, 2**63, 10_000, dtype=np.uint64)
    values[5000:] = values[:5000] ^ np.uint64(0b101)
    groups = group_near([int(value) for value in values], 8)
    assert groups[:2] == [[0, 5000], [1, 5001]]
    assert len(groups) == 5000


HASHES = {f"key {n} \ud800": 2**64 - 1 - n for n in range(1200)}


def test_hashes_are_shared_by_all_who_use_the_file(tmp_path: Path) -> None:
    path = tmp_path / "cache" / "looks.sqlite"
    HashCache(path).save(HASHES)
    assert HashCache(path).load([*HASHES, "another"]) == HASHES


def test_a_damaged_file_of_hashes_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "looks.sqlite"
    path.write_bytes(b"no database at all" * 100)
    assert HashCache(path).load(HASHES) == {}
    HashCache(path).save(HASHES)
    assert HashCache(path).load(HASHES) == HASHES


def test_where_hashes_cannot_be_kept_the_work_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    cache = HashCache(tmp_path / "file" / "looks.sqlite")
    cache.save({"key": 1})
    assert cache.load(["key"]) == {}
    assert "looked at again" in capsys.readouterr().err


def test_another_programs_file_is_left_as_it_is_and_the_work_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with sqlite3.connect(tmp_path / "x.sqlite") as other:
        other.execute("CREATE TABLE seen (key BLOB, nothing_else INTEGER)")
    other.close()
    assert HashCache(tmp_path / "x.sqlite").load(["key"]) == {}
    assert "no such column" in capsys.readouterr().err
