"""Rows of the catalog's table `images`: made from records, written within a transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from imagen_nb.storage.output import SavedPicture
from imagen_nb.storage.record import IMAGES_COLUMNS, Record, UnsentTag

_TABLE_COLUMNS = (
    *IMAGES_COLUMNS,
    "path",
    "sidecar_path",
    "cloud_state",
    "cloud_error",
    "updated_at",
    "sha256",
)
_COLUMNS_NOT_UPDATED = {"id", "cloud_state", "cloud_error"}  # not known from the files
_COLUMN_LIST = ", ".join(_TABLE_COLUMNS)
_PLACEHOLDERS = ", ".join("?" * len(_TABLE_COLUMNS))
_UPDATES = ", ".join(
    f"{name} = excluded.{name}"
    for name in _TABLE_COLUMNS
    if name not in _COLUMNS_NOT_UPDATED
)
_UPSERT_STATEMENT = (
    f"INSERT INTO images ({_COLUMN_LIST}) VALUES ({_PLACEHOLDERS})"
    f" ON CONFLICT (id) DO UPDATE SET {_UPDATES}"
)
_INSERT_STATEMENT = (
    f"INSERT INTO images ({_COLUMN_LIST}) VALUES ({_PLACEHOLDERS})"
    " ON CONFLICT (id) DO NOTHING"
)
_QUEUE_STATEMENT = (
    "INSERT INTO tag_changes (id, tag, present, made_at) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (id, tag) DO UPDATE"
    " SET present = excluded.present, made_at = excluded.made_at"
    " WHERE excluded.made_at >= made_at"
)


def catalog_row(
    record: Record, sidecar: str, path: str, sidecar_path: str, cloud_state: str
) -> tuple[Any, ...]:
    """Return the values of a row for `upsert_rows`.

    Args:
        record: the picture's record.
        sidecar: the text of its sidecar.
        path: of the PNG, relative to the folder, with forward slashes.
        sidecar_path: of the sidecar, likewise.
        cloud_state: one of `CLOUD_STATES`; only taken for pictures that are new.
    """
    converted = {
        "id": str(record.id),
        "owner_user_id": record.owner_user_id and str(record.owner_user_id),
        "sidecar": sidecar,
        "tags": json.dumps(record.tags, ensure_ascii=False),
        "created_at": utc_text(record.created_at),
    }
    columns = [
        converted[name] if name in converted else getattr(record, name)
        for name in IMAGES_COLUMNS
    ]
    return (
        *columns,
        path,
        sidecar_path,
        cloud_state,
        None,
        utc_text(datetime.now(UTC)),
        record.sha256,
    )


def saved_row(folder: Path, saved: SavedPicture, cloud_state: str) -> tuple[Any, ...]:
    """Return the `catalog_row` of a picture whose files are in this folder."""
    record = saved.record
    return catalog_row(
        record,
        record.to_sidecar(),
        saved.path.relative_to(folder).as_posix(),
        saved.sidecar_path.relative_to(folder).as_posix(),
        cloud_state,
    )


@dataclass(frozen=True, slots=True)
class ScannedPicture:
    """What a sidecar in the folder tells.

    `row`: a `catalog_row`. `unsent_tags`: tags that the cloud may not have, each with
    the picture's id.
    """

    row: tuple[Any, ...]
    unsent_tags: tuple[tuple[str, UnsentTag], ...]


def scanned_picture(record: Record, sidecar: str, name: str) -> ScannedPicture:
    """Return a picture of which only the files are known.

    Args:
        record: what the sidecar says.
        sidecar: its text.
        name: of the PNG.
    """
    cloud_state = "pending" if record.cloud else "off"
    row = catalog_row(record, sidecar, name, f"{name}.json", cloud_state)
    return ScannedPicture(
        row, tuple((str(record.id), tag) for tag in record.unsent_tags)
    )


def enter_scanned(
    connection: sqlite3.Connection,
    pictures: Sequence[ScannedPicture],
    *,
    replace: bool,
) -> None:
    """Enter these, and queue their unsent tags, within the caller's transaction.

    `replace`: update rows that are there; else they stay as they are.
    """
    rows = [picture.row for picture in pictures]
    if replace:
        upsert_rows(connection, rows)
    else:
        insert_rows(connection, rows)
    queue_unsent_tags(connection, [tag for one in pictures for tag in one.unsent_tags])


def upsert_rows(
    connection: sqlite3.Connection, rows: Sequence[tuple[Any, ...]]
) -> None:
    """Insert or update rows of `catalog_row` within the caller's transaction."""
    _remove_namesakes(connection, rows)
    connection.executemany(_UPSERT_STATEMENT, rows)


def _remove_namesakes(
    connection: sqlite3.Connection, rows: Sequence[tuple[Any, ...]]
) -> None:
    """Remove rows of other pictures that had these paths."""
    path_at, id_at = _TABLE_COLUMNS.index("path"), _TABLE_COLUMNS.index("id")
    paths_and_ids = [(row[path_at], row[id_at]) for row in rows]
    connection.executemany(
        "DELETE FROM images WHERE path = ? AND id <> ?", paths_and_ids
    )


def insert_rows(
    connection: sqlite3.Connection, rows: Sequence[tuple[Any, ...]]
) -> None:
    """As `upsert_rows`, but a row whose id is there already stays as it is."""
    _remove_namesakes(connection, rows)
    connection.executemany(_INSERT_STATEMENT, rows)


def queue_unsent_tags(
    connection: sqlite3.Connection, marks: Sequence[tuple[str, UnsentTag]]
) -> None:
    """Queue changes of tags, each with its picture's id, within the transaction.

    For one tag of one picture the latest counts.
    """
    rows = [(id, mark.tag, int(mark.present), mark.made_at) for id, mark in marks]
    connection.executemany(_QUEUE_STATEMENT, rows)


def next_queue_time(connection: sqlite3.Connection, now: datetime) -> str:
    """Return `now` as UTC text, or a moment after the latest queued change of a tag.

    A clock may be set back, or stand still: what is queued later must count.
    """
    query = "SELECT max(made_at) FROM tag_changes"
    (latest,) = connection.execute(query).fetchone()
    try:
        following = datetime.fromisoformat(latest) + timedelta(microseconds=1)
        return utc_text(max(now, following))
    except (TypeError, ValueError, OverflowError):  # none, or a crafted sidecar's
        return utc_text(now)


def ids_in_state(
    connection: sqlite3.Connection, state: str, ids: Iterable[str]
) -> list[str]:
    """Return those of these pictures whose `cloud_state` is this one."""
    query = (
        "SELECT id FROM images WHERE cloud_state = ?"
        " AND id IN (SELECT value FROM json_each(?))"
    )
    found = connection.execute(query, (state, json.dumps([*ids])))
    return [id for (id,) in found]


def set_mark(connection: sqlite3.Connection, name: str, value: int) -> None:
    """Note a number in the table `marks`, in place of the one before."""
    connection.execute(
        "INSERT INTO marks VALUES (?, ?)"
        " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (name, value),
    )


def get_mark(connection: sqlite3.Connection, name: str) -> int | None:
    """Return the number that was noted; None if none was."""
    query = "SELECT value FROM marks WHERE name = ?"
    found = connection.execute(query, (name,)).fetchone()
    return found[0] if found else None


def move_row(connection: sqlite3.Connection, old_id: str, record: Record) -> None:
    """Give the row of a picture the id that its record has now."""
    statement = "UPDATE OR REPLACE images SET id = ?, sidecar = ? WHERE id = ?"
    connection.execute(statement, (str(record.id), record.to_sidecar(), old_id))


def move_unsent_tags(connection: sqlite3.Connection, old_id: str, id: str) -> None:
    """Let queued changes of tags be another id's."""
    statement = "UPDATE OR REPLACE tag_changes SET id = ? WHERE id = ?"
    connection.execute(statement, (id, old_id))


def utc_text(moment: datetime) -> str:
    """Return a time as UTC text with microseconds, so that it sorts as text."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
