"""Rebuilds a folder's catalog from its sidecars."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from imagen_nb.errors import StorageError
from imagen_nb.storage.catalog import Catalog, catalog_row, upsert_rows
from imagen_nb.storage.catalog_schema import CatalogDamagedError, make_damaged_error
from imagen_nb.storage.output import load_png_record
from imagen_nb.storage.record import Record
from imagen_nb.system.atomic import explained, write_whole

_ROWS_PER_TRANSACTION = (
    5000  # rows in one transaction, and between two calls of `progress`
)


@dataclass(frozen=True, slots=True)
class ReindexReport:
    """What a reindex met. Pictures that other programs made are left alone and not counted.

    `found`: pictures with their records, of which `added` were not in the catalog and `rebuilt`
    had no whole sidecar until it was restored from the PNG. `removed`: entries without a picture.
    `torn`: sidecars that cannot be read, whose PNG does not help.
    """

    found: int
    added: int
    removed: int
    torn: tuple[Path, ...] = ()
    rebuilt: tuple[Path, ...] = ()


def reindex(
    folder: Path | str, progress: Callable[[int, int], None] | None = None
) -> ReindexReport:
    """Enter every picture of the folder, and remove entries whose picture is gone.

    What the cloud has of a picture stays as the catalog knew it; a damaged catalog is put aside as
    `catalog.sqlite3.damaged`. Of copies with one id the first by name is entered.
    `progress(done, total)` is called now and then. Raises `StorageError` when there is no such
    folder, or nothing can be written there.
    """
    catalog = Catalog(folder)
    if not catalog.folder.is_dir():
        raise StorageError(
            f"there is no folder {catalog.folder}: name the one with the pictures"
        )
    try:
        with explained(catalog.folder):
            _put_aside_if_damaged(catalog)
            return _rebuild_rows(catalog, progress or (lambda done, total: None))
    finally:
        catalog.close()


def _rebuild_rows(
    catalog: Catalog, progress: Callable[[int, int], None]
) -> ReindexReport:
    with catalog.connection() as connection:
        before = {path for (path,) in connection.execute("SELECT path FROM images")}
    reading = _FolderScan(catalog.folder)
    rows = reading.rows()
    while batch := list(itertools.islice(rows, _ROWS_PER_TRANSACTION)):
        with (
            catalog.connection() as connection
        ):  # in pieces: other processes draw meanwhile
            connection.execute("BEGIN IMMEDIATE")
            upsert_rows(connection, batch)
            connection.execute("COMMIT")
        progress(reading.done, reading.total)
    return ReindexReport(
        found=len(reading.found),
        added=len(reading.found - before),
        removed=_remove_vanished_rows(catalog, reading.found),
        torn=tuple(reading.torn),
        rebuilt=tuple(reading.rebuilt),
    )


class _FolderScan:
    """One pass over a folder. `found` holds the names of the PNGs that `rows` gave so far."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.found: set[str] = set()
        self.torn: list[Path] = []
        self.rebuilt: list[Path] = []
        self._ids: set[UUID] = set()
        names = {
            name for name in os.listdir(folder) if name.endswith((".png", ".png.json"))
        }
        self._pictures = sorted(name for name in names if name.endswith(".png"))
        self._sidecars = names
        self.total = len(self._pictures)
        self.done = 0

    def rows(self) -> Iterator[tuple[Any, ...]]:
        for name in self._pictures:
            self.done += 1
            beside = name + ".json"
            known = self._read(beside) if beside in self._sidecars else None
            known = known or self._rebuild(name, torn=beside in self._sidecars)
            if known and known[0].id not in self._ids:
                record, text = known
                self._ids.add(record.id)
                self.found.add(name)
                state = "pending" if record.cloud else "off"
                yield catalog_row(record, text, name, beside, state)

    def _read(self, sidecar: str) -> tuple[Record, str] | None:
        try:
            with open(f"{self.folder}/{sidecar}", encoding="utf-8") as file:
                text = file.read()
            record = Record.from_sidecar(text)
        except (OSError, UnicodeDecodeError, StorageError):
            return None
        return (record, text) if record.storage_path else None

    def _rebuild(self, name: str, torn: bool) -> tuple[Record, str] | None:
        path = self.folder / name
        sidecar = self.folder / f"{name}.json"
        try:
            record = load_png_record(path)
        except StorageError:
            if torn:
                self.torn.append(sidecar)
            return None
        text = record.to_sidecar()
        write_whole(sidecar, text.encode())
        self.rebuilt.append(sidecar)
        return record, text


def _remove_vanished_rows(catalog: Catalog, found: set[str]) -> int:
    """Entries of pictures that came since the folder was read stay: their files are there."""
    with catalog.connection() as connection:
        connection.execute("BEGIN IMMEDIATE")
        paths = {path for (path,) in connection.execute("SELECT path FROM images")}
        gone = [path for path in paths - found if not (catalog.folder / path).exists()]
        connection.executemany(
            "DELETE FROM images WHERE path = ?", [(path,) for path in gone]
        )
        connection.execute("COMMIT")
    return len(gone)


def _put_aside_if_damaged(catalog: Catalog) -> None:
    try:
        with catalog.connection() as connection:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise make_damaged_error(catalog.path, verdict)
    except CatalogDamagedError:
        catalog.close()
        for ending in ("", "-wal", "-shm"):
            part = catalog.path.with_name(catalog.path.name + ending)
            if part.exists():
                os.replace(part, part.with_name(f"{catalog.path.name}.damaged{ending}"))
