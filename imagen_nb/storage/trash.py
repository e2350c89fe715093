"""The trash: deleted pictures of a folder, which can be restored for 30 days.

A picture is deleted, or restored, once that is committed to the catalog; its files
follow at once, or when the catalog is next opened. Images that it was drawn from stay
in the folder `inputs`: other pictures may have been drawn from them too, or are about
to be.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from imagen_nb.errors import StorageError
from imagen_nb.storage.catalog import Catalog, CatalogEntry
from imagen_nb.storage.catalog_rows import utc_text
from imagen_nb.storage.names import sidecar_of
from imagen_nb.storage.output import load_sidecar
from imagen_nb.storage.record import Record
from imagen_nb.storage.removal_rows import queue_removals
from imagen_nb.storage.trash_moves import (
    are_plain_names,
    finish_moves,
    free_name,
    sweep,
    trash_folder,
)
from imagen_nb.system.atomic import explain_folder_errors, make_folder


@dataclass(frozen=True, slots=True)
class TrashedPicture:
    """A picture in the trash.

    `name`: of its PNG when it was deleted; `path`: where that is now; `deleted_at`: in
    UTC.
    """

    id: str
    name: str
    path: Path
    deleted_at: datetime

    @property
    def record(self) -> Record | None:
        """Its record, read from the sidecar; None if that is torn."""
        return load_sidecar(sidecar_of(self.path))


def move_to_trash(
    catalog: Catalog, ids: Sequence[str], cloud_after: float = 0.0
) -> list[str]:
    """Delete pictures: from catalog and folder now, from the cloud by the next sync.

    Args:
        catalog: whose pictures.
        ids: of the pictures; those that it does not have are left out.
        cloud_after: seconds before the removal from the cloud may begin.

    Returns:
        The ids of those that were deleted.

    Raises:
        StorageError: if the folder cannot be changed; nothing is deleted then.
    """
    if not catalog.has_any() or not catalog.get_many(ids):
        return []
    with catalog.sidecar_lock(), explain_folder_errors(catalog.folder):
        with catalog.connection() as connection:
            finish_moves(connection, catalog.folder)
            sweep(connection, catalog.folder)
        entries = catalog.get_many(ids)
        if entries:
            bundle = _new_bundle(catalog.folder)
            _commit_deletion(catalog, entries, bundle, cloud_after)
            with catalog.connection() as connection:
                finish_moves(connection, catalog.folder)
    return [str(entry.record.id) for entry in entries]


def _new_bundle(folder: Path) -> str:
    """Make the folder for the pictures of one call. Raise OSError if that cannot be."""
    if not os.access(folder, os.W_OK):
        raise StorageError(f"cannot delete pictures in {folder}: it is read-only")
    bundle = secrets.token_hex(8)
    make_folder(trash_folder(folder) / bundle)
    return bundle


def _commit_deletion(
    catalog: Catalog, entries: Sequence[CatalogEntry], bundle: str, cloud_after: float
) -> None:
    """From here on, they are deleted."""
    now = catalog.clock.now()
    paths = {str(entry.record.id): _path_in_cloud(entry) for entry in entries}
    keys = [(id,) for id in paths]
    rows = [
        (str(entry.record.id), bundle, entry.path.name, entry.path.name, utc_text(now))
        for entry in entries
    ]
    with catalog.transaction(durable=True) as connection:
        connection.executemany(
            "INSERT OR REPLACE INTO trash (id, bundle, name, target, state, deleted_at)"
            " VALUES (?, ?, ?, ?, 'going', ?)",
            rows,
        )
        in_cloud = [(id, path) for id, path in paths.items() if path]
        queue_removals(connection, in_cloud, _due(catalog, cloud_after))
        connection.executemany("DELETE FROM images WHERE id = ?", keys)
        # Their sidecars have these too: a restored picture's are queued again.
        connection.executemany("DELETE FROM tag_changes WHERE id = ?", keys)


def queue_without_files(
    catalog: Catalog, ids: Iterable[str], cloud_after: float = 0.0
) -> None:
    """Delete pictures of other machines: only from the cloud, by the next sync."""
    with catalog.transaction(durable=True) as connection:
        pictures = [(id, None) for id in ids]
        queue_removals(connection, pictures, _due(catalog, cloud_after))


def _due(catalog: Catalog, seconds: float) -> datetime | None:
    return catalog.clock.now() + timedelta(seconds=seconds) if seconds else None


def _path_in_cloud(entry: CatalogEntry) -> str | None:
    """Return where the cloud may have it; None if it was never sent.

    What is sent has its owner noted before.
    """
    record = entry.saved().record
    was_sent = entry.cloud_state != "off" and record.owner_user_id is not None
    return record.storage_path if was_sent else None


def restore_from_trash(catalog: Catalog, ids: Sequence[str]) -> list[str]:
    """Bring deleted pictures back, under the next free name where theirs is taken.

    They wait for the cloud again, as they did before, under the same ids. Those that
    are not in the trash, or are in the folder already, are left out.

    Returns:
        The ids of those that were restored.

    Raises:
        StorageError: if the folder cannot be changed, or a file is gone from the trash.
    """
    if not trashed_pictures(catalog, ids):
        return []
    with catalog.sidecar_lock(), explain_folder_errors(catalog.folder):
        with catalog.connection() as connection:
            finish_moves(connection, catalog.folder)
        here = {str(entry.record.id) for entry in catalog.get_many(ids)}
        chosen = [one for one in trashed_pictures(catalog, ids) if one.id not in here]
        for one in chosen:
            if not one.path.exists():
                raise StorageError(f"{one.name} cannot be restored: its file is gone")
        targets = [(free_name(catalog.folder, one.name), one.id) for one in chosen]
        with catalog.transaction(durable=True) as connection:
            connection.executemany(
                "UPDATE trash SET state = 'returning', target = ? WHERE id = ?", targets
            )
        with catalog.connection() as connection:
            finish_moves(connection, catalog.folder)
    return [one.id for one in chosen]


def trashed_pictures(
    catalog: Catalog, ids: Iterable[str] | None = None
) -> list[TrashedPicture]:
    """Return what is in the trash, the last deleted first; of these ids, if given.

    Does not create a catalog.
    """
    if not catalog.has_any():
        return []
    query = (
        "SELECT id, name, bundle, deleted_at FROM trash ORDER BY deleted_at DESC, name"
    )
    with catalog.connection() as connection:
        rows = connection.execute(query).fetchall()
    chosen = None if ids is None else set(ids)
    folder = trash_folder(catalog.folder)
    return [
        TrashedPicture(id, name, folder / bundle / name, _moment(deleted_at))
        for id, name, bundle, deleted_at in rows
        if (chosen is None or id in chosen) and are_plain_names(bundle, name)
    ]


def _moment(text: str) -> datetime:
    """Return the time; the beginning of time for what a crafted catalog has instead."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return datetime.min.replace(tzinfo=UTC)
