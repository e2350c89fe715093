"""The lock of a folder's sidecars: who changes, deletes or restores pictures holds it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from imagen_nb.storage.catalog_schema import LOCK_TIMEOUT_S, CatalogBusyError
from imagen_nb.system.atomic import explain_folder_errors, make_folder
from imagen_nb.system.locks import describe_holder


@contextmanager
def locked_sidecars(folder: Path) -> Iterator[None]:
    """Keep everybody else, in any process, from changing pictures of the folder.

    Raises `StorageError` if another process holds the lock for very long.
    """
    path = _lock_of(folder)
    with explain_folder_errors(path.parent):
        make_folder(path.parent)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=LOCK_TIMEOUT_S)
        except Timeout:
            raise CatalogBusyError(
                f"{describe_holder(path)} has been changing pictures in "
                f"{folder} for {LOCK_TIMEOUT_S} seconds: wait for it or end it"
            ) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def sidecars_if_free(folder: Path) -> Iterator[bool]:
    """Hold the lock, as `locked_sidecars`, if nobody does; give whether it is held.

    Raises `OSError` if it cannot be made.
    """
    lock = FileLock(_lock_of(folder))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _lock_of(folder: Path) -> Path:
    return folder / ".imagen" / "amend.lock"
