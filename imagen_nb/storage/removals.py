"""What is to be removed from the cloud: deleted pictures, each held by one process at most.

A removal of a picture that was being sent when it was deleted belongs to that sender,
whatever becomes of it, until its lease ends. So does a removal that is under way when
its picture is restored: it is `cancelled` then, and the picture is sent once it is over.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.catalog_rows import utc_text
from imagen_nb.storage.catalog_schema import MAX_ERROR_CHARS

MAX_DELAY = timedelta(hours=1)  # what is due later than this was noted by a wrong clock


@dataclass(frozen=True, slots=True)
class QueuedRemoval:
    """A picture to remove from the cloud.

    `storage_path`: where its sidecar says that its object is, if this machine had it.
    `error`: why it could not be removed, as far as that concerns this picture.
    """

    id: str
    storage_path: str | None = None
    error: str | None = None


def load_removals(catalog: Catalog) -> list[QueuedRemoval]:
    """Return what is to be removed from the cloud, the longest waiting first."""
    query = (
        "SELECT id, storage_path, error FROM removals WHERE cancelled = 0"
        " ORDER BY due_at, id"
    )
    with catalog.connection() as connection:
        return [QueuedRemoval(*row) for row in connection.execute(query)]


def claim_removals(
    catalog: Catalog, name: str, *, refused_too: bool
) -> list[QueuedRemoval]:
    """Take and return what is due and nobody else holds.

    Args:
        catalog: whose queue.
        name: of the lease to hold them under.
        refused_too: also those that were refused before.
    """
    now = catalog.clock.now()
    with catalog.transaction() as connection:
        connection.execute(
            "UPDATE removals SET sender = ? WHERE sender IS NULL AND cancelled = 0"
            " AND (due_at <= ? OR due_at > ?) AND (error IS NULL OR ?)",
            (name, utc_text(now), utc_text(now + MAX_DELAY), refused_too),
        )
        rows = connection.execute(
            "SELECT id, storage_path, error FROM removals WHERE sender = ?"
            " AND cancelled = 0 ORDER BY due_at, id",
            (name,),
        )
        return [QueuedRemoval(*row) for row in rows.fetchall()]


def finish_removals(catalog: Catalog, name: str, ids: Sequence[str]) -> None:
    """Note that the cloud has these no longer; `name` is of the lease that holds them."""
    with catalog.transaction() as connection:
        connection.execute(
            "DELETE FROM removals WHERE sender = ?"
            " AND id IN (SELECT value FROM json_each(?))",
            (name, json.dumps([*ids])),
        )


def refuse_removals(
    catalog: Catalog, name: str, ids: Sequence[str], reason: str
) -> None:
    """Note why these stay in the cloud; only `sync` tries again."""
    with catalog.transaction() as connection:
        connection.execute(
            "UPDATE removals SET error = ? WHERE sender = ?"
            " AND id IN (SELECT value FROM json_each(?))",
            (reason[:MAX_ERROR_CHARS], name, json.dumps([*ids])),
        )
