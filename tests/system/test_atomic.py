"""Files that are whole or not there: what is swept, what is said when nothing can be written."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from imagen_nb.errors import StorageError
from imagen_nb.system.atomic import explain_folder_errors, remove_stale_files, temporary_name

DAY_S = 24 * 3600
ELSEWHERE = ".imagen-00000000-1-ab.tmp"


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

    def test_own_files_stay(self, tmp_path: Path) -> None:
        temporary_name(tmp_path).touch()
        remove_stale_files(tmp_path)
        assert len([*tmp_path.iterdir()]) == 1


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EDQUOT, "free some space"),
        (errno.EMFILE, "too many files open: close some, or raise the limit"),
        (errno.ENFILE, "this machine has too many files open"),
        (errno.EIO, "the disk fails"),
        (errno.EACCES, "choose a folder that can be written to"),
        (errno.EROFS, "choose a folder that can be written to"),
    ],
)
def test_each_reason_has_its_own_remedy(code: int, remedy: str, tmp_path: Path) -> None:
    with pytest.raises(StorageError) as raised, explain_folder_errors(tmp_path):
        raise OSError(code, os.strerror(code))
    assert os.strerror(code) in str(raised.value)
    assert remedy in str(raised.value)
    assert "\n" not in str(raised.value)
