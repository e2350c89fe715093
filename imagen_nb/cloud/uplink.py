"""What a session has to do with the cloud: whether pictures go there, in the background or now."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import replace
from uuid import UUID

from imagen_nb.cloud.account import NOT_CONFIGURED, account_of
from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.sync import SendGate, drain
from imagen_nb.cloud.sync_report import SyncReport
from imagen_nb.cloud.tags import push_tags
from imagen_nb.cloud.verify import cloud_differences
from imagen_nb.cloud.worker import Worker
from imagen_nb.config.settings import Settings
from imagen_nb.errors import CloudError, UsageError
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.outbox import Outbox
from imagen_nb.system.terminal import complain

_READ_ATTEMPTS = 3
_OUTBOX_POLL_S = 0.1  # between two looks at pictures that another sender holds
_OTHER_SENDERS_S = 30.0  # how long to wait for such pictures


class Uplink:
    """The settings' account, with a worker in the background once there is something to send.

    Invariant: with sync off, and as long as nothing is to be sent, there is no client at all.
    """

    def __init__(self, settings: Settings, *, background: bool = True) -> None:
        self._settings = settings
        self._account = account_of(settings)
        self._background = background
        self._worker: Worker | None = None
        self._lock = threading.Lock()  # or two threads would each make a worker
        self._reader: Cloud | None = None

    def wants(self, cloud: bool | None) -> bool:
        """Whether a picture is to go up: the call's own word, or the configured one."""
        return self._settings.output.cloud_sync != "off" if cloud is None else cloud

    def can(self, cloud: bool | None) -> bool:
        """Whether it is to go up, and there is somewhere to."""
        return self._account is not None and self.wants(cloud)

    def reader(self) -> Cloud | None:
        """Where to read from, one for the session; None when no Supabase is configured.

        It tries less often than a sender does: somebody waits for it.
        """
        if self._reader is None and self._account is not None:
            self._reader = Cloud(self._account, attempts=_READ_ATTEMPTS)
        return self._reader

    def warn(self, cloud: bool | None) -> None:
        """Say it when pictures were to go up and there is nowhere to."""
        insists = cloud or (cloud is None and self._settings.output.cloud_sync == "on")
        if insists and self._account is None:
            complain(f"cloud sync is on, but {NOT_CONFIGURED}")

    def drawing(self) -> AbstractContextManager[None]:
        """Around every drawing: the background stays out of its way."""
        return self._worker.drawing() if self._worker else nullcontext()

    def drawn(self, catalog: Catalog, ids: Sequence[UUID], cloud: bool | None) -> None:
        """These pictures are kept: send them, now or a little later. Takes microseconds."""
        worker = self._in_background() if self.wants(cloud) else None
        if worker is None:
            return
        off = self._settings.output.cloud_sync == "off"
        # Switched off, nothing goes up but what a call named.
        worker.notify(catalog, [str(id) for id in ids] if off else None)

    def tagged(self, catalog: Catalog) -> None:
        """Tags are queued here: send them a little later, unless nothing is to be sent."""
        worker = self._in_background() if self.wants(None) else None
        if worker:
            worker.notify(catalog)

    def _in_background(self) -> Worker | None:
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
        """Send what waits (or those of `ids` that do), and wait for it, `timeout` seconds at most.

        Raises `UsageError` when there is nowhere to send it, or the timeout is none.
        """
        if self._account is None:
            raise UsageError(f"nowhere to sync to: {NOT_CONFIGURED}")
        if timeout is not None and not timeout >= 0:
            raise UsageError(f"the timeout must be 0 seconds or more, not {timeout}")
        turn = SendGate()
        timer = threading.Timer(timeout, turn.stop) if timeout is not None else None
        if timer:
            timer.daemon = True
            timer.start()
        report = SyncReport()
        try:
            with closing(Cloud(self._account)) as cloud:
                for catalog in catalogs:
                    report += _drain_all(catalog, cloud, ids, turn, progress)
        finally:
            if timer:
                timer.cancel()
        return report

    def verify(
        self,
        catalogs: Iterable[Catalog],
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[str]:
        """What differs between the synced pictures of these catalogs and their copies."""
        if self._account is None:
            raise UsageError(f"nothing to compare with: {NOT_CONFIGURED}")
        with closing(Cloud(self._account)) as cloud:
            entries = [
                e for c in catalogs for e in c.select("WHERE cloud_state = 'synced'")
            ]
            return cloud_differences(entries, cloud, progress)

    def close(self, seconds: float | None = None) -> None:
        """Let the worker finish, for so long, or for as long as the settings allow."""
        if self._reader:
            self._reader.close()
            self._reader = None
        if self._worker:
            self._worker.close(seconds)
            self._worker = None


def _drain_all(
    catalog: Catalog,
    cloud: Cloud,
    ids: Sequence[UUID | str] | None,
    turn: SendGate,
    progress: Callable[[int, int], None] | None,
) -> SyncReport:
    """Drain; then wait for what other senders, mostly our own worker, have under way."""
    outbox = Outbox(catalog)
    wanted = outbox.waiting() if ids is None else [str(id) for id in ids]
    report = drain(catalog, cloud, wanted, turn=turn, progress=progress)
    until = time.monotonic() + _OTHER_SENDERS_S
    while not report.trouble and turn.lasts() and time.monotonic() < until:
        left = set(wanted) & set(outbox.waiting(["pending"]))
        if not left:
            break
        time.sleep(_OUTBOX_POLL_S)
        more = drain(catalog, cloud, sorted(left), turn=turn)
        report = replace(report + more, pending=more.pending)
    return (
        report
        if report.trouble or not turn.lasts()
        else _push_tags_too(report, catalog, cloud)
    )


def _push_tags_too(report: SyncReport, catalog: Catalog, cloud: Cloud) -> SyncReport:
    try:
        return replace(report, tagged=push_tags(catalog, cloud))
    except CloudError as error:
        return replace(report, trouble=str(error))
