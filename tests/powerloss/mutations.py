"""Mistakes that the product might make, switched on in the recorded process."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from imagen_nb.storage import output
from imagen_nb.storage.catalog import Catalog
from imagen_nb.system import atomic

_fsync = os.fsync


def mutate(name: str) -> None:
    """Make this mistake from now on; "none" makes none."""
    _MUTATIONS[name]()


def _flush_only(wanted: Callable[[int], bool]) -> None:
    def fsync(descriptor: int) -> None:
        if wanted(os.fstat(descriptor).st_mode):
            _fsync(descriptor)

    _replace(os, "fsync", fsync)


def _replace(owner: object, name: str, value: object) -> None:
    assert hasattr(owner, name), f"{name} has moved: this mistake would not be made"
    setattr(owner, name, value)


def _name_early() -> None:
    """Files have their names before their data."""
    _replace(output, "temporary_file", _late_file)
    _replace(output, "write_atomically", _write_in_place)


@contextmanager
def _late_file(folder: Path, data: bytes, mode: int = 0o666) -> Iterator[Path]:
    path = atomic.temporary_name(folder)
    with open(path, "xb") as file:
        try:
            yield path
        finally:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            path.unlink(missing_ok=True)


def _write_in_place(path: Path, data: bytes, mode: int = 0o666) -> None:
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _commit_carelessly() -> None:
    """Nothing that is committed to a catalog is flushed at once."""
    connection = Catalog.connection

    def careless(catalog: Catalog, *, durable: bool = False) -> object:
        return connection(catalog)

    _replace(Catalog, "connection", careless)


_MUTATIONS: dict[str, Callable[[], None]] = {
    "none": lambda: None,
    "no file flush": lambda: _flush_only(stat.S_ISDIR),
    "no folder flush": lambda: _flush_only(lambda mode: not stat.S_ISDIR(mode)),
    "early name": _name_early,
    "no durable commit": _commit_carelessly,
}
