"""Leases: held by one process at a time, and free as soon as it ends, however it ends."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from imagen_nb.errors import StorageError
from imagen_nb.system.leases import Leases


@pytest.fixture
def freed() -> list[str]:
    """The names that were given back, in order."""
    return []


@pytest.fixture
def leases(tmp_path: Path, freed: list[str]) -> Callable[[], Leases]:
    """Makes another one of the same folder, which is not there yet."""
    return lambda: Leases(tmp_path / "deep" / "leases", freed.append)


def locks(tmp_path: Path) -> list[str]:
    return os.listdir(tmp_path / "deep" / "leases")


def test_what_was_held_is_given_back_at_the_end(
    leases: Callable[[], Leases], freed: list[str], tmp_path: Path
) -> None:
    with leases().held() as name:
        assert freed == []
        assert locks(tmp_path) == [f"{name}.lock"]
    assert freed == [name]
    assert locks(tmp_path) == []


def test_two_names_are_held_at_once(leases: Callable[[], Leases]) -> None:
    with leases().held() as first, leases().held() as second:
        assert first != second


def test_it_is_given_back_after_an_error_too(
    leases: Callable[[], Leases], freed: list[str], tmp_path: Path
) -> None:
    with pytest.raises(ZeroDivisionError), leases().held() as name:
        raise ZeroDivisionError
    assert freed == [name]
    assert locks(tmp_path) == []


def test_the_lock_goes_even_if_nothing_can_be_given_back(tmp_path: Path) -> None:
    def fail(name: str) -> None:
        raise StorageError("the catalog is locked")

    with (
        pytest.raises(StorageError, match="the catalog is locked"),
        Leases(tmp_path, fail).held(),
    ):
        pass
    assert [*tmp_path.iterdir()] == []


def test_the_living_keep_what_they_hold_and_the_dead_do_not(
    leases: Callable[[], Leases], freed: list[str], tmp_path: Path
) -> None:
    with leases().held() as name:
        leases().free_the_dead(["dead", name, "dead too"])
        assert freed == ["dead", "dead too"]
        assert locks(tmp_path) == [f"{name}.lock"]


def test_a_lock_file_that_somebody_tidied_up_is_no_error(
    leases: Callable[[], Leases], freed: list[str], tmp_path: Path
) -> None:
    def tidy(name: str) -> None:
        freed.append(name)
        (tmp_path / f"{name}.lock").unlink()

    with Leases(tmp_path, tidy).held() as name:
        Leases(tmp_path, tidy).free_the_dead(["dead"])
    assert freed == ["dead", name]


@pytest.mark.posix
def test_another_thread_may_give_it_back_and_the_lock_is_open_before_its_file_goes(
    leases: Callable[[], Leases], freed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows removes no file that is locked."""
    import fcntl  # which Windows has not

    removed: list[str] = []
    unlink = Path.unlink

    def remove(path: Path, missing_ok: bool = False) -> None:
        if path.exists():
            descriptor = os.open(path, os.O_RDWR)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises if it is locked
            os.close(descriptor)
            removed.append(path.stem)
        unlink(path, missing_ok)

    lease = leases().held()
    thread = threading.Thread(target=lease.__enter__)
    thread.start()
    thread.join()
    monkeypatch.setattr(Path, "unlink", remove)
    lease.__exit__(None, None, None)
    assert removed == freed
    assert len(freed) == 1


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(StorageError, match="cannot keep pictures in"),
        Leases(tmp_path / "file", print).held(),
    ):
        pass
