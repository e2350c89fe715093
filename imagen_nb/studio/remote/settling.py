"""What becomes of a picture that was drawn for a job: sent, discarded, or left for now.

The primary key of imagen.images decides whose picture is the job's. Whoever comes second
throws its own away, with the object that it may have sent; never the winner's row, nor
its object.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from uuid import UUID

from imagen_nb.cloud.claims import unnamed_objects
from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.errors import RefusedError, RejectedError, decoding
from imagen_nb.cloud.jobs import JobQueue
from imagen_nb.storage.catalog import Catalog, CatalogEntry
from imagen_nb.storage.discarding import discard_picture
from imagen_nb.storage.jobs import Job
from imagen_nb.storage.outbox import Lease
from imagen_nb.system.terminal import print_notice


class Fate(Enum):
    """What is to be done with a picture."""

    SEND = auto()
    DISCARD = auto()
    LEAVE = auto()  # another worker is at it, and may not get to its end


@dataclass(frozen=True, slots=True)
class Winner:
    """The row of imagen.images with a job's id. `is_own`: of the owner that is signed in."""

    storage_path: str
    sha256: str | None
    is_own: bool


def fate_of(
    entry: CatalogEntry, job: Job | None, winner: Winner | None, worker: UUID
) -> Fate:
    """Return what is to be done with a picture, given what the cloud has of its job."""
    if winner:
        same = winner.is_own and winner.sha256 == entry.record.sha256
        return Fate.SEND if same else Fate.DISCARD
    if job is None:  # pruned, or of another account: not this worker's to decide
        return Fate.LEAVE
    if job.state == "waiting":
        return Fate.SEND
    if job.state == "drawing":
        return Fate.SEND if job.worker_id == worker else Fate.LEAVE
    return Fate.DISCARD


@dataclass(frozen=True, slots=True)
class Settler:
    """Finds out what becomes of pictures, and discards what is not wanted."""

    catalog: Catalog
    cloud: Cloud
    queue: JobQueue
    worker: UUID

    def fates(self, entries: Sequence[CatalogEntry]) -> dict[str, Fate]:
        """Return what is to be done with each, by id. Raise `CloudError`."""
        if not entries:
            return {}
        ids = [entry.record.id for entry in entries]
        jobs = self.queue.jobs(ids)  # first: what is done then has its row
        winners = self._winners([*map(str, ids)])
        return {
            str(entry.record.id): fate_of(
                entry,
                jobs.get(entry.record.id),
                winners.get(str(entry.record.id)),
                self.worker,
            )
            for entry in entries
        }

    def discard(self, entries: Sequence[CatalogEntry], lease: Lease) -> None:
        """Remove pictures that the lease holds, and their own objects.

        Raise `CloudError` or `StorageError`; what is left then is removed next time.
        """
        self._remove_objects(entries)
        for entry in entries:
            if not discard_picture(self.catalog, entry):
                lease.release([entry])

    def _winners(self, ids: Sequence[str]) -> dict[str, Winner]:
        owner, _ = self.cloud.owner()
        columns = "id,storage_path,owner_user_id,sha256:sidecar->>sha256"
        rows = self.cloud.rows_by_id(ids, columns)
        with decoding():
            return {
                id: Winner(
                    row["storage_path"],
                    row["sha256"],
                    row["owner_user_id"] == str(owner),
                )
                for id, row in rows.items()
            }

    def _remove_objects(self, entries: Sequence[CatalogEntry]) -> None:
        """Remove what these pictures have in the bucket, by their own claims only."""
        sent = [
            entry
            for entry in entries
            if entry.cloud_state != "off" and entry.record.storage_path
        ]
        own = unnamed_objects(sent, self.cloud)
        if not own:
            return
        try:
            self.cloud.remove(own)
        except (RefusedError, RejectedError) as error:  # no reason to draw no more
            print_notice(f"{', '.join(own)} stays in the bucket: {error}")
