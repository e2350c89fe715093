"""The catalog: an index that many may write at once, and that can always be rebuilt."""

from __future__ import annotations

import gc
import json
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import weakref
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from PIL import Image

from imagen_nb.errors import StorageError
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.output import PictureFiles, SavedPicture
from imagen_nb.storage.record import IMAGES_COLUMNS, Record
from imagen_nb.storage.reindex import reindex
from tests.fixtures.kill_points import killing
from tests.fixtures.older_catalogs import take_back

DAY = date(2026, 5, 11)
NOON = datetime(2026, 5, 11, 12, tzinfo=UTC)
Make = Callable[..., Record]
Keep = Callable[..., SavedPicture]


@pytest.fixture
def keep(folder: Path, make_record: Make, make_image: Callable[..., Image.Image]) -> Keep:
    """Keeps a picture in the folder; another seed, another picture."""
    output = PictureFiles(folder)

    def keep_one(seed: int = 11, **fields: Any) -> SavedPicture:
        return output.save(make_image(seed), make_record(seed=seed, **fields), DAY)

    return keep_one


@pytest.fixture
def catalog(folder: Path) -> Any:
    catalog = Catalog(folder)
    catalog.counts()  # opened before pictures are there, or it would enter them
    yield catalog
    catalog.close()


def rows(folder: Path, query: str) -> list[tuple[Any, ...]]:
    """What another program reads in the file."""
    connection = sqlite3.connect(folder / ".imagen" / "catalog.sqlite3")
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def test_a_picture_is_found_again_by_its_id(catalog: Catalog, keep: Keep) -> None:
    kept = keep(tags=("sea",))
    catalog.add(kept, "pending")
    entry = catalog.get(kept.record.id)
    assert entry
    assert (entry.record, entry.path, entry.sidecar_path) == (
        kept.record,
        kept.path,
        kept.sidecar_path,
    )
    assert (entry.cloud_state, entry.cloud_error) == ("pending", None)
    assert catalog.get(str(kept.record.id)) == entry


def test_what_is_not_there_is_none(catalog: Catalog) -> None:
    assert catalog.get(uuid4()) is None
    assert catalog.get("' OR 1=1 --") is None
    assert catalog.get_many([uuid4()]) == []
    assert catalog.latest(5) == []
    assert catalog.counts() == {"total": 0, "pending": 0, "synced": 0, "off": 0, "failed": 0}


def test_other_programs_find_the_columns_of_imagen_images(
    catalog: Catalog, keep: Keep, folder: Path
) -> None:
    kept = keep(tags=("sea", "ünï"), created_at=NOON, owner_user_id=uuid4())
    catalog.add(kept, "pending")
    names = [name for _, name, *_ in rows(folder, "PRAGMA table_info(images)")]
    own = ["path", "sidecar_path", "cloud_state", "cloud_error", "updated_at", "sender", "sha256"]
    assert names == [*IMAGES_COLUMNS, *own]
    (row,) = rows(folder, f"SELECT {', '.join(IMAGES_COLUMNS)} FROM images")
    found = dict(zip(IMAGES_COLUMNS, row, strict=True))
    assert json.loads(found.pop("sidecar")) == json.loads(kept.sidecar_path.read_text("utf-8"))
    assert json.loads(found.pop("tags")) == ["sea", "ünï"]
    assert found.pop("created_at") == "2026-05-11T12:00:00.000000+00:00"
    expected = kept.record.to_row()
    assert found == {name: expected[name] for name in found}
    assert rows(folder, "SELECT path, sidecar_path FROM images") == [
        (kept.path.name, kept.sidecar_path.name)
    ]


def test_the_newest_come_first(catalog: Catalog, keep: Keep) -> None:
    moments = [NOON + timedelta(seconds=s, microseconds=s % 2) for s in (3, 1, 2)]
    for seed, moment in enumerate(moments):
        catalog.add(keep(seed, created_at=moment), "pending")
    assert [entry.record.seed for entry in catalog.latest(2)] == [0, 2]


def test_those_that_are_asked_for_come_oldest_first(catalog: Catalog, keep: Keep) -> None:
    kept = [keep(seed, created_at=NOON - timedelta(seconds=seed)) for seed in range(4)]
    catalog.add_many((one, "off") for one in kept)
    entries = catalog.get_many(one.record.id for one in kept[:3])
    assert [entry.record.seed for entry in entries] == [2, 1, 0]


def test_pictures_are_counted_by_what_the_cloud_has_of_them(catalog: Catalog, keep: Keep) -> None:
    states = ["pending", "off", "pending", "synced", "failed"]
    catalog.add_many((keep(seed), state) for seed, state in enumerate(states))
    assert catalog.counts() == {"total": 5, "pending": 2, "synced": 1, "off": 1, "failed": 1}


def test_entering_a_picture_again_does_not_change_what_the_cloud_has(
    catalog: Catalog, keep: Keep
) -> None:
    catalog.add(keep(), "synced")
    catalog.add(keep(), "pending")
    assert catalog.counts()["synced"] == catalog.counts()["total"] == 1


def test_many_are_entered_together_or_not_at_all(catalog: Catalog, keep: Keep) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        catalog.add_many([(keep(1), "pending"), (keep(2), "somewhere")])
    assert catalog.counts()["total"] == 0
    catalog.add(keep(1), "pending")
    assert catalog.counts()["total"] == 1


def test_another_session_reads_what_the_first_has_written(
    catalog: Catalog, keep: Keep, folder: Path
) -> None:
    catalog.add(keep(), "pending")
    other = Catalog(folder)
    assert other.latest(1) == catalog.latest(1)
    other.close()
    catalog.close()
    assert len(catalog.latest(1)) == 1  # opens again


def test_looking_costs_nothing_until_it_is_asked(folder: Path) -> None:
    Catalog(folder).close()
    assert not folder.exists()


def test_many_threads_share_a_catalog(catalog: Catalog, keep: Keep) -> None:
    kept = [keep(seed) for seed in range(40)]
    failures: list[BaseException] = []

    def work(mine: list[SavedPicture]) -> None:
        try:
            for one in mine:
                catalog.add(one, "pending")
                assert catalog.get(one.record.id)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(kept[start::4],)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert catalog.counts()["total"] == 40


SCRIPT_HEAD = """
import datetime, sys, time
from pathlib import Path
from PIL import Image
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.output import PictureFiles
from imagen_nb.storage.record import Record

folder, me = Path(sys.argv[1]), int(sys.argv[2])
output, catalog = PictureFiles(folder), Catalog(folder)

def keep(seed):
    record = Record(prompt="a boat", backend="b", seed=seed, steps=4, width=8, height=8)
    return output.save(Image.new("RGB", (8, 8)), record, datetime.date(2026, 5, 11))
"""


def start(script: str, *arguments: object, killed_at: str = "") -> subprocess.Popen[str]:
    script = killing(killed_at) + SCRIPT_HEAD + textwrap.dedent(script)
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_many_processes_make_and_fill_one_catalog_at_once(folder: Path) -> None:
    script = """
        print("ready", flush=True)
        while not folder.with_name("go").exists():
            time.sleep(0.001)
        for n in range(8):
            catalog.add(keep(100 * me + n), "pending")
    """
    processes = [start(script, folder, me) for me in range(4)]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    folder.with_name("go").touch()
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    assert rows(folder, "SELECT count(*), count(DISTINCT seed) FROM images") == [(32, 32)]
    assert rows(folder, "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.posix
@pytest.mark.parametrize("point", ["after-sidecar", "after-catalog"])
def test_after_a_crash_a_reindex_makes_files_and_catalog_agree(point: str, folder: Path) -> None:
    script = """
        for n in range(3):
            catalog.add(keep(n), "pending")
    """
    process = start(script, folder, 0, killed_at=f"{point}:2")
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert rows(folder, "SELECT count(*) FROM images") == [(1 if point == "after-sidecar" else 2,)]
    assert reindex(folder).found == 2
    assert rows(folder, "SELECT seed FROM images ORDER BY seed") == [(0,), (1,)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_opens_its_own_connection(catalog: Catalog, keep: Keep) -> None:
    kept = [keep(seed) for seed in range(2)]
    catalog.add(kept[0], "pending")
    child = os.fork()
    if child == 0:
        try:
            catalog.add(kept[1], "pending")
            catalog.close()
        finally:
            os._exit(0 if catalog.counts()["total"] == 2 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert catalog.counts()["total"] == 2


def test_a_folder_removed_under_an_open_catalog_begins_anew(
    catalog: Catalog, keep: Keep, folder: Path
) -> None:
    catalog.add(keep(1), "pending")
    folder.rename(folder.with_name("elsewhere"))
    catalog.add(keep(2), "pending")
    assert [entry.record.seed for entry in catalog.latest(5)] == [2]
    assert rows(folder, "SELECT seed FROM images") == [(2,)]


@pytest.mark.filterwarnings("error::ResourceWarning")
def test_a_catalog_that_nobody_has_any_more_closes_its_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From Python 3.13 on, SQLite's module warns of a connection that others left open."""
    unraised: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", unraised.append)
    catalog = Catalog(folder)
    with catalog.connection() as connection:
        closes = weakref.ref(connection)
    del catalog, connection
    gc.collect()
    assert closes() is None
    assert unraised == []


# What cannot be used


def test_a_newer_catalog_is_left_alone(catalog: Catalog, keep: Keep, folder: Path) -> None:
    catalog.add(keep(), "synced")
    catalog.close()
    connection = sqlite3.connect(catalog.path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    for attempt in (lambda: catalog.latest(1), lambda: reindex(folder)):
        with pytest.raises(StorageError, match=r"newer imagen_nb \(schema 99\): update imagen_nb"):
            attempt()
    assert rows(folder, "SELECT cloud_state FROM images") == [("synced",)]


def damage_whole(path: Path) -> None:
    path.write_bytes(b"this is no database, whatever it was " * 200)


def damage_middle(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096 : len(content)] = bytes(len(content) - 4096)
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("damage", [damage_whole, damage_middle])
def test_a_damaged_catalog_names_the_command_that_rebuilds_it_and_it_does(
    damage: Callable[[Path], None], catalog: Catalog, keep: Keep, folder: Path
) -> None:
    kept = [keep(1), keep(2, cloud=False)]
    catalog.add_many((one, "synced") for one in kept)
    catalog.close()
    damage(catalog.path)
    with pytest.raises(StorageError, match=r"is damaged .*`imagen reindex`") as caught:
        catalog.latest(5)
    assert "\n" not in str(caught.value)
    catalog.close()

    report = reindex(folder)
    assert (report.found, report.added) == (2, 2)
    assert (folder / ".imagen" / "catalog.sqlite3.damaged").exists()
    states = {entry.record.seed: entry.cloud_state for entry in catalog.latest(5)}
    assert states == {1: "pending", 2: "off"}


def test_where_no_catalog_can_be_the_message_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        StorageError, match=r"cannot use the catalog .*: choose another folder"
    ) as caught:
        Catalog(tmp_path / "file").latest(1)
    assert "\n" not in str(caught.value)
    (tmp_path / ".imagen" / "catalog.sqlite3").mkdir(parents=True)
    with pytest.raises(StorageError, match="unable to open database file"):
        Catalog(tmp_path).latest(1)


def opened(folder: Path, prepared: str) -> str:
    """What a new process is told that prepares itself so and asks the catalog."""
    program = f"""
import os, resource
from imagen_nb.storage.catalog import Catalog
import imagen_nb.storage.output, imagen_nb.storage.writer
from imagen_nb.errors import StorageError
catalog = Catalog({str(folder)!r})
{prepared}
try:
    print(catalog.counts())
except StorageError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stderr == ""
    return done.stdout


class TestTheTrueReason:
    """All of it was "see that its folder can be written to"."""

    @pytest.mark.parametrize("free", [0, 1, 2, 3])
    def test_too_many_open_files(
        self, free: int, catalog: Catalog, keep: Keep, folder: Path
    ) -> None:
        catalog.add(keep(1), "off")
        catalog.close()
        said = opened(
            folder,
            f"""
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
held = []
while True:
    try:
        held.append(open(os.devnull))
    except OSError:
        break
for file in held[:{free}]:
    file.close()
""",
        )
        assert "Too many open files: this process has too many files open" in said
        assert "can be written to" not in said

    def test_a_full_disk(self, catalog: Catalog, keep: Keep) -> None:
        with catalog.connection() as connection:
            (pages,) = connection.execute("PRAGMA page_count").fetchone()
            connection.execute(f"PRAGMA max_page_count = {pages}")
        prompt = "a boat " * 100_000
        with pytest.raises(StorageError, match="disk is full: free some space") as raised:
            catalog.add(keep(1, prompt=prompt), "off")
        assert "written to" not in str(raised.value)

    def test_a_folder_that_cannot_be_written_to(self, folder: Path) -> None:
        (folder / ".imagen").mkdir(parents=True)
        (folder / ".imagen" / "catalog.sqlite3").mkdir()
        with pytest.raises(StorageError, match="unable to open database file: Is a directory: "):
            Catalog(folder).counts()

    def test_another_process_that_writes(
        self, catalog: Catalog, keep: Keep, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        saved = keep(1)
        with catalog.connection() as connection:
            connection.execute("PRAGMA busy_timeout = 50")
        other = sqlite3.connect(catalog.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match=r"process [0-9]+ .* has been writing"):
            catalog.add(saved, "off")
        other.close()


KEYS_OF_OLDER_VERSIONS = [
    "Illegal header value b'sb_secret_abcdefgh\\n'",
    "storage says 400 bad key sb_publishable_abcdefgh, sorry",
    "bad token eyJhabcdefgh.eyJzdWI.c2lnbg for you",
    "it sent Authorization: Bearer abcdefgh and failed",
    "cannot connect to postgresql://me:abcdefgh@host/x",
    "r8_abcdefgh is refused",
]


@pytest.mark.parametrize("text", KEYS_OF_OLDER_VERSIONS)
def test_a_key_that_an_older_version_kept_is_gone_once_the_catalog_is_opened(
    text: str, catalog: Catalog, keep: Keep, folder: Path
) -> None:
    catalog.add(keep(1), "failed")
    catalog.close()
    connection = sqlite3.connect(catalog.path, isolation_level=None)
    connection.execute("UPDATE images SET cloud_error = ?", [text])
    connection.execute(
        "INSERT INTO queue (place, wish, error, made_at) VALUES (1, '', ?, '')", [text]
    )
    take_back(connection, 5)
    connection.close()
    (entry,) = catalog.latest(1)
    catalog.close()
    assert "abcdefgh" not in str(entry.cloud_error)
    assert "…" in str(entry.cloud_error)
    files = [*(folder / ".imagen").iterdir()]
    assert not [file for file in files if file.is_file() and b"abcdefgh" in file.read_bytes()]


# Rebuilding


def test_a_reindex_enters_every_picture_and_is_the_same_twice(
    catalog: Catalog, keep: Keep, folder: Path, make_record: Make
) -> None:
    png = keep(0).path.read_bytes()
    for seed in range(1, 500):
        path = folder / f"2026-05-11-a-boat-{seed}.png"
        path.write_bytes(png)
        record = make_record(seed=seed, storage_path=f"2026-05-11/a-boat-{seed}.png")
        path.with_name(path.name + ".json").write_text(record.to_sidecar(), encoding="utf-8")
    progress: list[tuple[int, int]] = []
    first = reindex(folder, lambda done, total: progress.append((done, total)))
    again = reindex(folder)
    assert (first.found, first.added, first.removed, first.torn, first.rebuilt) == (
        500,
        500,
        0,
        (),
        (),
    )
    assert (again.found, again.added, again.removed) == (500, 0, 0)
    assert progress[-1] == (500, 500)
    assert catalog.counts() == {"total": 500, "pending": 500, "synced": 0, "off": 0, "failed": 0}


def test_a_rebuilt_catalog_is_the_one_that_was_lost(
    catalog: Catalog, keep: Keep, folder: Path
) -> None:
    for seed in range(5):
        catalog.add(keep(seed, cloud=seed > 1), "pending" if seed > 1 else "off")
    before = catalog.latest(10)
    catalog.close()
    for path in (folder / ".imagen").iterdir():
        path.unlink()
    reindex(folder)
    assert catalog.latest(10) == before


def test_a_reindex_keeps_what_the_cloud_has_and_follows_the_sidecars(
    catalog: Catalog, keep: Keep, folder: Path
) -> None:
    kept = keep()
    catalog.add(kept, "synced")
    edited = kept.record.model_copy(update={"tags": ("by hand",)})
    kept.sidecar_path.write_text(edited.to_sidecar(), encoding="utf-8")
    reindex(folder)
    (entry,) = catalog.latest(5)
    assert (entry.record.tags, entry.cloud_state) == (("by hand",), "synced")


def test_pictures_that_were_removed_or_renamed_are_followed(
    catalog: Catalog, keep: Keep, folder: Path
) -> None:
    gone, moved = keep(1), keep(2)
    catalog.add_many([(gone, "pending"), (moved, "synced")])
    gone.path.unlink()
    moved.path.rename(folder / "holiday.png")
    moved.sidecar_path.rename(folder / "holiday.png.json")
    report = reindex(folder)
    assert (report.found, report.added, report.removed) == (1, 1, 1)
    (entry,) = catalog.latest(5)
    assert (entry.path, entry.cloud_state) == (folder / "holiday.png", "synced")


def test_of_copies_with_one_id_one_is_entered(catalog: Catalog, keep: Keep, folder: Path) -> None:
    kept = keep()
    (folder / "a copy.png").write_bytes(kept.path.read_bytes())
    (folder / "a copy.png.json").write_bytes(kept.sidecar_path.read_bytes())
    assert reindex(folder).found == 1
    assert reindex(folder).added == 0
    assert len(catalog.latest(5)) == 1


def test_of_copies_with_one_id_that_which_was_entered_stays(
    catalog: Catalog, keep: Keep, folder: Path
) -> None:
    kept = keep()
    for name in ("a copy", f"{kept.path.stem}-2"):
        (folder / f"{name}.png").write_bytes(kept.path.read_bytes())
        (folder / f"{name}.png.json").write_bytes(kept.sidecar_path.read_bytes())
    catalog.add_many([(kept, "synced")])
    reindex(folder)
    assert [entry.path for entry in catalog.latest(5)] == [kept.path]


def test_a_new_catalog_has_the_picture_and_not_its_numbered_copy(
    catalog: Catalog, keep: Keep, folder: Path
) -> None:
    kept = keep()
    (folder / f"{kept.path.stem}-2.png").write_bytes(kept.path.read_bytes())
    (folder / f"{kept.path.stem}-2.png.json").write_bytes(kept.sidecar_path.read_bytes())
    reindex(folder)
    assert [entry.path for entry in catalog.latest(5)] == [kept.path]


def test_torn_and_missing_sidecars_are_restored_from_the_picture(
    catalog: Catalog, keep: Keep, folder: Path
) -> None:
    torn, missing = keep(1), keep(2)
    torn.sidecar_path.write_bytes(torn.sidecar_path.read_bytes()[:100])
    missing.sidecar_path.unlink()
    report = reindex(folder)
    assert (report.found, report.torn) == (2, ())
    assert set(report.rebuilt) == {torn.sidecar_path, missing.sidecar_path}
    for kept in (torn, missing):
        assert Record.from_sidecar(kept.sidecar_path.read_text(encoding="utf-8")) == kept.record
    assert {entry.record.id for entry in catalog.latest(5)} == {torn.record.id, missing.record.id}


def test_what_cannot_be_restored_is_reported_and_left_as_it_is(
    catalog: Catalog, keep: Keep, folder: Path
) -> None:
    whole, torn = keep(1), keep(2)
    for path in (torn.path, torn.sidecar_path):
        path.write_bytes(path.read_bytes()[:60])
    (folder / "notes.png.json").write_bytes(b"\xff\xfe")  # no picture: not ours
    report = reindex(folder)
    assert (report.found, report.torn) == (1, (torn.sidecar_path,))
    assert torn.path.stat().st_size == torn.sidecar_path.stat().st_size == 60
    assert [entry.record.id for entry in catalog.latest(5)] == [whole.record.id]


def test_pictures_of_other_programs_are_left_alone(folder: Path, keep: Keep) -> None:
    keep()
    Image.new("RGB", (8, 8)).save(folder / "holiday.png")
    (folder / "odd.png").mkdir()
    report = reindex(folder)
    assert (report.found, report.torn, report.rebuilt) == (1, (), ())
    assert not (folder / "holiday.png.json").exists()


def test_a_reindex_needs_a_folder(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"there is no folder .*: name the one"):
        reindex(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
