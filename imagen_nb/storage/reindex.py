"""Rebuilds the catalog of a folder from its sidecars."""

from __future__ import annotations

import itertools
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from imagen_nb.errors import StorageError
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.catalog_rows import (
    ScannedPicture,
    enter_scanned,
    scanned_picture,
)
from imagen_nb.storage.catalog_schema import CatalogDamagedError, make_damaged_error
from imagen_nb.storage.mending import is_picture_file
from imagen_nb.storage.names import PICTURE_SUFFIXES, is_sheet
from imagen_nb.storage.output import load_png_record, read_sidecar
from imagen_nb.storage.record import Record
from imagen_nb.storage.trash_moves import finish_moves
from imagen_nb.storage.vectors import stores_in
from imagen_nb.system.atomic import explain_folder_errors, write_atomically

_ROWS_PER_TRANSACTION = 2000  # and between two calls of `progress`
_PAUSE_S = 0.06  # between two transactions, for others that wait to change a sidecar


@dataclass(frozen=True, slots=True)
class ReindexReport:
    """What a reindex found.

    Attributes:
        found: how many pictures with records there are.
        added: how many of them were not in the catalog.
        removed: how many entries without a picture were removed.
        torn: sidecars that cannot be read, and whose PNG cannot either.
        rebuilt: sidecars that were missing or torn and were restored from the PNG.
        foreign: files without a record, such as other programs'; left alone.
        skipped: what is called like a picture and is no file, or whose name is not
            UTF-8; left alone.
    """

    found: int
    added: int
    removed: int
    torn: tuple[Path, ...] = ()
    rebuilt: tuple[Path, ...] = ()
    foreign: tuple[Path, ...] = ()
    skipped: tuple[Path, ...] = ()


def reindex(
    folder: Path | str, progress: Callable[[int, int], None] | None = None
) -> ReindexReport:
    """Enter every picture of the folder, and remove entries without a picture.

    What the cloud has of a picture stays as the catalog knew it. A damaged catalog is
    renamed to `catalog.sqlite3.damaged`. If several copies have one id, that which the
    catalog has stays there, otherwise the first by name is entered.

    Args:
        folder: the output folder.
        progress: called with (done, total) now and then.

    Raises:
        StorageError: if there is no such folder, or it cannot be written to.
    """
    catalog = Catalog(folder, mends=False)  # what is missing is counted here
    if not catalog.folder.is_dir():
        raise StorageError(
            f"there is no folder {catalog.folder}: name the one with the pictures"
        )
    try:
        with explain_folder_errors(catalog.folder):
            _put_aside_if_damaged(catalog)
            return _rebuild_rows(catalog, progress)
    finally:
        catalog.close()


def _rebuild_rows(
    catalog: Catalog, progress: Callable[[int, int], None] | None
) -> ReindexReport:
    with catalog.sidecar_lock():
        _finish_moves(catalog)
    with catalog.connection() as connection:
        before = {path for (path,) in connection.execute("SELECT path FROM images")}
    scan = _FolderScan(catalog.folder, before)
    rows = scan.rows()
    while _enter_next_rows(catalog, rows):
        if progress:
            progress(scan.done, scan.total)
        time.sleep(_PAUSE_S)
    removed = _remove_vanished_rows(catalog, scan.names)
    _tidy_vectors(catalog)
    return ReindexReport(
        found=len(scan.names),
        added=len(scan.names - before),
        removed=removed,
        torn=tuple(scan.torn),
        rebuilt=tuple(scan.rebuilt),
        foreign=tuple(scan.foreign),
        skipped=tuple(scan.skipped),
    )


def _tidy_vectors(catalog: Catalog) -> None:
    """Remove the vectors of pictures that are gone, where there are many."""
    with catalog.connection() as connection:
        ids = [id for (id,) in connection.execute("SELECT id FROM images")]
    for store in stores_in(catalog.folder):
        store.keep_only(ids)


def _finish_moves(catalog: Catalog) -> None:
    """Let pictures that were deleted, or restored, be wholly so before they are read."""
    with catalog.connection() as connection:
        finish_moves(connection, catalog.folder)


def _enter_next_rows(catalog: Catalog, scanned: Iterator[ScannedPicture]) -> bool:
    """Read and enter some more pictures; return whether there were any left.

    Under the lock of the sidecars, as a tag may be set between reading and entering.
    """
    with catalog.sidecar_lock():
        _finish_moves(catalog)
        batch = list(itertools.islice(scanned, _ROWS_PER_TRANSACTION))
        with catalog.transaction(durable=True) as connection:
            enter_scanned(connection, batch, replace=True)
    return bool(batch)


class _FolderScan:
    """One pass over a folder. `names`: of the pictures that `rows` has given so far."""

    def __init__(self, folder: Path, known: set[str]) -> None:
        """`known`: the names that the catalog has, which come first."""
        self.folder = folder
        self.names: set[str] = set()
        self.torn: list[Path] = []
        self.rebuilt: list[Path] = []
        self.foreign: list[Path] = []
        self.skipped: list[Path] = []
        self._ids: set[UUID] = set()
        self._files: set[str] = set()
        for entry in os.scandir(folder):
            if is_picture_file(entry):
                self._files.add(entry.name)
            elif entry.name.endswith(PICTURE_SUFFIXES):
                self.skipped.append(folder / entry.name)
        self._pictures = sorted(
            (name for name in self._files if name.endswith(PICTURE_SUFFIXES)),
            key=lambda name: (name not in known, os.path.splitext(name)),
        )
        self.total = len(self._pictures)
        self.done = 0

    def rows(self) -> Iterator[ScannedPicture]:
        """Give each picture with a record, and of several with one id the first."""
        for name in self._pictures:
            self.done += 1
            loaded = self._load_sidecar(f"{name}.json") or self._rebuild_sidecar(name)
            if loaded is None or loaded[0].id in self._ids:
                continue
            record, text = loaded
            self._ids.add(record.id)
            self.names.add(name)
            yield scanned_picture(record, text, name)

    def _load_sidecar(self, sidecar_name: str) -> tuple[Record, str] | None:
        """Return the record and its text; None for a missing or torn sidecar."""
        if sidecar_name not in self._files:
            return None
        try:
            # Not `Path`: a folder may hold very many.
            text = read_sidecar(f"{self.folder}/{sidecar_name}")
            record = Record.from_sidecar(text)
        except (OSError, UnicodeDecodeError, StorageError):
            return None
        return (record, text) if record.storage_path else None

    def _rebuild_sidecar(self, name: str) -> tuple[Record, str] | None:
        """Write the sidecar anew from the PNG; None if that has no record either."""
        sidecar = self.folder / f"{name}.json"
        try:
            record = load_png_record(self.folder / name)
        except StorageError:
            if not (self.folder / name).exists():
                return None  # deleted since the folder was listed
            if sidecar.name in self._files:
                self.torn.append(sidecar)
            elif not is_sheet(name):
                self.foreign.append(self.folder / name)
            return None
        text = record.to_sidecar()
        write_atomically(sidecar, text.encode())
        self.rebuilt.append(sidecar)
        return record, text


def _remove_vanished_rows(catalog: Catalog, names: set[str]) -> int:
    """Remove rows of pictures that are gone, not of those that came since the scan."""
    with catalog.transaction(durable=True) as connection:
        paths = {path for (path,) in connection.execute("SELECT path FROM images")}
        gone = [path for path in paths - names if not (catalog.folder / path).exists()]
        connection.executemany(
            "DELETE FROM images WHERE path = ?", [(path,) for path in gone]
        )
    return len(gone)


def _put_aside_if_damaged(catalog: Catalog) -> None:
    try:
        with catalog.connection() as connection:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise make_damaged_error(catalog.path, verdict)
    except CatalogDamagedError:
        catalog.close()
        damaged = catalog.path.with_name(f"{catalog.path.name}.damaged")
        for suffix in ("", "-wal", "-shm"):
            part = catalog.path.with_name(catalog.path.name + suffix)
            if part.exists():
                os.replace(part, damaged.with_name(damaged.name + suffix))
        _salvage(damaged, catalog)


# What no sidecar tells: tags of pictures that are not here, the Panel's queue, and what
# was deleted.
_SALVAGED = {
    "tag_changes": "id, tag, present, made_at",
    "queue": "place, wish, error, made_at",
    "trash": "id, bundle, name, target, state, deleted_at",
    "removals": "id, storage_path, due_at, error, cancelled",
}


def _salvage(damaged: Path, catalog: Catalog) -> None:
    """Take over what only the damaged catalog knew, as far as it can be read."""
    with closing(sqlite3.connect(f"{damaged.as_uri()}?mode=ro", uri=True)) as old:
        for table, columns in _SALVAGED.items():
            rows = list(_readable_rows(old, f"SELECT {columns} FROM {table}"))
            marks = ", ".join("?" * len(columns.split(",")))
            with catalog.transaction(durable=True) as new:
                new.executemany(
                    f"INSERT OR IGNORE INTO {table} ({columns}) VALUES ({marks})", rows
                )


def _readable_rows(
    connection: sqlite3.Connection, query: str
) -> Iterator[tuple[Any, ...]]:
    with suppress(sqlite3.DatabaseError):
        yield from connection.execute(query)
