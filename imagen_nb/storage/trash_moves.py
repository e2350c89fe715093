"""Moves files of deleted pictures into the trash, and of restored ones out of it.

What is to be moved is committed to the catalog first, and nothing but that counts: a
picture whose move was interrupted is moved by whoever opens the catalog next. The
caller holds the lock of the sidecars.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from imagen_nb.errors import StorageError
from imagen_nb.storage.catalog_rows import enter_scanned, scanned_picture
from imagen_nb.storage.names import numbered_name, sidecar_of
from imagen_nb.storage.output import load_record, load_sidecar
from imagen_nb.storage.removal_rows import cancel_removals
from imagen_nb.storage.sidecar_lock import sidecars_if_free
from imagen_nb.system.atomic import (
    flush_folder,
    move_to_new_name,
    time_in,
    write_atomically,
)

TRASH_DAYS = 30  # that a deleted picture can be restored
_TRASH_S = TRASH_DAYS * 24 * 3600


@dataclass(frozen=True, slots=True)
class _Move:
    """A move that was begun. `bundle`: what was deleted by one call; `name`: of the PNG.

    `target`: its name in the folder of the pictures.
    """

    id: str
    bundle: str
    name: str
    target: str


def trash_folder(folder: Path) -> Path:
    """Return where the deleted pictures of a folder are, each call's in one below it."""
    return folder / ".imagen" / "trash"


def names_on_the_move(connection: sqlite3.Connection) -> set[str]:
    """Return the PNGs in the folder, by name, that are not whole there: nobody's rows."""
    query = "SELECT target FROM trash WHERE state <> 'kept'"
    return {name for (name,) in connection.execute(query)}


def is_in_trash(connection: sqlite3.Connection, id: UUID) -> bool:
    """Return whether a picture was deleted and can be restored."""
    query = "SELECT 1 FROM trash WHERE id = ?"
    return connection.execute(query, (str(id),)).fetchone() is not None


def finish_moves(connection: sqlite3.Connection, folder: Path) -> None:
    """Move what was begun, then commit that it is done. Raises what the system raises."""
    going, returning = (_moves(connection, state) for state in ("going", "returning"))
    bundles = {move.bundle for move in (*going, *returning)}
    if not bundles:
        return
    for move in going:
        _move_in(folder, move)
    returned = [_copy_out(connection, folder, move) for move in returning]
    for bundle in bundles:
        flush_folder(trash_folder(folder) / bundle)
    flush_folder(folder)
    connection.execute("BEGIN IMMEDIATE")
    ids = [(move.id,) for move in going]
    connection.executemany("DELETE FROM images WHERE id = ?", ids)
    connection.executemany("UPDATE trash SET state = 'kept' WHERE id = ?", ids)
    _enter_returned(connection, folder, returned)
    connection.execute("COMMIT")
    for move in returned:
        _remove_from_trash(folder, move)


def _moves(connection: sqlite3.Connection, state: str) -> list[_Move]:
    query = "SELECT id, bundle, name, target FROM trash WHERE state = ? ORDER BY target"
    moves = [_Move(*row) for row in connection.execute(query, (state,))]
    return [
        move for move in moves if are_plain_names(move.bundle, move.name, move.target)
    ]


def are_plain_names(*names: str) -> bool:
    """Return whether none leads to another folder, as in a crafted catalog."""
    return all(Path(name).name == name and name != ".." for name in names)


def _move_in(folder: Path, move: _Move) -> None:
    """The PNG first: a PNG alone would be a picture whose sidecar is to be restored."""
    png, kept = folder / move.target, _path_in_trash(folder, move)
    sidecar = sidecar_of(png)
    found = load_sidecar(sidecar)
    if found and str(found.id) != move.id:
        return  # another picture has the name by now
    for source, target in ((png, kept), (sidecar, sidecar_of(kept))):
        if target.exists() and not _is_same_file(source, target):
            continue
        with suppress(FileNotFoundError):  # somebody removed it
            os.replace(source, target)
        if _is_same_file(source, target):  # of two names of one file both stay
            source.unlink()


def _is_same_file(one: Path, other: Path) -> bool:
    """Return whether both are there, with the same bytes, which no two pictures have."""
    try:
        return os.path.samefile(one, other) or filecmp.cmp(one, other, shallow=False)
    except FileNotFoundError:
        return False


def _copy_out(connection: sqlite3.Connection, folder: Path, move: _Move) -> _Move:
    """Give the files their names in the folder, too; those in the trash stay.

    Return the move as it was: under another name if its own was taken meanwhile.
    """
    kept = _path_in_trash(folder, move)
    while kept.exists() and not _is_same_file(kept, folder / move.target):
        try:
            move_to_new_name(kept, folder / move.target)
        except FileExistsError:
            move = _retargeted(connection, folder, move)
    sidecar = sidecar_of(kept)
    if (folder / move.target).exists() and sidecar.exists():
        write_atomically(sidecar_of(folder / move.target), sidecar.read_bytes())
    return move


def _remove_from_trash(folder: Path, move: _Move) -> None:
    """Remove what is in the folder again; what a crash leaves is swept later."""
    kept = _path_in_trash(folder, move)
    for path in (kept, sidecar_of(kept)):
        path.unlink(missing_ok=True)
    with suppress(OSError):  # it has others of its call
        kept.parent.rmdir()


def _retargeted(connection: sqlite3.Connection, folder: Path, move: _Move) -> _Move:
    target = free_name(folder, move.name)
    statement = "UPDATE trash SET target = ? WHERE id = ?"
    connection.execute("PRAGMA synchronous = FULL")  # before the file has that name
    connection.execute(statement, (target, move.id))
    connection.execute("PRAGMA synchronous = NORMAL")
    return _Move(move.id, move.bundle, move.name, target)


def free_name(folder: Path, name: str) -> str:
    """Return the name, or the next number of it, that no picture and no sidecar has."""
    (stem, suffix), number = os.path.splitext(name), 1
    while True:
        path = folder / numbered_name(stem, number, suffix)
        if not os.path.lexists(path) and not os.path.lexists(sidecar_of(path)):
            return path.name
        number += 1


def _enter_returned(
    connection: sqlite3.Connection, folder: Path, moves: Sequence[_Move]
) -> None:
    """Enter restored pictures as they were, within the caller's transaction."""
    pictures = []
    for move in moves:
        png = folder / move.target
        if not png.exists():
            continue  # somebody removed it
        with suppress(StorageError):  # or tore it
            record = load_record(png)
            if not sidecar_of(png).exists():
                write_atomically(sidecar_of(png), record.to_sidecar().encode())
            text = record.to_sidecar()
            pictures.append(scanned_picture(record, text, move.target))
    ids = [move.id for move in moves]
    connection.executemany("DELETE FROM trash WHERE id = ?", [(id,) for id in ids])
    cancel_removals(connection, ids)
    enter_scanned(connection, pictures, replace=False)


def _path_in_trash(folder: Path, move: _Move) -> Path:
    return trash_folder(folder) / move.bundle / move.name


def tend_trash(connection: sqlite3.Connection, folder: Path) -> None:
    """Finish what an interrupted call began, and remove what was deleted long ago.

    Unless another process has the lock, which is at it then. Raises what SQLite raises.
    """
    moving = bool(names_on_the_move(connection))
    old = [] if moving else _old_bundles(folder)
    if not moving and not old:
        return
    with suppress(OSError), sidecars_if_free(folder) as is_held:
        if is_held:
            finish_moves(connection, folder)
            sweep(connection, folder, old)


def _old_bundles(folder: Path) -> list[str]:
    """Return what was deleted longer ago than `TRASH_DAYS`, by the folder's clock.

    A bundle is as old as the last picture that came into it or left it.
    """
    try:
        bundles = [*os.scandir(trash_folder(folder))]
        now = time_in(trash_folder(folder)) if bundles else 0.0
        return [one.name for one in bundles if now - one.stat().st_mtime > _TRASH_S]
    except OSError:  # no trash yet, or not ours to clear
        return []


def sweep(
    connection: sqlite3.Connection, folder: Path, bundles: Iterable[str] | None = None
) -> None:
    """Remove deleted pictures for good: those of old bundles, or of these.

    First they can no longer be restored, then their files go. The caller holds the lock
    of the sidecars.
    """
    for bundle in _old_bundles(folder) if bundles is None else bundles:
        statement = "DELETE FROM trash WHERE bundle = ? AND state = 'kept'"
        connection.execute(statement, (bundle,))
        query = "SELECT 1 FROM trash WHERE bundle = ?"
        if connection.execute(query, (bundle,)).fetchone() is None:
            shutil.rmtree(trash_folder(folder) / bundle, ignore_errors=True)
