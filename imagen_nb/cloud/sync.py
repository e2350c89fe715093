"""Pictures up: each one's object uploaded and checked, its row written, the outbox told.

Every step may run twice with the same result, so that a process may die between any two of them.
"""

from __future__ import annotations

import hashlib
import itertools
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.errors import Rejected, Taken
from imagen_nb.cloud.sync_report import SyncReport
from imagen_nb.errors import CloudError, StorageError
from imagen_nb.storage.catalog import Catalog, CatalogEntry
from imagen_nb.storage.outbox import Lease, Outbox
from imagen_nb.storage.output import numbered_name
from imagen_nb.system.faults import reach

SENDERS = 8  # threads; more are no faster against Storage's own server
_ROWS = 16  # pictures whose rows are written in one request
_MAX_NAMESAKES = 1000  # objects that another catalog may have under the names we want


@dataclass(slots=True)
class _Tally:
    """What the threads of one drain have done so far."""

    synced: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    trouble: str | None = None
    crashed: BaseException | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, synced: int) -> int:
        with self.lock:
            self.synced += synced
            return self.synced + len(self.failed)


class Turn:
    """When a sender may go on: at once, until it is told to stop."""

    def __init__(self) -> None:
        self.stopped = threading.Event()

    def stop(self) -> None:
        """Let no sender take another picture."""
        self.stopped.set()

    def comes(self) -> bool:
        """Whether to send more; may wait for the moment."""
        return self.lasts()

    def lasts(self) -> bool:
        """Whether to send the next picture of those taken."""
        return not self.stopped.is_set()


def drain(
    catalog: Catalog,
    cloud: Cloud,
    ids: Sequence[str] | None = None,
    *,
    turn: Turn | None = None,
    senders: int = SENDERS,
    progress: Callable[[int, int], None] | None = None,
) -> SyncReport:
    """Send what waits, or those of `ids` that do, over several threads at once.

    Trouble that concerns every picture ends it; what is not sent stays in the outbox. Pictures that
    another process is sending are left to it. `progress(done, total)` is called now and then.
    """
    outbox, began, turn = Outbox(catalog), time.monotonic(), turn or Turn()
    wanted = outbox.waiting() if ids is None else list(ids)
    tally = _Tally()
    if wanted:
        with outbox.lease() as lease:
            _Drain(lease, cloud, turn, tally, progress).run(wanted, senders)
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
    """One drain. Invariant: what it claimed is acknowledged, rejected or released at its end."""

    lease: Lease
    cloud: Cloud
    turn: Turn
    tally: _Tally
    progress: Callable[[int, int], None] | None
    total: int = 0

    def run(self, ids: Sequence[str], senders: int) -> None:
        self.total = len(ids)
        size = max(1, min(_ROWS, -(-len(ids) // senders)))
        chunks: queue.SimpleQueue[list[str]] = queue.SimpleQueue()
        for start in range(0, len(ids), size):
            chunks.put(list(ids[start : start + size]))
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
        except (
            BaseException
        ):  # Ctrl-C: the pictures on their way are finished, no new ones begun
            self.turn.stop()
            for thread in threads:
                thread.join()
            raise

    def _work(self, chunks: queue.SimpleQueue[list[str]]) -> None:
        while (
            self.tally.trouble is None and not self.tally.crashed and self.turn.comes()
        ):
            try:
                ids = chunks.get_nowait()
            except queue.Empty:
                return
            try:
                self._send(self.lease.claim(ids))
            except BaseException as error:
                self.tally.crashed = error
                return

    def _send(self, entries: list[CatalogEntry]) -> None:
        done: set[str] = set()
        why = None
        try:
            sent = [entry for entry in map(self._object, entries) if entry]
            reach("before-row")
            written = self._rows(sent)
            reach("after-row")
            self.lease.acknowledge(written)
            reach("after-ack")
            done = {str(entry.record.id) for entry in written}
            self._tell(len(written))
        except CloudError as error:
            self.tally.trouble = why = str(error)
        finally:
            self.lease.release(
                [e for e in entries if str(e.record.id) not in done], why
            )

    def _tell(self, synced: int) -> None:
        done = self.tally.add(synced)
        if self.progress:
            self.progress(done, self.total)

    def _object(self, entry: CatalogEntry) -> CatalogEntry | None:
        """Upload and check one picture; None when it cannot go up, or the turn is over."""
        if not self.turn.lasts() or self.tally.trouble:
            return None
        try:
            return upload(entry, self.cloud, self.lease)
        except (Rejected, StorageError) as error:
            self._reject(entry, error)
            return None

    def _rows(self, entries: list[CatalogEntry]) -> list[CatalogEntry]:
        """Write the rows in one request; when one of them cannot be, each by itself."""
        if not entries:
            return []
        try:
            self.cloud.insert([row_of(entry) for entry in entries])
            return entries
        except Rejected as error:
            if len(entries) == 1:
                self._reject(entries[0], error)
                return []
        return list(
            itertools.chain.from_iterable(self._rows([entry]) for entry in entries)
        )

    def _reject(self, entry: CatalogEntry, error: Exception) -> None:
        self.lease.reject(entry, str(error))
        with self.tally.lock:
            self.tally.failed.append((str(entry.record.id), str(error)))


def upload(entry: CatalogEntry, cloud: Cloud, lease: Lease) -> CatalogEntry:
    """The picture as an object whose size and hash are checked. Gives the entry as it is then.

    A path that another picture has is never overwritten: the next number is taken, and noted in
    the sidecar before the upload.
    """
    owner, folder = cloud.owner()
    png = _file_of(entry)
    name = _below_owner(entry.record.storage_path or "")
    for number in range(1, _MAX_NAMESAKES):
        entry = lease.assign(entry, owner, folder + numbered_name(name, number))
        if _put(entry.record.storage_path or "", png, cloud):
            return entry
    raise Rejected(f"{name}.png and its numbered names are taken by other pictures")


def _put(path: str, png: bytes, cloud: Cloud) -> bool:
    """Upload; whether this very file is at the path afterwards."""
    reach("before-upload")
    taken = False
    try:
        cloud.upload(path, png)
    except Taken:
        taken = True  # perhaps by ourselves, before a crash or a torn connection
    reach("after-upload")
    stored = cloud.stored(path)
    reach("after-verify")
    if stored is None and not taken:
        raise Rejected(
            f"{path} was uploaded, but cannot be seen: run `imagen db migrate`"
        )
    if stored is None or stored.size != len(png):
        return False
    return stored.md5 in (None, hashlib.md5(png, usedforsecurity=False).hexdigest())


def _file_of(entry: CatalogEntry) -> bytes:
    """The PNG, which must be the file that the record tells of."""
    try:
        png = entry.path.read_bytes()
    except OSError as error:
        raise StorageError(f"cannot read {entry.path.name}: {error.strerror}") from None
    if hashlib.sha256(png).hexdigest() != entry.record.sha256:
        raise StorageError(
            f"{entry.path.name} was changed since it was drawn: its sidecar tells of another file"
        )
    return png


def _below_owner(storage_path: str) -> str:
    """<day>/<name> without .png, whosever folder it was assigned to before."""
    return "/".join(storage_path.removesuffix(".png").split("/")[-2:])


def row_of(entry: CatalogEntry) -> dict[str, Any]:
    """The row of imagen.images: from the sidecar, without what PostgreSQL cannot hold."""
    row: dict[str, Any] = _without_nul(entry.record.to_row())
    return row


def _without_nul(value: Any) -> Any:
    """The same value; a NUL character, which no TEXT or JSONB takes, becomes U+FFFD."""
    if isinstance(value, str):
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}")
    if isinstance(value, dict):
        return {_without_nul(key): _without_nul(item) for key, item in value.items()}
    return [_without_nul(item) for item in value] if isinstance(value, list) else value
