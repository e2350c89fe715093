"""Sends pictures in the background: after a render, never during one or in its way."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from imagen_nb.cloud.account import Account
from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.removal import push_removals
from imagen_nb.cloud.sync import MAX_SENDERS, SendGate, drain
from imagen_nb.cloud.sync_report import SyncReport
from imagen_nb.cloud.tags import push_tags
from imagen_nb.cloud.vectors import push_vectors
from imagen_nb.cloud.votes import push_votes
from imagen_nb.errors import ImagenError, describe_mistake
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.outbox import Outbox
from imagen_nb.system.forks import start_anew_in_forks
from imagen_nb.system.idle_gate import IdleGate
from imagen_nb.system.terminal import print_notice

_MAX_POSTPONED_S = 60.0  # how long pictures wait while others are drawn
_OTHER_PROCESS_S = 2.0  # how long to wait for one that sends the same pictures
_OUTAGE_PAUSE_S = (15.0, 600.0)  # the first and the longest pause after trouble


class Worker:
    """One background thread for the catalogs of a session.

    Invariant: `notify` and `drawing` never wait for the network or the disk, and
    nothing that goes wrong here is raised there: an outage is reported once on stderr,
    and after it has ended the next one is.
    """

    def __init__(self, account: Account, exit_seconds: float) -> None:
        """Start nothing: the first `notify` does.

        Args:
            account: How to sign in.
            exit_seconds: How long `close` waits at most, unless it is told otherwise.
        """
        self._account, self._exit_s = account, exit_seconds
        self.start_anew()
        start_anew_in_forks(self)

    def start_anew(self) -> None:
        """Forget thread, locks and drawings, which in a forked child are the parent's."""
        self._wake = threading.Condition()
        self._gate = _SendersGate(self._wake, _MAX_POSTPONED_S)
        self._thread: threading.Thread | None = None
        self._waiting: dict[Catalog, list[str] | None] = {}  # None: all that is pending
        self._catalogs: set[Catalog] = set()
        self._closed = False
        self._outage: str | None = None
        self._pause_s = _OUTAGE_PAUSE_S[0]

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Begin to send nothing within the block, unless that takes very long."""
        gate = self._gate  # in a process forked within the block there is another
        gate.begin_drawing()
        try:
            yield
        finally:
            gate.end_drawing()

    def notify(self, catalog: Catalog, ids: list[str] | None = None) -> None:
        """Send what is pending in this catalog, or only these pictures of it."""
        with self._wake:
            self._catalogs.add(catalog)
            self._enqueue(catalog, ids)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, daemon=True, name="imagen-worker"
                )
                self._thread.start()
                atexit.register(self.close)
            self._wake.notify_all()

    def notify_after(self, catalog: Catalog, seconds: float) -> None:
        """Send what is pending in this catalog after so many seconds, unless closed."""
        if not seconds:
            self.notify(catalog)
            return
        timer = threading.Timer(seconds, self._notify_unless_closed, [catalog])
        timer.daemon = True
        timer.start()

    def _notify_unless_closed(self, catalog: Catalog) -> None:
        if not self._closed:
            self.notify(catalog)

    def _enqueue(self, catalog: Catalog, ids: list[str] | None) -> None:
        waiting = self._waiting.get(catalog, [])
        if ids is None or waiting is None:
            self._waiting[catalog] = None
        else:
            self._waiting[catalog] = [*waiting, *ids]

    def close(self, seconds: float | None = None) -> None:
        """Give what is pending a few seconds more, then say how many stay pending."""
        atexit.unregister(self.close)
        with self._wake:
            thread, self._thread, self._closed = self._thread, None, True
            self._gate.hold_open()
            self._wake.notify_all()
        if thread is None:
            return
        thread.join(self._exit_s if seconds is None else seconds)
        if thread.is_alive():
            self._gate.close()
            thread.join(0.5)  # for those on their way
        if not self._outage:
            _complain_of_pending(self._catalogs)

    def _run(self) -> None:
        cloud = Cloud(self._account)
        try:
            while self._wait_for_work():
                if not self._gate.wait_open():
                    return
                progressed = self._send_all(cloud)
                if self._closed:
                    return
                if not progressed:
                    self._pause()
        finally:
            cloud.close()

    def _wait_for_work(self) -> bool:
        with self._wake:
            self._wake.wait_for(lambda: self._waiting or self._closed)
            return bool(self._waiting)

    def _send_all(self, cloud: Cloud) -> bool:
        """Send what waits in every catalog; whether that got anywhere."""
        with self._wake:
            waiting = self._waiting
            self._waiting = {}
        progressed = True
        for catalog, ids in waiting.items():
            report, left = self._send(catalog, ids, cloud)
            trouble = report.trouble or _reason_of_first(report.postponed)
            if trouble:
                self._complain_of_outage(trouble)
            else:
                self._outage, self._pause_s = None, _OUTAGE_PAUSE_S[0]
            _complain_of_failed(report)
            if left:  # trouble, a render came, or another process is sending it
                progressed = progressed and report.synced > 0
                with self._wake:
                    self._enqueue(catalog, ids)  # beside what was drawn meanwhile
        return progressed

    def _send(
        self, catalog: Catalog, ids: list[str] | None, cloud: Cloud
    ) -> tuple[SyncReport, bool]:
        """Send of one catalog; what was done, and whether something is left to send."""
        gate = self._gate
        try:
            pending = _pending_of(catalog, ids)
            report = drain(catalog, cloud, pending, gate=gate, senders=gate.senders())
            if not report.trouble and ids is None and gate.is_open():
                push_tags(catalog, cloud)
                push_votes(catalog, cloud, gate.is_open)
                push_vectors(catalog, cloud, gate.is_open)
                removal = push_removals(catalog, cloud, refused_too=False)
                report = replace(report, unremoved=removal.refused)
            return report, bool(_pending_of(catalog, ids))
        except ImagenError as error:  # a full disk, a catalog that another locks
            return SyncReport(trouble=str(error)), True
        except Exception as error:  # a mistake of ours: nobody would ever send again
            return SyncReport(trouble=describe_mistake(error)), True

    def _complain_of_outage(self, trouble: str) -> None:
        if self._outage is None:
            print_notice(
                f"cloud sync: {trouble}; "
                "the pictures are kept, `imagen sync` sends them"
            )
        self._outage = trouble

    def _pause(self) -> None:
        with self._wake:
            seconds = self._pause_s if self._outage else _OTHER_PROCESS_S
            self._wake.wait_for(lambda: self._closed, seconds)
        if self._outage:
            self._pause_s = min(2 * self._pause_s, _OUTAGE_PAUSE_S[1])


def _pending_of(catalog: Catalog, ids: list[str] | None) -> list[str]:
    """The ids of what is pending in a catalog, of all or of these pictures."""
    pending = Outbox(catalog).waiting(["pending"])
    return pending if ids is None else [id for id in pending if id in ids]


def _reason_of_first(unsent: tuple[tuple[str, str], ...]) -> str | None:
    return unsent[0][1] if unsent else None


def _complain_of_pending(catalogs: set[Catalog]) -> None:
    left = sum(len(_pending_of(catalog, None)) for catalog in catalogs)
    if left == 1:
        print_notice("cloud sync: 1 picture still pending: `imagen sync` sends it")
    elif left:
        print_notice(
            f"cloud sync: {left} pictures still pending: `imagen sync` sends them"
        )


def _complain_of_failed(report: SyncReport) -> None:
    for unsent in (report.failed, report.unremoved):
        if unsent:
            (_, reason), *others = unsent
            more = f" (and {len(others)} more)" if others else ""
            print_notice(f"cloud sync: {reason}{more}: `imagen sync` tries again")


class _SendersGate(IdleGate, SendGate):
    """An idle gate for senders, that opens after long however much is drawn."""

    def senders(self) -> int:
        """How many at once: one while pictures are drawn."""
        return 1 if self.is_drawing else MAX_SENDERS
