"""Writes the rows of pictures whose objects are there, each under an id of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from imagen_nb.cloud.claims import MAX_IDS, next_id, unnamed_objects
from imagen_nb.cloud.client import Cloud, RecordedPicture
from imagen_nb.cloud.errors import RejectedError
from imagen_nb.cloud.upload import is_same_file, load_png
from imagen_nb.errors import StorageError
from imagen_nb.storage.catalog import CatalogEntry
from imagen_nb.storage.outbox import Lease


@dataclass(frozen=True, slots=True)
class RowWriter:
    """Writes rows of pictures that a lease holds.

    `reject` is called with each picture whose row cannot be written, and with why.
    """

    cloud: Cloud
    lease: Lease
    reject: Callable[[CatalogEntry, Exception], None]

    def write(self, entries: Sequence[CatalogEntry]) -> list[CatalogEntry]:
        """Write the rows in one request; if they are rejected, each half by itself.

        Return the entries, as they are then, of those written: a picture whose id
        another one has in the cloud gets a new id, unless it was drawn for a job.
        """
        if not entries:
            return []
        try:
            taken = self.cloud.insert([cloud_row_of(entry) for entry in entries])
        except RejectedError as error:
            return self._write_halves(entries, error)
        written = []
        for entry in entries:
            id = str(entry.record.id)
            if id in taken and entry.record.job:
                written += self._take_over_or_reject(entry, taken[id])
            elif id in taken:
                written += self._write_under_next_id(entry, taken[id])
            else:
                written.append(entry)
        return written

    def _write_halves(
        self, entries: Sequence[CatalogEntry], error: RejectedError
    ) -> list[CatalogEntry]:
        if len(entries) == 1:
            self.reject(entries[0], error)
            return []
        middle = len(entries) // 2
        return self.write(entries[:middle]) + self.write(entries[middle:])

    def _write_under_next_id(
        self, entry: CatalogEntry, found: RecordedPicture | None
    ) -> list[CatalogEntry]:
        """Write a picture whose id is taken, by `found`; none if that is rejected."""
        owner, _ = self.cloud.owner()
        try:
            for _ in range(MAX_IDS):
                agreeing = self._take_over(entry, found) if found else None
                if agreeing:
                    return [agreeing]
                entry = self.lease.change_id(entry, next_id(owner, entry.record.id))
                taken = self.cloud.insert([cloud_row_of(entry)])
                if not taken:
                    return [entry]
                found = taken[str(entry.record.id)]
            id = entry.record.id
            raise RejectedError(f"another row of imagen.images has the id {id}")
        except (RejectedError, StorageError) as error:
            self.reject(entry, error)
            return []

    def _take_over_or_reject(
        self, entry: CatalogEntry, found: RecordedPicture | None
    ) -> list[CatalogEntry]:
        """Write a job's picture if the row is its own; another machine drew it else.

        Its id is the job's, and a job is one picture.
        """
        try:
            agreeing = self._take_over(entry, found) if found else None
            if agreeing:
                return [agreeing]
            raise RejectedError(
                f"the picture of the job {entry.record.job} is in imagen.images, as"
                " another machine drew it"
            )
        except (RejectedError, StorageError) as error:
            self.reject(entry, error)
            return []

    def _take_over(
        self, entry: CatalogEntry, found: RecordedPicture
    ) -> CatalogEntry | None:
        """Make picture and row agree; None if the row is not of this very file.

        It is when a lost sidecar was made anew, or the user signs in another way.
        """
        owner, folder = self.cloud.owner()
        if (found.owner, found.sha256) != (owner, entry.record.sha256):
            return None
        stored = self.cloud.object_info(found.storage_path)
        if stored is None and folder and found.storage_path.startswith(folder):
            self.cloud.replace(found.storage_path, load_png(entry))  # it was lost
            stored = self.cloud.object_info(found.storage_path)
        if stored and is_same_file(stored, load_png(entry)):
            self._remove_second_copy(entry, found.storage_path)
            return self.lease.assign(entry, owner, found.storage_path)
        if folder:
            return None  # who signs in changes nothing of a row but its tags
        row = cloud_row_of(entry)
        changed = {name: row[name] for name in ("storage_path", "sidecar")}
        self.cloud.update(changed, [("id", f"eq.{entry.record.id}")])
        return entry

    def _remove_second_copy(self, entry: CatalogEntry, first: str) -> None:
        """Remove the object that went up for this picture beside the one of its row.

        Another machine sent the same file under another name.
        """
        if entry.record.storage_path != first:
            second = unnamed_objects([entry], self.cloud)
            if second:
                self.cloud.remove(second)


def cloud_row_of(entry: CatalogEntry) -> dict[str, Any]:
    """Return the row of imagen.images, without what PostgreSQL cannot hold."""
    row: dict[str, Any] = replace_nul(entry.record.to_row())
    return row


def replace_nul(value: Any) -> Any:
    """Return the value with U+FFFD for each NUL, which no TEXT or JSONB takes.

    In strings, and in lists and dicts of them.
    """
    if isinstance(value, str):
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}")
    if isinstance(value, dict):
        return {replace_nul(key): replace_nul(item) for key, item in value.items()}
    if isinstance(value, list):
        return [replace_nul(item) for item in value]
    return value
