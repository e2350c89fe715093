"""The outbox: pictures that wait for the cloud, each leased to one sender at most.

When a sender dies, however it dies, the next one takes over what it held (see
leases.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import UUID

from imagen_nb.storage.catalog import Catalog, CatalogEntry
from imagen_nb.storage.catalog_rows import utc_text
from imagen_nb.storage.catalog_schema import MAX_ERROR_CHARS
from imagen_nb.storage.removal_rows import free_removals
from imagen_nb.storage.removals import (
    QueuedRemoval,
    claim_removals,
    finish_removals,
    refuse_removals,
)
from imagen_nb.storage.sent_votes import forget_sent_votes
from imagen_nb.system.leases import Leases

if TYPE_CHECKING:
    import pandas as pd

UNSENT_STATES = ("pending", "failed")  # what a sync tries to send


class Outbox:
    """The pictures of a catalog that wait for the cloud."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._leases = Leases(catalog.path.parent / "leases", self._free)

    def waiting(self, states: Sequence[str] = UNSENT_STATES) -> list[str]:
        """Return the ids of the pictures in these cloud states, oldest first."""
        query = (
            f"SELECT id FROM images WHERE cloud_state IN ({_placeholders(states)})"
            " ORDER BY created_at, id"
        )
        with self.catalog.connection() as connection:
            return [id for (id,) in connection.execute(query, tuple(states))]

    def entries(self) -> list[CatalogEntry]:
        """Return what waits, with the last error of each, oldest first."""
        return self.catalog.select(
            f"WHERE cloud_state IN ({_placeholders(UNSENT_STATES)})"
            " ORDER BY created_at, id",
            *UNSENT_STATES,
        )

    def include(self, ids: Iterable[UUID | str]) -> list[str]:
        """Let pictures made with the cloud switched off wait; return those changed."""
        changed = []
        for id in ids:
            entry = self.catalog.get(id)
            if entry and entry.cloud_state == "off":
                self.catalog.amend(entry, cloud=True)
                changed.append(str(entry.record.id))
        with self.catalog.connection(durable=True) as connection:
            statement = "UPDATE images SET cloud_state = 'pending' WHERE id = ?"
            connection.executemany(statement, [(id,) for id in changed])
            forget_sent_votes(connection)
        return changed

    def resend(self, entries: Iterable[CatalogEntry]) -> None:
        """Let these wait again, as their copies were lost."""
        ids = [(str(entry.record.id),) for entry in entries]
        statement = (
            "UPDATE images SET cloud_state = 'pending'"
            " WHERE id = ? AND cloud_state = 'synced'"
        )
        with self.catalog.transaction(durable=True) as connection:
            connection.executemany(statement, ids)

    @contextmanager
    def lease(self) -> Iterator[Lease]:
        """Be a sender, until the end of the block or of the process."""
        with self._leases.held() as name:
            self._leases.free_the_dead(self._senders())
            yield Lease(self.catalog, name)

    def _senders(self) -> list[str]:
        query = (
            "SELECT sender FROM images WHERE sender IS NOT NULL"
            " UNION SELECT sender FROM removals WHERE sender IS NOT NULL"
        )
        with self.catalog.connection() as connection:
            return [name for (name,) in connection.execute(query).fetchall()]

    def _free(self, name: str) -> None:
        statement = "UPDATE images SET sender = NULL WHERE sender = ?"
        with self.catalog.transaction() as connection:
            connection.execute(statement, (name,))
            free_removals(connection, name)


class Lease:
    """A sender's hold on pictures.

    Invariant: no other living sender holds what it holds.
    """

    def __init__(self, catalog: Catalog, name: str) -> None:
        self._catalog, self._name = catalog, name

    def claim(self, ids: Sequence[str]) -> list[CatalogEntry]:
        """Take and return those of the pictures that wait and nobody else holds.

        Without restored ones that somebody is still removing from the cloud.
        """
        marks = _placeholders(ids)
        with self._catalog.connection() as connection:
            connection.execute(
                f"UPDATE images SET sender = ? WHERE id IN ({marks}) AND sender IS NULL"
                f" AND cloud_state IN ({_placeholders(UNSENT_STATES)})"
                " AND id NOT IN (SELECT id FROM removals)",
                (self._name, *ids, *UNSENT_STATES),
            )
        return self._catalog.select(
            f"WHERE sender = ? AND id IN ({marks})", self._name, *ids
        )

    def hold(self, ids: Sequence[str]) -> list[CatalogEntry]:
        """Take and return those that the cloud lacks and nobody else holds.

        Even those that do not wait, as they were made with the cloud switched off.
        """
        marks = _placeholders(ids)
        with self._catalog.connection() as connection:
            connection.execute(
                f"UPDATE images SET sender = ? WHERE id IN ({marks})"
                " AND sender IS NULL AND cloud_state <> 'synced'",
                (self._name, *ids),
            )
        return self._catalog.select(
            f"WHERE sender = ? AND id IN ({marks})", self._name, *ids
        )

    def claim_removals(self, *, refused_too: bool) -> list[QueuedRemoval]:
        """Take and return what is to be removed from the cloud, as `removals` has it."""
        return claim_removals(self._catalog, self._name, refused_too=refused_too)

    def finish_removals(self, ids: Sequence[str]) -> None:
        """Note that the cloud has these no longer."""
        finish_removals(self._catalog, self._name, ids)

    def refuse_removals(self, ids: Sequence[str], reason: str) -> None:
        """Note why these stay in the cloud; only `sync` tries again."""
        refuse_removals(self._catalog, self._name, ids, reason)

    def was_deleted(self, entry: CatalogEntry) -> bool:
        """Return whether a picture was deleted since it was taken."""
        return self._catalog.find(entry.record, entry.path) is None

    def assign(
        self, entry: CatalogEntry, owner: UUID, storage_path: str
    ) -> CatalogEntry:
        """Record owner and path in the bucket, before the picture goes there."""
        recorded = (entry.record.owner_user_id, entry.record.storage_path)
        if recorded == (owner, storage_path):
            return entry
        return self._catalog.amend(
            entry, owner_user_id=owner, storage_path=storage_path
        )

    def change_id(self, entry: CatalogEntry, id: UUID) -> CatalogEntry:
        """Give a picture this id, as another one has its own in the cloud."""
        return self._catalog.change_id(entry, id)

    def acknowledge(self, entries: Iterable[CatalogEntry]) -> None:
        """Mark these as synced: the cloud has their files and rows."""
        self._set_state(entries, "synced", None)

    def reject(self, entry: CatalogEntry, reason: str) -> None:
        """Mark this one as failed; only `sync` tries it again."""
        self._set_state([entry], "failed", reason)

    def release(
        self, entries: Iterable[CatalogEntry], reason: str | None = None
    ) -> None:
        """Give these back unsent, with the reason if there is one."""
        ids = [str(entry.record.id) for entry in entries]
        if reason:
            error = reason[:MAX_ERROR_CHARS]
            self._write(
                "UPDATE images SET cloud_error = ?, sender = NULL"
                " WHERE id = ? AND sender = ?",
                [(error, id, self._name) for id in ids],
            )
        else:
            self._write(
                "UPDATE images SET sender = NULL WHERE id = ? AND sender = ?",
                [(id, self._name) for id in ids],
            )

    def _set_state(
        self, entries: Iterable[CatalogEntry], state: str, reason: str | None
    ) -> None:
        error = reason and reason[:MAX_ERROR_CHARS]
        now = utc_text(self._catalog.clock.now())
        self._write(
            "UPDATE images SET cloud_state = ?, cloud_error = ?, sender = NULL,"
            " updated_at = ? WHERE id = ? AND sender = ?",
            [
                (state, error, now, str(entry.record.id), self._name)
                for entry in entries
            ],
        )

    def _write(self, statement: str, values: Sequence[tuple[str | None, ...]]) -> None:
        with self._catalog.transaction() as connection:
            connection.executemany(statement, values)


def waiting_frame(entries: Iterable[CatalogEntry]) -> pd.DataFrame:
    """Return a DataFrame of these pictures and what keeps them from the cloud.

    The columns are those of `Studio.pending`: id, created_at (UTC), prompt, local_path,
    state and error.
    """
    import pandas as pd

    rows = [
        {
            "id": str(entry.record.id),
            "created_at": entry.record.created_at,
            "prompt": entry.record.prompt,
            "local_path": str(entry.path),
            "state": entry.cloud_state,
            "error": entry.cloud_error,
        }
        for entry in entries
    ]
    text_columns = ("id", "prompt", "local_path", "state", "error")
    columns = ["id", "created_at", *text_columns[1:]]
    frame = pd.DataFrame(rows, columns=columns)
    frame["created_at"] = pd.to_datetime(frame["created_at"], utc=True)
    dtypes = {
        **dict.fromkeys(text_columns, "str"),
        "created_at": "datetime64[us, UTC]",
    }
    return frame.astype(dtypes)


def _placeholders(values: Sequence[str]) -> str:
    """Return "?, ?, …" for an SQL statement, one for each value."""
    return ", ".join("?" * len(values))
