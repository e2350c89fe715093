"""What a session does with the cloud: sends to it, reads from it, compares with it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import replace
from uuid import UUID

from imagen_nb.cloud.account import NOT_CONFIGURED, Account, account_of
from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.connection import READER_TIMEOUTS
from imagen_nb.cloud.removal import push_removals
from imagen_nb.cloud.sync import SendGate, drain
from imagen_nb.cloud.sync_report import RepairReport, SyncReport
from imagen_nb.cloud.tags import push_tags
from imagen_nb.cloud.vectors import push_vectors
from imagen_nb.cloud.verify import compare_copies, repair_copies
from imagen_nb.cloud.votes import push_votes
from imagen_nb.cloud.worker import Worker
from imagen_nb.config.settings import Settings
from imagen_nb.errors import CloudError, UsageError
from imagen_nb.storage.catalog import Catalog, CatalogEntry
from imagen_nb.storage.outbox import Outbox
from imagen_nb.system.forks import start_anew_in_forks
from imagen_nb.system.terminal import print_notice

_READ_ATTEMPTS = 3  # fewer than a sender's: somebody waits for the answer
_OUTBOX_POLL_S = 0.1  # between two looks at pictures that another sender holds
_OTHER_SENDERS_S = 30.0  # how long to wait for such pictures


class Uplink:
    """The settings' account, with a worker in the background once something is to send.

    Invariant: with sync off, and as long as nothing is to be sent, there is no client.
    """

    def __init__(self, settings: Settings, *, background: bool = True) -> None:
        """Connect to nothing yet. `background`: whether a worker may send."""
        self._settings = settings
        self._account = account_of(settings)
        self._background = background
        self._worker: Worker | None = None
        self.start_anew()
        start_anew_in_forks(self)

    def start_anew(self) -> None:
        """Forget lock and reader: in a forked child, its sockets are the parent's."""
        self._lock = threading.Lock()  # or two threads would each make one
        self._reader: Cloud | None = None

    def wants(self, cloud: bool | None) -> bool:
        """Return whether a picture is to go up: as the call says, or the settings."""
        return self._settings.output.cloud_sync != "off" if cloud is None else cloud

    def can(self, cloud: bool | None) -> bool:
        """Return whether a picture is to go up and an account is configured."""
        return self._account is not None and self.wants(cloud)

    def reader(self) -> Cloud | None:
        """Return the session's client to read with; None if none is configured."""
        with self._lock:
            if self._reader is None and self._account is not None:
                self._reader = Cloud(self._account, _READ_ATTEMPTS, READER_TIMEOUTS)
            return self._reader

    def warn(self, cloud: bool | None) -> None:
        """Say on stderr if pictures must go up and no account is configured."""
        required = cloud or (cloud is None and self._settings.output.cloud_sync == "on")
        if required and self._account is None:
            print_notice(f"cloud sync is on, but {NOT_CONFIGURED}")

    def drawing(self) -> AbstractContextManager[None]:
        """Return a context for every drawing: the worker stays out of its way."""
        return self._worker.drawing() if self._worker else nullcontext()

    def drawn(self, catalog: Catalog, ids: Sequence[UUID], cloud: bool | None) -> None:
        """Send these pictures, which are kept, in the background. Takes microseconds.

        `cloud`: the call's own word, as in `wants`.
        """
        worker = self._background_worker() if self.wants(cloud) else None
        if worker is None:
            return
        off = self._settings.output.cloud_sync == "off"
        # Switched off, nothing goes up but what a call named.
        worker.notify(catalog, [str(id) for id in ids] if off else None)

    def changed(self, catalog: Catalog, seconds: float = 0.0) -> None:
        """Send this catalog's tags, votes, vectors and removals in the background.

        Unless sync is off. `seconds`: until they are due.
        """
        worker = self._background_worker() if self.wants(None) else None
        if worker:
            worker.notify_after(catalog, seconds)

    def _background_worker(self) -> Worker | None:
        with self._lock:
            if self._worker is None and self._account and self._background:
                self._worker = Worker(
                    self._account, self._settings.supabase.exit_seconds
                )
            return self._worker

    def sync(
        self,
        catalogs: Iterable[Catalog],
        ids: Sequence[UUID | str] | None = None,
        *,
        timeout: float | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> SyncReport:
        """Send what waits, and wait until it is sent.

        Args:
            catalogs: the catalogs whose waiting pictures are sent.
            ids: send only these of the waiting pictures; None sends all.
            timeout: seconds after which no further picture is begun.
            progress: called with (done, total) now and then.

        Raises:
            UsageError: if no account is configured, or the timeout is negative.
        """
        account = self._require_account("nowhere to sync to")
        if timeout is not None and not timeout >= 0:
            raise UsageError(f"the timeout must be 0 seconds or more, not {timeout}")
        report = SyncReport()
        with _gate_for(timeout) as gate, closing(Cloud(account)) as cloud:
            for catalog in catalogs:
                report += _drain_all(catalog, cloud, ids, gate, progress)
        return report

    def verify(
        self,
        catalogs: Iterable[Catalog],
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[str]:
        """Compare the synced pictures of these catalogs with their copies.

        Return a line for each that differs. Raise UsageError if no account is
        configured, CloudError if the cloud does not answer.
        """
        account = self._require_account("nothing to compare with")
        with closing(Cloud(account)) as cloud:
            differences = compare_copies(_synced(catalogs), cloud, progress)
        return [one.line for one in differences]

    def repair(
        self,
        catalogs: Iterable[Catalog],
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> RepairReport:
        """Compare as `verify` does, and send again what is lost or another.

        Raises what `verify` raises.
        """
        account = self._require_account("nothing to compare with")
        report = RepairReport()
        with closing(Cloud(account)) as cloud:
            for catalog in catalogs:
                report += repair_copies(catalog, _synced([catalog]), cloud, progress)
        return report

    def _require_account(self, problem: str) -> Account:
        if self._account is None:
            raise UsageError(f"{problem}: {NOT_CONFIGURED}")
        return self._account

    def close(self, seconds: float | None = None) -> None:
        """Let the worker finish, for so long, or for as long as the settings allow."""
        with self._lock:
            reader, self._reader = self._reader, None
        if reader:
            reader.close()
        if self._worker:
            self._worker.close(seconds)
            self._worker = None


def _synced(catalogs: Iterable[Catalog]) -> list[CatalogEntry]:
    return [
        entry
        for catalog in catalogs
        for entry in catalog.select("WHERE cloud_state = 'synced'")
    ]


@contextmanager
def _gate_for(timeout: float | None) -> Iterator[SendGate]:
    """A gate that closes after so many seconds."""
    gate = SendGate()
    if timeout is None:
        yield gate
        return
    timer = threading.Timer(timeout, gate.close)
    timer.daemon = True
    timer.start()
    try:
        yield gate
    finally:
        timer.cancel()


def _drain_all(
    catalog: Catalog,
    cloud: Cloud,
    ids: Sequence[UUID | str] | None,
    gate: SendGate,
    progress: Callable[[int, int], None] | None,
) -> SyncReport:
    """Drain; then wait for what other senders, mostly our own worker, are sending."""
    outbox = Outbox(catalog)
    requested = outbox.waiting() if ids is None else [str(id) for id in ids]
    report = drain(catalog, cloud, requested, gate=gate, progress=progress)
    postponed = {id for id, _ in report.postponed}
    until = time.monotonic() + _OTHER_SENDERS_S
    while not report.trouble and gate.is_open() and time.monotonic() < until:
        left = set(requested) & set(outbox.waiting(["pending"])) - postponed
        if not left:
            break
        time.sleep(_OUTBOX_POLL_S)
        more = drain(catalog, cloud, sorted(left), gate=gate)
        report = replace(report + more, pending=more.pending)
        postponed |= {id for id, _ in more.postponed}
    if report.trouble or not gate.is_open():
        return report
    return _push_changes_too(report, catalog, cloud, gate)


def _push_changes_too(
    report: SyncReport, catalog: Catalog, cloud: Cloud, gate: SendGate
) -> SyncReport:
    """Write queued tags, new votes and vectors, and remove what was deleted."""
    try:
        report = replace(report, tagged=push_tags(catalog, cloud))
        report = replace(report, votes=push_votes(catalog, cloud, gate.is_open))
        vectors = push_vectors(catalog, cloud, gate.is_open)
        report = replace(report, vectors=vectors)
        removal = push_removals(catalog, cloud)
    except CloudError as error:
        return replace(report, trouble=str(error))
    return replace(report, removed=removal.removed, unremoved=removal.refused)
