"""Sends pictures: each claims a path, is uploaded there and checked; then its row follows.

Every step may run twice with the same result, so that a process may die between any
two of them.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from imagen_nb.cloud.claims import ClaimedPath, claim_paths
from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.errors import RejectedError, TooSlowError
from imagen_nb.cloud.inputs import upload_inputs
from imagen_nb.cloud.rows import RowWriter
from imagen_nb.cloud.sync_report import SyncReport
from imagen_nb.cloud.upload import upload_picture
from imagen_nb.errors import CloudError, StorageError
from imagen_nb.storage.catalog import Catalog, CatalogEntry
from imagen_nb.storage.outbox import Lease, Outbox

MAX_SENDERS = 8  # threads; more are no faster against Storage's own server
_ROWS_PER_REQUEST = 16
_MAX_SLOW_IN_A_ROW = 3  # uploads; after that it is the server, not the pictures


@dataclass(slots=True)
class _DrainTally:
    """What the threads of one drain have done so far."""

    synced: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    postponed: list[tuple[str, str]] = field(default_factory=list)
    slow_in_a_row: int = 0
    trouble: str | None = None
    crashed: BaseException | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, synced: int) -> int:
        """Return how many pictures are done, these included."""
        with self.lock:
            self.synced += synced
            return self.synced + len(self.failed) + len(self.postponed)

    def fail(self, id: str, reason: str) -> None:
        with self.lock:
            self.failed.append((id, reason))

    def postpone(self, id: str, reason: str) -> None:
        """Note a picture that was too slow; if many are, that is trouble for all."""
        with self.lock:
            self.postponed.append((id, reason))
            self.slow_in_a_row += 1
            if self.slow_in_a_row >= _MAX_SLOW_IN_A_ROW:
                self.trouble = reason

    def uploaded(self) -> None:
        with self.lock:
            self.slow_in_a_row = 0


class SendGate:
    """When pictures may be sent: at once, until it is closed for good."""

    def __init__(self) -> None:
        self._closed = threading.Event()

    @property
    def is_closed(self) -> bool:
        """Whether nothing more may be sent."""
        return self._closed.is_set()

    def close(self) -> None:
        """Let no sender take another picture."""
        self._closed.set()

    def wait_open(self) -> bool:
        """Return whether to take more pictures; may wait for the moment."""
        return self.is_open()

    def is_open(self) -> bool:
        """Return whether to send the next of the pictures taken."""
        return not self.is_closed


def drain(
    catalog: Catalog,
    cloud: Cloud,
    ids: Sequence[str] | None = None,
    *,
    gate: SendGate | None = None,
    senders: int = MAX_SENDERS,
    progress: Callable[[int, int], None] | None = None,
) -> SyncReport:
    """Send what waits in the outbox over several threads at once.

    Trouble that concerns every picture ends it; what is not sent stays in the outbox,
    as does a picture that takes too long. Pictures that another process is sending are
    left to it.

    Args:
        catalog: Whose outbox.
        cloud: Where to.
        ids: Only these pictures, as far as they wait.
        gate: Asked before each picture whether to go on.
        senders: Threads, at most.
        progress: Called now and then with how many are done, of how many.
    """
    outbox, began = Outbox(catalog), time.monotonic()
    requested = outbox.waiting() if ids is None else list(ids)
    tally = _DrainTally()
    if requested:
        with outbox.lease() as lease:
            started = _Drain(lease, cloud, gate or SendGate(), tally, progress)
            started.run(requested, senders)
    if tally.crashed:
        raise tally.crashed
    return SyncReport(
        tally.synced,
        tuple(tally.failed),
        len(outbox.waiting(["pending"])),
        tally.trouble,
        time.monotonic() - began,
        postponed=tuple(tally.postponed),
    )


@dataclass(slots=True)
class _Drain:
    """One drain.

    Invariant: what it claimed is acknowledged, rejected or released at its end.
    """

    lease: Lease
    cloud: Cloud
    gate: SendGate
    tally: _DrainTally
    progress: Callable[[int, int], None] | None
    total: int = 0
    inputs: set[str] = field(default_factory=set)  # paths that are known to be there

    def run(self, ids: Sequence[str], senders: int) -> None:
        self.total = len(ids)
        chunks = _chunks_of(ids, senders)
        # Plain daemon threads: a pool's would not start any more while Python exits.
        threads = [
            threading.Thread(
                target=self._work, args=(chunks,), daemon=True, name="imagen-sync"
            )
            for _ in range(min(senders, chunks.qsize()))
        ]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        except BaseException:
            # Ctrl-C: pictures on their way are finished, no new ones begun.
            self.gate.close()
            for thread in threads:
                thread.join()
            raise

    def _work(self, chunks: queue.SimpleQueue[list[str]]) -> None:
        tally = self.tally
        while tally.trouble is None and not tally.crashed and self.gate.wait_open():
            try:
                ids = chunks.get_nowait()
            except queue.Empty:
                return
            try:
                self._send(self.lease.claim(ids))
            except BaseException as error:
                tally.crashed = error
                return

    def _send(self, entries: list[CatalogEntry]) -> None:
        done: set[str] = set()
        reason = None
        try:
            claimed = claim_paths(entries, self.cloud) if entries else {}
            uploaded = []
            for entry in entries:
                uploaded += self._upload(entry, claimed.get(str(entry.record.id)))
            writer = RowWriter(self.cloud, self.lease, self._reject)
            written = writer.write(uploaded)
            self.lease.acknowledge(written)
            done = {str(entry.record.id) for entry in written}
            self._report(len(written))
        except CloudError as error:
            self.tally.trouble = reason = str(error)
        finally:
            left = [entry for entry in entries if str(entry.record.id) not in done]
            self.lease.release(left, reason)

    def _report(self, synced: int) -> None:
        done = self.tally.add(synced)
        if self.progress:
            self.progress(done, self.total)

    def _upload(
        self, entry: CatalogEntry, claimed: ClaimedPath | None
    ) -> list[CatalogEntry]:
        """Upload and check one picture; none if it cannot go up, or not now."""
        if not self.gate.is_open() or self.tally.trouble:
            return []
        try:
            upload_inputs(entry, self.cloud, self.inputs)
            uploaded = upload_picture(entry, claimed, self.cloud, self.lease)
        except (RejectedError, StorageError) as error:
            self._reject(entry, error)
            return []
        except TooSlowError as error:
            self.lease.release([entry], str(error))
            self.tally.postpone(str(entry.record.id), str(error))
            return []
        self.tally.uploaded()
        return [uploaded]

    def _reject(self, entry: CatalogEntry, error: Exception) -> None:
        if self.lease.was_deleted(entry):
            return  # meanwhile, which is no failure
        self.lease.reject(entry, str(error))
        self.tally.fail(str(entry.record.id), str(error))


def _chunks_of(ids: Sequence[str], senders: int) -> queue.SimpleQueue[list[str]]:
    """Parts whose rows go in one request: as many, and as large, for each sender."""
    share = -(-len(ids) // senders)  # rounded up
    rounds = -(-share // _ROWS_PER_REQUEST)
    size = -(-share // rounds)
    chunks: queue.SimpleQueue[list[str]] = queue.SimpleQueue()
    for start in range(0, len(ids), size):
        chunks.put(list(ids[start : start + size]))
    return chunks
