"""Files that are whole or not there: what is swept, what is said when nothing can be written."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from imagen_nb.errors import StorageError
from imagen_nb.system import atomic
from imagen_nb.system.atomic import (
    explain_folder_errors,
    explain_os_error,
    flush_folder,
    is_temporary,
    make_folder,
    move_to_new_name,
    remove_stale_files,
    temporary_file,
    temporary_name,
    time_in,
    write_atomically,
    write_private,
)

DAY_S = 24 * 3600
ELSEWHERE = ".imagen-00000000-1-ab.tmp"


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Inode and size of what was flushed, in order."""
    seen: list[tuple[int, int]] = []

    def flush(descriptor: int) -> None:
        status = os.fstat(descriptor)
        seen.append((status.st_ino, 0 if stat.S_ISDIR(status.st_mode) else status.st_size))

    monkeypatch.setattr(os, "fsync", flush)
    return seen


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def open_in(folder: Path) -> list[str]:
    """What this process has open of the folder: itself, and files, also removed ones."""
    found = []
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # that of the listing itself
            found.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    return [path for path in found if path.startswith(str(folder))]


def on_windows(monkeypatch: pytest.MonkeyPatch, **functions: Any) -> None:
    """As far as these functions are asked."""
    monkeypatch.setattr(atomic, "os", SimpleNamespace(**vars(os) | {"name": "nt"} | functions))


class TestTemporaryFiles:
    def test_the_data_are_flushed_before_the_file_can_be_renamed(
        self, tmp_path: Path, flushed: list[tuple[int, int]]
    ) -> None:
        with temporary_file(tmp_path, b"12345") as path:
            assert open_in(tmp_path) == []
            assert path.read_bytes() == b"12345"
            assert flushed == [(path.stat().st_ino, 5)]
            assert is_temporary(path.name)
            assert path.parent == tmp_path
        assert [*tmp_path.iterdir()] == []

    def test_one_that_was_renamed_stays(self, tmp_path: Path) -> None:
        with temporary_file(tmp_path, b"1") as path:
            path.rename(tmp_path / "x")
        assert os.listdir(tmp_path) == ["x"]

    @pytest.mark.parametrize(("mask", "usual"), [(0, 0o666), (0o027, 0o640)])
    def test_its_mode_is_what_is_asked_for_less_the_umask(
        self, mask: int, usual: int, tmp_path: Path
    ) -> None:
        with umask(mask):
            with temporary_file(tmp_path, b"") as path:
                assert stat.S_IMODE(path.stat().st_mode) == usual
            write_atomically(tmp_path / "x", b"")
            write_atomically(tmp_path / "secret", b"", atomic.PRIVATE_MODE)
        assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == usual
        assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600

    def test_a_private_file_is_the_owners_alone_and_its_name_is_flushed(
        self, tmp_path: Path, flushed: list[tuple[int, int]]
    ) -> None:
        (tmp_path / "secret").write_bytes(b"old, and for all to read")
        with umask(0):
            write_private(tmp_path / "secret", b"new")
        status = (tmp_path / "secret").stat()
        assert stat.S_IMODE(status.st_mode) == 0o600
        assert flushed == [(status.st_ino, 3), (tmp_path.stat().st_ino, 0)]

    def test_a_file_of_its_name_is_not_written_to(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "others").write_bytes(b"others")
        taken = tmp_path / "taken"
        os.link(tmp_path / "others", taken)
        monkeypatch.setattr(atomic, "temporary_name", lambda folder: taken)
        with pytest.raises(FileExistsError), temporary_file(tmp_path, b"mine"):
            pass
        assert (tmp_path / "others").read_bytes() == b"others"

    def test_no_other_name_is_taken_for_one(self, tmp_path: Path) -> None:
        name = temporary_name(tmp_path).name
        for other in (f"x{name}", f"{name}x", "x.png", ".imagen-x.png.claim"):
            assert not is_temporary(other)


class TestFolders:
    def test_each_that_is_made_is_flushed_into_the_one_above_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        flushed: list[Path] = []
        monkeypatch.setattr(atomic, "flush_folder", flushed.append)
        deep = tmp_path / "a" / "b" / "c"
        make_folder(deep)
        assert deep.is_dir()
        assert flushed == [tmp_path, tmp_path / "a", tmp_path / "a" / "b"]
        make_folder(deep)
        assert flushed[3:] == [deep.parent]

    def test_a_drive_that_is_not_there_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Path, "is_dir", lambda path: False)
        with pytest.raises(FileExistsError):
            make_folder(Path("/a"))

    def test_flushing_one_leaves_nothing_open(
        self, tmp_path: Path, flushed: list[tuple[int, int]]
    ) -> None:
        flush_folder(tmp_path)
        assert flushed == [(tmp_path.stat().st_ino, 0)]
        assert open_in(tmp_path) == []

    def test_one_that_cannot_be_flushed_is_left_so(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(descriptor: int) -> None:
            raise OSError(errno.EINVAL, "no")

        monkeypatch.setattr(os, "fsync", refuse)
        flush_folder(tmp_path)
        flush_folder(tmp_path / "nowhere")
        assert open_in(tmp_path) == []

    def test_windows_is_not_asked_to(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        on_windows(monkeypatch, open=lambda *_: pytest.fail("asked"))
        flush_folder(tmp_path)


class TestNewNames:
    @pytest.fixture(params=[None, errno.EPERM], ids=["links", "no links"])
    def source(
        self, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
    ) -> Path:
        """A file, in a folder of either kind."""
        if request.param:
            self.refuse_links(monkeypatch, request.param)
        source = tmp_path / "source"
        source.write_bytes(b"mine")
        return source

    def refuse_links(self, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
        def refuse(*_: object) -> None:
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(os, "link", refuse)

    def test_a_file_gets_a_name_that_is_free(self, source: Path, tmp_path: Path) -> None:
        move_to_new_name(source, tmp_path / "x.png")
        assert open_in(tmp_path) == []
        assert (tmp_path / "x.png").read_bytes() == b"mine"
        assert set(os.listdir(tmp_path)) <= {"source", "x.png"}

    def test_one_that_is_taken_stays_as_it_is(self, source: Path, tmp_path: Path) -> None:
        (tmp_path / "x.png").write_bytes(b"others")
        with pytest.raises(FileExistsError) as raised:
            move_to_new_name(source, tmp_path / "x.png")
        assert raised.value.errno == errno.EEXIST
        assert (tmp_path / "x.png").read_bytes() == b"others"
        assert source.read_bytes() == b"mine"
        assert set(os.listdir(tmp_path)) == {"source", "x.png"}

    def test_one_that_another_is_claiming_is_taken(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.refuse_links(monkeypatch, errno.ENOTSUP)
        (tmp_path / "source").touch()
        (tmp_path / ".imagen-x.png.claim").touch()
        with pytest.raises(FileExistsError):
            move_to_new_name(tmp_path / "source", tmp_path / "x.png")
        assert set(os.listdir(tmp_path)) == {"source", ".imagen-x.png.claim"}

    def test_other_errors_are_raised(
        self, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.refuse_links(monkeypatch, errno.EACCES)
        with pytest.raises(PermissionError):
            move_to_new_name(source, tmp_path / "x.png")
        assert os.listdir(tmp_path) == ["source"]


class TestWhatIsLeftOfTheDead:
    @pytest.fixture
    def dead(self) -> int:
        """The id of a process that has ended."""
        process = subprocess.Popen([sys.executable, "-c", ""])
        process.wait()
        return process.pid

    def left_by(self, process: int | str, folder: Path, host: str = "") -> Path:
        name = temporary_name(folder).name.split("-")
        path = folder / "-".join([name[0], host or name[1], str(process), name[3]])
        path.touch()
        return path

    def test_it_goes(self, dead: int, tmp_path: Path) -> None:
        for process in (dead, "9" * 30):
            self.left_by(process, tmp_path)
        (tmp_path / "x.tmp").touch()
        remove_stale_files(tmp_path)
        assert os.listdir(tmp_path) == ["x.tmp"]

    @pytest.mark.parametrize("host", ["00000000", "ffffffff"])
    def test_another_machine_may_have_a_process_of_that_number(
        self, dead: int, host: str, tmp_path: Path
    ) -> None:
        left = self.left_by(dead, tmp_path, host)
        remove_stale_files(tmp_path)
        assert left.exists()

    def test_another_users_process_lives(
        self, dead: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(process: int, sent: int) -> None:
            assert (process, sent) == (dead, 0)
            raise PermissionError

        monkeypatch.setattr(os, "kill", refuse)
        left = self.left_by(dead, tmp_path)
        remove_stale_files(tmp_path)
        assert left.exists()

    def test_windows_is_not_asked_as_it_would_end_the_process(
        self, dead: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        on_windows(monkeypatch, kill=lambda *_: pytest.fail("asked"))
        left = self.left_by(dead, tmp_path)
        remove_stale_files(tmp_path)
        assert left.exists()

    def test_one_that_another_removes_meanwhile_is_no_error(
        self, dead: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        listed = [self.left_by(dead, tmp_path).name for _ in range(2)]
        os.remove(tmp_path / listed[0])
        monkeypatch.setattr(os, "listdir", lambda folder: listed)
        remove_stale_files(tmp_path)
        assert not (tmp_path / listed[1]).exists()

    def test_where_there_is_no_folder_there_is_none(self, tmp_path: Path) -> None:
        remove_stale_files(tmp_path / "nowhere")


class TestTheClockOfTheFolder:
    """Files of other machines are as old as the clock that dates the folder's files says."""

    @pytest.mark.parametrize("ahead_s", [-400 * DAY_S, -3 * DAY_S, 3 * DAY_S, 400 * DAY_S])
    def test_a_clock_of_ours_that_is_wrong_sweeps_no_file_that_is_being_written(
        self, ahead_s: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A laptop days ahead removed what another machine was writing."""
        being_written, claim = tmp_path / ELSEWHERE, tmp_path / ".imagen-x.png.claim"
        being_written.touch()
        claim.touch()
        now = time.time() + ahead_s
        monkeypatch.setattr(time, "time", lambda: now)
        remove_stale_files(tmp_path)
        assert being_written.exists()
        assert claim.exists()

    def test_what_is_older_than_a_day_by_it_goes_whatever_ours_says(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        left = tmp_path / ELSEWHERE
        left.touch()
        now = time.time()
        os.utime(left, (now - 2 * DAY_S, now - 2 * DAY_S))
        monkeypatch.setattr(time, "time", lambda: now - 10 * DAY_S)
        remove_stale_files(tmp_path)
        assert [*tmp_path.iterdir()] == []

    def test_it_is_not_asked_where_nothing_is_left(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / ".imagen-batch.lock").touch()
        monkeypatch.setattr(Path, "touch", lambda *_, **__: pytest.fail("asked"))
        remove_stale_files(tmp_path)

    def test_where_it_cannot_be_asked_nothing_old_is_swept(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        left = tmp_path / ELSEWHERE
        left.touch()
        os.utime(left, (0, 0))

        def refuse(*arguments: object, **more: object) -> None:
            raise PermissionError(errno.EACCES, "no")

        monkeypatch.setattr(Path, "touch", refuse)
        remove_stale_files(tmp_path)
        assert left.exists()

    @pytest.mark.parametrize(("age_s", "stays"), [(DAY_S, True), (DAY_S + 1, False)])
    def test_a_day_is_the_limit(
        self, age_s: int, stays: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(atomic, "time_in", lambda folder: 1e9)
        left = tmp_path / ELSEWHERE
        left.touch()
        os.utime(left, (1e9 - age_s, 1e9 - age_s))
        remove_stale_files(tmp_path)
        assert left.exists() is stays

    def test_asking_it_leaves_nothing(self, tmp_path: Path) -> None:
        assert time_in(tmp_path) > 1e9
        assert [*tmp_path.iterdir()] == []
        assert time_in(tmp_path / "nowhere") == 0.0

    def test_own_files_stay(self, tmp_path: Path) -> None:
        temporary_name(tmp_path).touch()
        remove_stale_files(tmp_path)
        assert len([*tmp_path.iterdir()]) == 1


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EDQUOT, "free some space"),
        (errno.EMFILE, "this process has too many files open: close some, or raise the limit"),
        (errno.ENFILE, "this machine has too many files open"),
        (errno.EIO, "the disk fails"),
        (errno.EACCES, "choose a folder that can be written to"),
        (errno.EROFS, "choose a folder that can be written to"),
    ],
)
def test_each_reason_has_its_own_remedy(code: int, remedy: str, tmp_path: Path) -> None:
    with pytest.raises(StorageError) as raised, explain_folder_errors(tmp_path):
        raise OSError(code, os.strerror(code))
    reason = f"cannot keep pictures in {tmp_path}: {os.strerror(code)}: "
    assert str(raised.value).startswith(reason + remedy)
    assert "\n" not in str(raised.value)


def test_an_error_without_a_number_says_what_it_says() -> None:
    assert explain_os_error(OSError("no such drive"), "try another") == "no such drive: try another"
