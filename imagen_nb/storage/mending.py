"""Enters pictures whose rows a crash or a power cut took from the catalog.

A row is committed without waiting for the disk, as its sidecar tells the same. So
whoever opens a catalog compares the names in the folder with its rows, unless the
folder is as it was at the last comparison.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from imagen_nb.storage.catalog_rows import (
    ScannedPicture,
    enter_scanned,
    get_mark,
    scanned_picture,
    set_mark,
)
from imagen_nb.storage.names import PICTURE_SUFFIXES, is_sidecar
from imagen_nb.storage.output import load_sidecar
from imagen_nb.storage.trash_moves import names_on_the_move
from imagen_nb.system.atomic import time_in
from imagen_nb.system.terminal import print_notice

_FOLDER_MARK = "folder_mtime_ns"  # when the folder was last seen complete
_MAX_ENTERED = 1000  # more would take seconds: `imagen reindex` shows its progress
_SETTLED_S = 2.0  # a folder changed later than this may change in the same clock tick


def enter_missing(connection: sqlite3.Connection, folder: Path) -> None:
    """Enter the pictures of the folder that have a sidecar and no row.

    If there are very many, say so on stderr instead. Raises what SQLite raises.
    """
    changed_ns = folder.stat().st_mtime_ns
    if get_mark(connection, _FOLDER_MARK) == changed_ns:
        return
    moving = names_on_the_move(connection)  # deleted or restored by somebody just now
    missing = [
        name for name in _missing_names(connection, folder) if name not in moving
    ]
    if len(missing) > _MAX_ENTERED:
        print_notice(
            f"{len(missing)} pictures in {folder} are not in its catalog: "
            "`imagen reindex` enters them"
        )
        return
    pictures = _load(folder, missing)
    now = time_in(folder / ".imagen")  # by the clock that dates the folder, too
    settled = now - changed_ns / 1e9 > _SETTLED_S and not moving
    if not pictures and not settled:
        return
    connection.execute("BEGIN IMMEDIATE")
    enter_scanned(connection, pictures, replace=False)
    if settled:
        set_mark(connection, _FOLDER_MARK, changed_ns)
    connection.execute("COMMIT")


def _missing_names(connection: sqlite3.Connection, folder: Path) -> list[str]:
    """Return the pictures that have a sidecar and no row, by name."""
    known = {path for (path,) in connection.execute("SELECT path FROM images")}
    names = {entry.name for entry in os.scandir(folder) if is_picture_file(entry)}
    described = (name.removesuffix(".json") for name in names if is_sidecar(name))
    return sorted(name for name in described if name in names and name not in known)


def is_picture_file(entry: os.DirEntry[str]) -> bool:
    """Return whether it is a file whose name the catalog can hold, as ours can."""
    if not (entry.name.endswith(PICTURE_SUFFIXES) or is_sidecar(entry.name)):
        return False
    try:
        entry.name.encode()
    except UnicodeEncodeError:
        return False
    return entry.is_file()  # neither a FIFO, which would block, nor a device


def _load(folder: Path, names: Iterable[str]) -> list[ScannedPicture]:
    """Return these pictures.

    Without those whose sidecar is torn or another program's: `imagen reindex` looks
    closer.
    """
    pictures = []
    for name in names:
        record = load_sidecar(folder / f"{name}.json")
        if record and record.storage_path:
            pictures.append(scanned_picture(record, record.to_sidecar(), name))
    return pictures
