"""Sends pictures in the background: after a render, never during one, and never in its way."""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from imagen_nb.cloud.account import Account
from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.sync import MAX_SENDERS, SendGate, drain
from imagen_nb.cloud.sync_report import SyncReport
from imagen_nb.cloud.tags import push_tags
from imagen_nb.errors import ImagenError
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.outbox import Outbox
from imagen_nb.system.terminal import complain

_QUIET_S = (
    0.5  # how long nothing must be drawn: the next picture of a loop begins sooner
)
_MAX_POSTPONED_S = 60.0  # how long a picture waits at most while others are drawn
_OTHER_PROCESS_S = (
    2.0  # how long to wait for another process that sends the same pictures
)
_OUTAGE_PAUSE_S = (15.0, 600.0)  # the first and the longest pause after trouble


class Worker:
    """One background thread for the catalogs of a session.

    Invariant: `notify` and `drawing` never wait for the network or the disk, and nothing that goes
    wrong here is raised there: an outage is said once on stderr, and its end begins a new one.
    """

    def __init__(self, account: Account, exit_seconds: float) -> None:
        """Starts nothing: the first `notify` does."""
        self._account, self._exit_s = account, exit_seconds
        self._wake = threading.Condition()
        self._turn = _IdleGate(self._wake)
        self._forget()

    def _forget(self) -> None:
        self._thread: threading.Thread | None = None
        self._process = os.getpid()
        self._waiting: dict[Catalog, list[str] | None] = {}  # None: all that is pending
        self._seen: set[Catalog] = set()
        self._closed = False
        self._outage: str | None = None
        self._pause_s = _OUTAGE_PAUSE_S[0]

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Nothing is begun to be sent while pictures are drawn, unless that takes long."""
        self._turn.begin()
        try:
            yield
        finally:
            self._turn.end()

    def notify(self, catalog: Catalog, ids: list[str] | None = None) -> None:
        """Send what is pending in this catalog, or only these pictures of it."""
        with self._wake:
            if self._process != os.getpid():  # threads do not survive a fork
                self._forget()
            self._seen.add(catalog)
            self._want(catalog, ids)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, daemon=True, name="imagen-worker"
                )
                self._thread.start()
                atexit.register(self.close)
            self._wake.notify_all()

    def _want(self, catalog: Catalog, ids: list[str] | None) -> None:
        named = self._waiting.get(catalog, [])
        self._waiting[catalog] = (
            None if ids is None or named is None else [*named, *ids]
        )

    def close(self, seconds: float | None = None) -> None:
        """Give what is pending a few seconds more, then say how many stay pending."""
        atexit.unregister(self.close)
        with self._wake:
            thread, self._thread, self._closed = self._thread, None, True
            self._turn.hurry()
            self._wake.notify_all()
        if thread is None or self._process != os.getpid():
            return
        thread.join(self._exit_s if seconds is None else seconds)
        if thread.is_alive():
            self._turn.stop()
            thread.join(0.5)  # for those on their way
        left = sum(len(Outbox(catalog).waiting(["pending"])) for catalog in self._seen)
        if left and not self._outage:
            what = "1 picture" if left == 1 else f"{left} pictures"
            it = "it" if left == 1 else "them"
            complain(f"cloud sync: {what} still pending: `imagen sync` sends {it}")

    def _run(self) -> None:
        cloud = Cloud(self._account)
        try:
            while self._work_comes():
                if not self._turn.comes():
                    return
                went_on = self._send_all(cloud)
                if self._closed:
                    return
                if not went_on:
                    self._pause()
        finally:
            cloud.close()

    def _work_comes(self) -> bool:
        with self._wake:
            self._wake.wait_for(lambda: self._waiting or self._closed)
            return bool(self._waiting)

    def _send_all(self, cloud: Cloud) -> bool:
        """Send what waits in every catalog; whether that got anywhere."""
        with self._wake:
            waiting = self._waiting
            self._waiting = {}
        went_on = True
        for catalog, ids in waiting.items():
            report, left = self._sent(catalog, ids, cloud)
            if report.trouble:
                self._say(report.trouble)
            else:
                self._outage, self._pause_s = None, _OUTAGE_PAUSE_S[0]
            _complain_of_failed(report)
            if (
                left
            ):  # in trouble, interrupted by a render, or being sent by another process
                went_on = went_on and report.synced > 0
                with self._wake:
                    self._want(catalog, ids)  # beside what was drawn meanwhile
        return went_on

    def _sent(
        self, catalog: Catalog, ids: list[str] | None, cloud: Cloud
    ) -> tuple[SyncReport, bool]:
        """What was sent, and whether something is left to send."""
        outbox = Outbox(catalog)

        def waiting() -> list[str]:
            pending = outbox.waiting(["pending"])
            return pending if ids is None else [id for id in pending if id in ids]

        try:
            senders = self._turn.senders()
            report = drain(catalog, cloud, waiting(), turn=self._turn, senders=senders)
            if not report.trouble and ids is None and self._turn.lasts():
                push_tags(catalog, cloud)
            return report, bool(waiting())
        except (
            ImagenError
        ) as error:  # a full disk, a catalog that another program locks
            return SyncReport(trouble=str(error)), True

    def _say(self, trouble: str) -> None:
        if self._outage is None:
            complain(
                f"cloud sync: {trouble}; the pictures are kept, `imagen sync` sends them"
            )
        self._outage = trouble

    def _pause(self) -> None:
        with self._wake:
            seconds = self._pause_s if self._outage else _OTHER_PROCESS_S
            self._wake.wait_for(lambda: self._closed, seconds)
        if self._outage:
            self._pause_s = min(2 * self._pause_s, _OUTAGE_PAUSE_S[1])


def _complain_of_failed(report: SyncReport) -> None:
    if report.failed:
        (_, why), *others = report.failed
        more = f" (and {len(others)} more)" if others else ""
        complain(f"cloud sync: {why}{more}: `imagen sync` tries again")


class _IdleGate(SendGate):
    """A turn that comes when nothing was drawn for a moment, or has been for very long."""

    def __init__(self, changed: threading.Condition) -> None:
        super().__init__()
        self._changed = changed
        self._drawing = 0
        self._began = self._ended = time.monotonic()
        self._hurried = False

    def begin(self) -> None:
        with self._changed:
            now = time.monotonic()
            if not self._drawing and now > self._ended + _QUIET_S:
                self._began = now  # of a row of renders, as a loop makes them
            self._drawing += 1

    def end(self) -> None:
        with self._changed:
            self._drawing -= 1
            self._ended = time.monotonic()
            self._changed.notify_all()

    def hurry(self) -> None:
        self._hurried = True

    def stop(self) -> None:
        super().stop()
        with self._changed:
            self._changed.notify_all()

    def senders(self) -> int:
        """How many at once: one while pictures are drawn."""
        return 1 if self._drawing else MAX_SENDERS

    def comes(self) -> bool:
        with self._changed:
            while not self.stopped.is_set() and not self._hurried:
                quiet, patience = self._waits()
                if (not self._drawing and quiet <= 0) or patience <= 0:
                    break
                self._changed.wait(patience if self._drawing else quiet)
        return not self.stopped.is_set()

    def lasts(self) -> bool:
        """As long as no picture is drawn."""
        with self._changed:
            in_the_way = self._drawing and self._waits()[1] > 0 and not self._hurried
            return not in_the_way and not self.stopped.is_set()

    def _waits(self) -> tuple[float, float]:
        """Seconds until nothing was drawn for a moment, and until the renders took too long."""
        now = time.monotonic()
        return self._ended + _QUIET_S - now, self._began + _MAX_POSTPONED_S - now
