"""Renews the leases of a worker's jobs, and tells how far they are, beside the drawing."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from uuid import UUID

from imagen_nb.cloud.jobs import JobQueue
from imagen_nb.errors import CloudError
from imagen_nb.studio.remote.events import Outage
from imagen_nb.studio.remote.held import HeldJobs
from imagen_nb.studio.remote.threads import WorkerThread

# At most, but for a job's first step, for which somebody waits.
_TOLD_EVERY_S = 0.5
_ASKED_EVERY_S = 1.0  # at least: so soon a worker hears that a job was cancelled
_LONGEST_PAUSE_S = 5.0


@dataclass(frozen=True, slots=True)
class WorkerIdentity:
    """Under which id a worker claims, for how long at a time, and which jobs it has."""

    id: UUID
    queue: JobQueue
    held: HeldJobs
    lease_seconds: int

    def renew(self, ids: list[UUID] | None = None) -> None:
        """Prolong the leases of all jobs, or of these, and note which are not ours.

        Raise `CloudError` where the queue does not answer.
        """
        held, news = self.held, {}
        if ids is None:
            ids, news = held.ids(), held.take_news()
        if not ids:
            return
        asked_at = time.monotonic()
        states = self.queue.renew(
            self.id, ids, lease_seconds=self.lease_seconds, progress=news
        )
        held.confirm(states, asked_at)


class LeaseKeeper:
    """Renews on its `thread`, which waits for the network only, never for the card."""

    def __init__(self, identity: WorkerIdentity, outage: Outage) -> None:
        self._identity, self._outage = identity, outage
        self._closed = threading.Event()
        self.thread = WorkerThread(self._renew_all, "imagen-leases")

    def close(self) -> None:
        """Renew nothing more."""
        self._closed.set()
        self._identity.held.stop_waiting()
        self.thread.join()

    def _renew_all(self) -> None:
        pause, renewed_at = 0.0, 0.0
        while not self._closed.wait(pause):
            held = self._identity.held
            held.wait_for_news(_ASKED_EVERY_S)
            soonest = renewed_at + _TOLD_EVERY_S - time.monotonic()
            held.wait_for_first_news(max(0.0, soonest))
            if self._closed.is_set():
                return
            renewed_at = time.monotonic()
            try:
                self._identity.renew()
            except CloudError as error:
                self._outage.began(error)
                pause = min(_LONGEST_PAUSE_S, 2 * pause or _ASKED_EVERY_S)
            else:
                self._outage.ended()
                pause = 0.0
