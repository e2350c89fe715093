"""The outbox: the pictures of a catalog that wait for the cloud, each leased to one sender at most.

When a sender dies, however it dies, the next one takes over what it held (see leases.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from imagen_nb.storage.catalog import Catalog, CatalogEntry, utc_text
from imagen_nb.system.leases import Leases

if TYPE_CHECKING:
    import pandas as pd

UNSENT_STATES = ("pending", "failed")  # what a sync tries
_ERROR_LENGTH = 500  # characters


class Outbox:
    """What of a catalog waits for the cloud."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._leases = Leases(catalog.path.parent / "leases", self._free)

    def waiting(self, states: Sequence[str] = UNSENT_STATES) -> list[str]:
        """The ids of the pictures in these states, oldest first."""
        with self.catalog.connection() as connection:
            rows = connection.execute(
                f"SELECT id FROM images WHERE cloud_state IN ({_placeholders(states)})"
                " ORDER BY created_at, id",
                tuple(states),
            )
            return [id for (id,) in rows]

    def entries(self) -> list[CatalogEntry]:
        """What waits, with the last error of each, oldest first."""
        return self.catalog.select(
            f"WHERE cloud_state IN ({_placeholders(UNSENT_STATES)}) ORDER BY created_at, id",
            *UNSENT_STATES,
        )

    def include(self, ids: Iterable[UUID | str]) -> list[str]:
        """Let pictures made with the cloud switched off go up after all. Gives those changed."""
        changed = []
        for entry in filter(None, map(self.catalog.get, ids)):
            if entry.cloud_state == "off":
                self.catalog.amend(entry, cloud=True)
                changed.append(str(entry.record.id))
        with self.catalog.connection() as connection:
            statement = "UPDATE images SET cloud_state = 'pending' WHERE id = ?"
            connection.executemany(statement, [(id,) for id in changed])
        return changed

    @contextmanager
    def lease(self) -> Iterator[Lease]:
        """Be a sender, until the end of the block or of the process."""
        with self._leases.held() as name:
            self._leases.free_the_dead(self._senders())
            yield Lease(self, name)

    def _senders(self) -> list[str]:
        with self.catalog.connection() as connection:
            rows = connection.execute(
                "SELECT DISTINCT sender FROM images WHERE sender IS NOT NULL"
            ).fetchall()
        return [name for (name,) in rows]

    def _free(self, name: str) -> None:
        with self.catalog.connection() as connection:
            connection.execute(
                "UPDATE images SET sender = NULL WHERE sender = ?", (name,)
            )


class Lease:
    """A sender's hold on pictures. Invariant: what it holds, no other living sender holds."""

    def __init__(self, outbox: Outbox, name: str) -> None:
        self._outbox, self._name = outbox, name

    def claim(self, ids: Sequence[str]) -> list[CatalogEntry]:
        """Those of these pictures that still wait and that nobody else holds."""
        catalog = self._outbox.catalog
        with catalog.connection() as connection:
            connection.execute(
                f"UPDATE images SET sender = ? WHERE id IN ({_placeholders(ids)}) AND sender IS NULL"
                f" AND cloud_state IN ({_placeholders(UNSENT_STATES)})",
                (self._name, *ids, *UNSENT_STATES),
            )
        return catalog.select(
            f"WHERE sender = ? AND id IN ({_placeholders(ids)})", self._name, *ids
        )

    def assign(
        self, entry: CatalogEntry, owner: UUID, storage_path: str
    ) -> CatalogEntry:
        """Note down whose the picture is and where it goes, before it goes there."""
        if (entry.record.owner_user_id, entry.record.storage_path) == (
            owner,
            storage_path,
        ):
            return entry
        catalog = self._outbox.catalog
        return catalog.amend(entry, owner_user_id=owner, storage_path=storage_path)

    def acknowledge(self, entries: Iterable[CatalogEntry]) -> None:
        """The cloud has these, files and rows."""
        self._settle(entries, "synced", None)

    def reject(self, entry: CatalogEntry, why: str) -> None:
        """This one cannot go up as it is; the next `sync` tries again."""
        self._settle([entry], "failed", why)

    def release(self, entries: Iterable[CatalogEntry], why: str | None = None) -> None:
        """Leave these for another time."""
        note = "cloud_error = ?, " if why else ""
        values = [
            (*([why[:_ERROR_LENGTH]] if why else []), str(entry.record.id), self._name)
            for entry in entries
        ]
        self._write(
            f"UPDATE images SET {note}sender = NULL WHERE id = ? AND sender = ?", values
        )

    def _settle(
        self, entries: Iterable[CatalogEntry], state: str, why: str | None
    ) -> None:
        note = why and why[:_ERROR_LENGTH]
        self._write(
            "UPDATE images SET cloud_state = ?, cloud_error = ?, sender = NULL, updated_at = ?"
            " WHERE id = ? AND sender = ?",
            [
                (state, note, _utc_now_text(), str(entry.record.id), self._name)
                for entry in entries
            ],
        )

    def _write(self, statement: str, values: Sequence[tuple[str | None, ...]]) -> None:
        with self._outbox.catalog.connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(statement, values)
            connection.execute("COMMIT")


def waiting_frame(entries: Iterable[CatalogEntry]) -> pd.DataFrame:
    """These pictures with what keeps them from the cloud, one row each."""
    import pandas as pd

    rows = [
        (str(entry.record.id), entry.record.created_at, entry.record.prompt, str(entry.path),
         entry.cloud_state, entry.cloud_error)
        for entry in entries
    ]  # fmt: skip
    text = ("id", "prompt", "local_path", "state", "error")
    frame = pd.DataFrame(rows, columns=["id", "created_at", *text[1:]])
    frame["created_at"] = pd.to_datetime(frame["created_at"], utc=True)
    return frame.astype(
        {**dict.fromkeys(text, "str"), "created_at": "datetime64[us, UTC]"}
    )


def _placeholders(values: Sequence[str]) -> str:
    """A place in a statement for each value."""
    return ", ".join("?" * len(values))


def _utc_now_text() -> str:
    return utc_text(datetime.now(UTC))
