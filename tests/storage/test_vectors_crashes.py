"""The store of vectors under many processes, deaths, damage and other people's folders."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import numpy as np
import pytest

from imagen_nb.errors import StorageError
from imagen_nb.storage.vectors import VectorStore, stores_in
from tests.fixtures.forks import assert_child_ends_well, forks
from tests.fixtures.kill_points import killing
from tests.fixtures.vectors import (
    DIMENSIONS,
    add_numbered,
    assert_has,
    assert_has_exactly,
    numbered_ids,
    units_of,
)

_ROOT = Path(__file__).parents[2]
_HEAD = f"""
import sys; sys.path.insert(0, {str(_ROOT)!r})
from pathlib import Path
from tests.fixtures.vectors import *
folder = Path(sys.argv[1])
store = VectorStore(folder, "m", DIMENSIONS)
"""


def start(script: str, *arguments: object, killed_at: str = "") -> subprocess.Popen[str]:
    script = killing(killed_at) + _HEAD + textwrap.dedent(script)
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


@pytest.fixture
def store(tmp_path: Path) -> VectorStore:
    return VectorStore(tmp_path, "m", DIMENSIONS)


def become_nobody() -> None:
    """Have no right that others lack."""
    if os.geteuid() == 0:
        os.setgid(65534)
        os.setuid(65534)


def assert_tidy(store: VectorStore) -> None:
    """No files but those that count."""
    names = sorted(name.split("-")[0] for name in os.listdir(store.folder))
    assert [name for name in names if name != "add.lock"] == [
        "entries",
        "rows",
        "sent",
        "space.json",
    ]


# Many processes


def test_processes_that_add_at_once_lose_nothing(store: VectorStore, tmp_path: Path) -> None:
    script = """
    first = int(sys.argv[2])
    for start in range(first, first + 200, 8):
        add_numbered(store, range(start, start + 8))
        store.mark_sent(numbered_ids([start]))
    """
    processes = [start(script, tmp_path, first) for first in (0, 100, 200, 300)]
    for process in processes:
        finished(process)
    assert_has_exactly(store, numbered_ids(range(500)))
    sent = {start for first in (0, 100, 200, 300) for start in range(first, first + 200, 8)}
    assert {*store.unsent()} == {*numbered_ids({*range(500)} - sent)}


def test_a_reader_goes_on_while_others_add_and_remove(store: VectorStore, tmp_path: Path) -> None:
    kept = add_numbered(store, range(10))
    reader = start(
        """
        rounds = 0
        print("reading", flush=True)
        while not (folder / "stop").exists():
            assert_has(store, numbered_ids(range(10)))
            found = store.best(units_of(numbered_ids([3]))[0], 1)
            assert found.ids == numbered_ids([3]), found
            rounds += 1
        print(rounds)
        """,
        tmp_path,
    )
    assert reader.stdout
    assert reader.stdout.readline() == "reading\n"
    for start_number in range(10, 210, 10):
        add_numbered(store, range(start_number, start_number + 10))
        assert store.keep_only(kept) == 10
    (tmp_path / "stop").touch()
    assert int(finished(reader)) > 0
    assert_has_exactly(store, kept)
    assert_tidy(store)


@pytest.mark.usefixtures("store")
class TestForks:
    pytestmark = forks

    def test_a_child_reads_and_adds_with_what_it_inherits(self, store: VectorStore) -> None:
        before = add_numbered(store, range(5))
        assert_has_exactly(store, before)

        def work() -> None:
            assert_has_exactly(store, before)
            add_numbered(store, range(5, 9))

        assert_child_ends_well(work)
        assert_has_exactly(store, numbered_ids(range(9)))

    def test_a_child_searches_in_threads_of_its_own(self, tmp_path: Path) -> None:
        store = VectorStore(tmp_path, "big", 2)
        rows = np.random.default_rng(0).standard_normal((70_000, 2))
        store.add(numbered_ids(range(70_000)), rows)
        expected = store.best(rows[0], 3).ids

        def work() -> None:
            assert store.best(rows[0], 3).ids == expected

        assert_child_ends_well(work)


# Deaths

_FIRST = ["before-flush:1", "before-flush:2", "before-flush:3", "before-flush:4", "before-replace"]
_LATER = ["before-flush:1", "before-flush:2", "before-flush:3", "before-replace"]


@pytest.mark.posix
@pytest.mark.parametrize("point", [*_FIRST, "after-replace"])
def test_who_dies_while_the_first_are_added_leaves_all_or_nothing(
    point: str, store: VectorStore, tmp_path: Path
) -> None:
    process = start("add_numbered(store, range(8))", tmp_path, killed_at=point)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert_has_exactly(store, numbered_ids(range(8)) if point == "after-replace" else [])
    add_numbered(store, range(20))
    assert_has_exactly(store, numbered_ids(range(20)))


@pytest.mark.posix
@pytest.mark.parametrize("point", [*_LATER, "after-replace"])
def test_who_dies_while_more_are_added_leaves_all_or_none_of_them(
    point: str, store: VectorStore, tmp_path: Path
) -> None:
    before = add_numbered(store, range(10))
    store.mark_sent(before)
    process = start("add_numbered(store, range(10, 30))", tmp_path, killed_at=point)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    after = numbered_ids(range(30)) if point == "after-replace" else before
    assert_has_exactly(store, after)
    add_numbered(store, range(40, 43))
    assert_has_exactly(store, [*after, *numbered_ids(range(40, 43))])
    assert store.unsent() == [*after[10:], *numbered_ids(range(40, 43))]


@pytest.mark.posix
@pytest.mark.parametrize("point", [*_FIRST, "after-replace"])
def test_who_dies_while_others_are_removed_leaves_all_or_the_living(
    point: str, store: VectorStore, tmp_path: Path
) -> None:
    ids = add_numbered(store, range(20))
    store.mark_sent(ids[5:15])
    process = start("store.keep_only(numbered_ids(range(10)))", tmp_path, killed_at=point)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    done = point == "after-replace"
    assert_has_exactly(store, ids[:10] if done else ids)
    assert store.unsent() == (ids[:5] if done else [*ids[:5], *ids[15:]])
    assert store.keep_only(ids[:5]) == (5 if done else 15)
    assert_has_exactly(store, ids[:5])
    assert_tidy(store)


# Damage


def cut(path: Path, size: int) -> None:
    os.truncate(path, size)


@pytest.mark.parametrize(("kind", "row"), [("rows", DIMENSIONS), ("entries", 20)])
@pytest.mark.parametrize("left", [0, 6.5])
def test_what_is_cut_off_is_dropped_and_can_be_added_again(
    kind: str, row: int, left: float, store: VectorStore, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = add_numbered(store, range(10))
    store.mark_sent(ids)
    assert_has_exactly(store, ids)
    (path,) = store.folder.glob(f"{kind}-*")
    cut(path, int(left * row))
    whole = int(left)
    assert_has_exactly(store, ids[:whole])
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"imagen: vectors in {store.folder} are damaged: {10 - whole} of 10")
    add_numbered(store, range(10))
    assert_has_exactly(store, ids)
    assert store.unsent() == ids[whole:]
    assert_tidy(store)


@pytest.mark.parametrize("kind", ["rows", "entries"])
def test_a_file_that_is_gone_leaves_nothing(kind: str, store: VectorStore) -> None:
    ids = add_numbered(store, range(3))
    next(store.folder.glob(f"{kind}-*")).unlink()
    assert_has_exactly(store, [])
    add_numbered(store, range(3))
    assert_has_exactly(store, ids)


@pytest.mark.posix
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("pattern", ["rows-*", "entries-*", "space.json"])
def test_a_file_that_may_not_be_read_leaves_nothing(pattern: str) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        store = VectorStore(Path(name), "m", DIMENSIONS)
        add_numbered(store, range(3))
        Path(name).chmod(0o755)
        next(store.folder.glob(pattern)).chmod(0)

        def work() -> None:
            become_nobody()
            assert_has_exactly(VectorStore(Path(name), "m", DIMENSIONS), [])

        assert_child_ends_well(work)


def test_notes_that_are_gone_send_everything_again(store: VectorStore) -> None:
    ids = add_numbered(store, range(3))
    store.mark_sent(ids)
    next(store.folder.glob("sent-*")).unlink()
    assert store.unsent() == ids
    store.mark_sent(ids[:1])
    assert store.unsent() == ids[1:]


@pytest.mark.parametrize(
    "change",
    [
        b"",
        b"\xff{",
        b"[]",
        b"0" * 5000,
        {"version": 2},
        {"count": -1},
        {"count": "many"},
        {"count": 10**12},
        {"generation": "../../x"},
        {"dimensions": 0},
        {"model": None},
        {"more": 1},
    ],
    ids=str,
)
def test_a_space_that_cannot_be_read_is_computed_again(
    change: bytes | dict[str, object], store: VectorStore, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = add_numbered(store, range(10))
    path = store.folder / "space.json"
    if isinstance(change, dict):
        change = json.dumps(json.loads(path.read_text()) | change).encode()
    path.write_bytes(change)
    assert stores_in(store.folder.parents[2]) == []
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert_has_exactly(store, [])
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert store.missing(ids) == ids
    add_numbered(store, range(10))
    assert_has_exactly(store, ids)
    assert_tidy(store)


@pytest.mark.parametrize("change", [{"model": "other"}, {"dimensions": DIMENSIONS - 1}])
def test_vectors_of_another_space_are_not_taken_for_these(
    change: dict[str, object], store: VectorStore
) -> None:
    ids = add_numbered(store, range(10))
    path = store.folder / "space.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert_has_exactly(store, [])
    add_numbered(store, range(10))
    assert_has_exactly(store, ids)


def test_a_store_that_was_copied_under_another_name_is_none(store: VectorStore) -> None:
    add_numbered(store, range(3))
    shutil.copytree(store.folder, store.folder.with_name("copy"))
    assert [one.folder for one in stores_in(store.folder.parents[2])] == [store.folder]


def test_a_folder_in_the_place_of_a_file_stops_no_search(store: VectorStore) -> None:
    (store.folder / "space.json").mkdir(parents=True)
    assert_has_exactly(store, [])
    assert stores_in(store.folder.parents[2]) == []
    with pytest.raises(StorageError, match="cannot keep"):
        add_numbered(store, range(3))


# Folders


def test_a_folder_that_is_removed_while_open_is_filled_anew(
    store: VectorStore, tmp_path: Path
) -> None:
    ids = add_numbered(store, range(10))
    assert_has_exactly(store, ids)
    shutil.rmtree(tmp_path / ".imagen")
    assert_has_exactly(store, [])
    assert store.best(units_of(ids)[0], 3).ids == []
    add_numbered(VectorStore(tmp_path, "m", DIMENSIONS), range(20, 25))
    assert_has_exactly(store, numbered_ids(range(20, 25)))
    add_numbered(store, range(2))
    assert_has_exactly(store, numbered_ids([*range(20, 25), 0, 1]))


def test_a_folder_that_is_made_anew_while_one_adds_is_not_spoilt(
    store: VectorStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_numbered(store, range(10))
    append = type(store._files).append

    def meanwhile(*arguments: object) -> None:
        monkeypatch.undo()
        shutil.rmtree(tmp_path / ".imagen")
        add_numbered(VectorStore(tmp_path, "m", DIMENSIONS), range(20, 25))
        append(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(type(store._files), "append", meanwhile)
    with pytest.raises(StorageError, match="No such file"):
        add_numbered(store, range(10, 20))
    assert_has_exactly(store, numbered_ids(range(20, 25)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_folder_that_can_only_be_read_can_be_searched() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        store = VectorStore(folder, "m", DIMENSIONS)
        ids = add_numbered(store, range(10))
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)

        def work() -> None:
            become_nobody()
            fresh = VectorStore(folder, "m", DIMENSIONS)
            assert_has_exactly(fresh, ids)
            assert fresh.best(units_of(ids)[4], 1).ids == ids[4:5]
            assert fresh.unsent() == ids
            with pytest.raises(StorageError, match=r"Permission denied|can be written to"):
                add_numbered(fresh, range(11))

        assert_child_ends_well(work)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755)


def test_whole_vectors_are_kept_when_the_disk_is_full(
    store: VectorStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = add_numbered(store, range(10))

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="free some space"):
        add_numbered(store, range(20))
    monkeypatch.undo()
    assert_has_exactly(store, ids)
    assert_has(VectorStore(store.folder.parents[2], "m", DIMENSIONS), ids)
