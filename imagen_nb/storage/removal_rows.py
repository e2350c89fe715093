"""Rows of the catalog's table `removals`, written within a transaction; see removals.py."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from datetime import datetime

from imagen_nb.storage.catalog_rows import utc_text


def queue_removals(
    connection: sqlite3.Connection,
    pictures: Iterable[tuple[str, str | None]],
    due: datetime | None = None,
) -> None:
    """Queue removals within the caller's transaction, before rows leave the catalog.

    Args:
        connection: the catalog's.
        pictures: ids, each with the path of its object if that is known.
        due: when they may begin; None: at once, whatever the clock says.
    """
    connection.executemany(
        "INSERT INTO removals (id, storage_path, due_at, sender)"
        " VALUES (?1, ?2, ?3, (SELECT sender FROM images WHERE id = ?1))"
        " ON CONFLICT (id) DO UPDATE SET"
        " storage_path = coalesce(excluded.storage_path, storage_path),"
        " due_at = excluded.due_at, error = NULL, cancelled = 0,"
        " sender = coalesce(sender, excluded.sender)",
        [(id, path, utc_text(due) if due else "") for id, path in pictures],
    )


def cancel_removals(connection: sqlite3.Connection, ids: Iterable[str]) -> None:
    """Take pictures off the queue, or note so where somebody is at it."""
    keys = [(id,) for id in ids]
    connection.executemany("DELETE FROM removals WHERE id = ? AND sender IS NULL", keys)
    connection.executemany("UPDATE removals SET cancelled = 1 WHERE id = ?", keys)


def free_removals(connection: sqlite3.Connection, name: str) -> None:
    """Give back what this holder had."""
    connection.execute(
        "DELETE FROM removals WHERE sender = ? AND cancelled = 1", (name,)
    )
    connection.execute("UPDATE removals SET sender = NULL WHERE sender = ?", (name,))
