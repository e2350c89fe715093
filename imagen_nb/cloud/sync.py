"""Sends pictures: each one's object is uploaded and checked, then its row written.

Every step may run twice with the same result, so that a process may die between any
two of them.
"""

from __future__ import annotations

import hashlib
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.errors import ObjectExistsError, RejectedError
from imagen_nb.cloud.sync_report import SyncReport
from imagen_nb.errors import CloudError, StorageError
from imagen_nb.storage.catalog import Catalog, CatalogEntry
from imagen_nb.storage.names import numbered_name
from imagen_nb.storage.outbox import Lease, Outbox
from imagen_nb.system.faults import fault_point

MAX_SENDERS = 8  # threads; more are no faster against Storage's own server
_ROWS_PER_REQUEST = 16
_MAX_NAMESAKES = 1000  # objects that another catalog may have under the same names


@dataclass(slots=True)
class _DrainTally:
    """What the threads of one drain have done so far."""

    synced: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    trouble: str | None = None
    crashed: BaseException | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, synced: int) -> int:
        """Return how many pictures are done, these included."""
        with self.lock:
            self.synced += synced
            return self.synced + len(self.failed)

    def fail(self, id: str, reason: str) -> None:
        with self.lock:
            self.failed.append((id, reason))


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

    Trouble that concerns every picture ends it; what is not sent stays in the outbox.
    Pictures that another process is sending are left to it.

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
            uploaded = [entry for entry in map(self._upload, entries) if entry]
            fault_point("before-row")
            written = self._write_rows(uploaded)
            fault_point("after-row")
            self.lease.acknowledge(written)
            fault_point("after-ack")
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

    def _upload(self, entry: CatalogEntry) -> CatalogEntry | None:
        """Upload and check one picture; None if it cannot go up, or not now."""
        if not self.gate.is_open() or self.tally.trouble:
            return None
        try:
            return upload_picture(entry, self.cloud, self.lease)
        except (RejectedError, StorageError) as error:
            self._reject(entry, error)
            return None

    def _write_rows(self, entries: list[CatalogEntry]) -> list[CatalogEntry]:
        """Write the rows in one request; if one of them is rejected, each by itself."""
        if not entries:
            return []
        try:
            self.cloud.insert([cloud_row_of(entry) for entry in entries])
            return entries
        except RejectedError as error:
            if len(entries) == 1:
                self._reject(entries[0], error)
                return []
        written = []
        for entry in entries:
            written += self._write_rows([entry])
        return written

    def _reject(self, entry: CatalogEntry, error: Exception) -> None:
        self.lease.reject(entry, str(error))
        self.tally.fail(str(entry.record.id), str(error))


def _chunks_of(ids: Sequence[str], senders: int) -> queue.SimpleQueue[list[str]]:
    """Parts whose rows go in one request, small enough to keep all senders working."""
    share = -(-len(ids) // senders)  # rounded up
    size = max(1, min(_ROWS_PER_REQUEST, share))
    chunks: queue.SimpleQueue[list[str]] = queue.SimpleQueue()
    for start in range(0, len(ids), size):
        chunks.put(list(ids[start : start + size]))
    return chunks


def upload_picture(entry: CatalogEntry, cloud: Cloud, lease: Lease) -> CatalogEntry:
    """Upload the picture and check its size and hash; return its entry as it is then.

    A path that another picture has is never overwritten: the next number is taken, and
    noted in the sidecar before the upload. Raise RejectedError or StorageError if this
    picture cannot go up.
    """
    owner, folder = cloud.owner()
    png = _load_png(entry)
    name = _path_below_owner(entry.record.storage_path or "")
    for number in range(1, _MAX_NAMESAKES):
        entry = lease.assign(entry, owner, folder + numbered_name(name, number))
        if _upload_to(entry.record.storage_path or "", png, cloud):
            return entry
    raise RejectedError(
        f"{name}.png and its numbered names are taken by other pictures"
    )


def _upload_to(path: str, png: bytes, cloud: Cloud) -> bool:
    """Upload; whether this very file is at the path afterwards."""
    fault_point("before-upload")
    existed = False
    try:
        cloud.upload(path, png)
    except ObjectExistsError:
        existed = True  # perhaps by us, before a crash or a torn connection
    fault_point("after-upload")
    stored = cloud.object_info(path)
    fault_point("after-verify")
    if stored is None and not existed:
        raise RejectedError(
            f"{path} was uploaded, but cannot be seen: run `imagen db migrate`"
        )
    if stored is None or stored.size != len(png):
        return False
    return stored.md5 in (None, hashlib.md5(png, usedforsecurity=False).hexdigest())


def _load_png(entry: CatalogEntry) -> bytes:
    """The bytes of the file. Raise StorageError if they are not those recorded."""
    try:
        png = entry.path.read_bytes()
    except OSError as error:
        raise StorageError(f"cannot read {entry.path.name}: {error.strerror}") from None
    if hashlib.sha256(png).hexdigest() != entry.record.sha256:
        raise StorageError(
            f"{entry.path.name} was changed since it was drawn: "
            "its sidecar tells of another file"
        )
    return png


def _path_below_owner(storage_path: str) -> str:
    """<day>/<name> without .png, whosever folder it was assigned to before."""
    return "/".join(storage_path.removesuffix(".png").split("/")[-2:])


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
