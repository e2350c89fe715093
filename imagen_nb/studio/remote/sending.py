"""Sends pictures that were drawn for jobs, and tells the queue what became of each job."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.errors import RejectedError, UnreachableError
from imagen_nb.cloud.sync import drain
from imagen_nb.errors import CloudError, printable
from imagen_nb.storage.catalog import Catalog, CatalogEntry
from imagen_nb.storage.discarding import discard_duplicate, unsent_job_pictures
from imagen_nb.storage.jobs import MAX_JOB_ERROR_CHARS
from imagen_nb.storage.outbox import Outbox
from imagen_nb.studio.remote.events import Outage, Tell, WorkEvent
from imagen_nb.studio.remote.leases import WorkerIdentity
from imagen_nb.studio.remote.settling import Fate, Settler
from imagen_nb.studio.remote.threads import WorkerThread

_AT_ONCE = 16  # whose rows go up in one request
_SENDERS = 2  # threads: more would take the drawing's processor, and few at once wait
_FRESH_S = 0.5  # an answer of the queue so old is taken for one of now
_GATHER_S = 0.3  # for pictures that are drawn together, as requests cost processor time
_PAUSES_S = (0.5, 30.0)  # the first and the longest, where the cloud does not answer
_WHY_DROPPED = {  # by the state that the queue tells
    "done": "another machine drew it",
    "lost": "another machine has it",
    "cancelled": "it was cancelled",
    "failed": "it was given up",
}


@dataclass(frozen=True, slots=True)
class _Failure:
    """A job that cannot be drawn. `again`: another attempt may go better."""

    id: UUID
    reason: str
    again: bool


class JobSender:
    """Sends on its `thread`, beside the drawing.

    Invariant: a job is forgotten only when the queue knows what became of it, or its
    picture was discarded; as long as the cloud does not answer, it is tried again.
    """

    def __init__(
        self,
        identity: WorkerIdentity,
        catalog: Catalog,
        cloud: Cloud,
        outage: Outage,
        tell: Tell,
    ) -> None:
        """Start nothing. `cloud`: with the patience of a sender."""
        self._identity, self._catalog, self._cloud = identity, catalog, cloud
        self._outage, self._tell = outage, tell
        self._settler = Settler(catalog, cloud, identity.queue, identity.id)
        self._drawn: dict[UUID, Path | None] = {}
        self._failures: list[_Failure] = []
        self._changed = threading.Condition()
        self._left_by_others: set[str] = set()
        self._settle_at = time.monotonic()
        self._closing = False
        self._close_by = float("inf")
        self.thread = WorkerThread(self._run, "imagen-job-sender")

    def start(self) -> None:
        """Begin, with what an earlier worker left in this folder."""
        entries = unsent_job_pictures(self._catalog)
        self._left_by_others = {str(entry.record.id) for entry in entries}
        self.thread.start()

    def drawn(self, id: UUID, path: Path | None = None) -> None:
        """Send a job's picture, which is kept; `path`: of the file just written.

        May be said twice.
        """
        with self._changed:
            if id in self._identity.held:
                self._drawn[id] = path
            self._changed.notify_all()

    def failed(self, id: UUID, reason: str, *, again: bool) -> None:
        """Tell that a job could not be drawn; `again`: another attempt may go better."""
        line = printable(reason)[:MAX_JOB_ERROR_CHARS]
        with self._changed:
            self._failures.append(_Failure(id, line, again))
            self._changed.notify_all()

    @property
    def is_idle(self) -> bool:
        """Whether everything is sent and told."""
        with self._changed:
            return not self._drawn and not self._failures

    def close(self, seconds: float) -> int:
        """Send what is left; where the cloud does not answer, give up after so long.

        Return how many pictures are left, which the next worker in this folder settles.
        """
        with self._changed:
            self._closing, self._close_by = True, time.monotonic() + seconds
            self._changed.notify_all()
        self.thread.join()
        return len(self._drawn)

    def _run(self) -> None:
        pause = _PAUSES_S[0]
        while self._wait_for_work():
            try:
                is_stuck = self._work()
                self._outage.ended()
                pause = _PAUSES_S[0]
                if is_stuck and self._gave_up_after(pause):
                    return
            except CloudError as error:
                self._outage.began(error)
                if self._gave_up_after(pause):
                    return
                pause = min(2 * pause, _PAUSES_S[1])

    def _wait_for_work(self) -> bool:
        """Return whether there is something to do; False when closed and done."""
        with self._changed:
            while not (self._drawn or self._failures):
                due = self._settle_at - time.monotonic()
                if self._left_by_others and due <= 0:
                    return True
                if self._closing:
                    return False
                self._changed.wait(max(0.0, due) if self._left_by_others else None)
            return True

    def _gave_up_after(self, pause: float) -> bool:
        """Wait; return whether it is closing, and has been without an answer too long."""
        until = time.monotonic() + pause
        with self._changed:
            while (left := min(until, self._close_by) - time.monotonic()) > 0:
                self._changed.wait(left)
            return time.monotonic() >= self._close_by

    def _work(self) -> bool:
        """Do what there is; return whether pictures cannot be sent just now."""
        self._tell_failures()
        with self._changed:
            self._changed.wait_for(self._is_together, _GATHER_S)
            part = [*self._drawn.items()][:_AT_ONCE]
        self._remove_duplicates(part)
        self._send([id for id, _ in part])
        if self._left_by_others and time.monotonic() >= self._settle_at:
            self._settle_left()
        return self._put_off([id for id, _ in part])

    def _is_together(self) -> bool:
        """Return whether it is no use to wait for more pictures before these are sent."""
        most = min(_AT_ONCE, len(self._identity.held.ids()))
        return self._closing or len(self._drawn) >= most

    def _tell_failures(self) -> None:
        while self._failures:
            one, identity = self._failures[0], self._identity
            claimed_at = identity.held.claimed_at(one.id)
            with suppress(RejectedError):  # then its lease runs out
                identity.queue.fail(identity.id, one.id, one.reason, one.again)
            with self._changed:
                self._failures.pop(0)
            identity.held.remove_claim(one.id, claimed_at)  # it may wait, and be here
            self._tell(WorkEvent(one.id, "failed", one.reason))

    def _remove_duplicates(self, part: Iterable[tuple[UUID, Path | None]]) -> None:
        for _, path in part:
            if path is not None:
                discard_duplicate(self._catalog, path)

    def _put_off(self, ids: Sequence[UUID]) -> bool:
        """Let others go first where another process is sending these pictures.

        Return whether it is sending some.
        """
        with self._changed:
            stuck = [id for id in ids if id in self._drawn]
            for id in stuck:
                self._drawn[id] = self._drawn.pop(id)
            return bool(stuck)

    def _send(self, ids: Sequence[UUID]) -> None:
        """Send pictures of this worker's jobs that are wanted; discard the others."""
        if not ids:
            return
        held = self._identity.held
        unsure = [id for id in ids if not held.confirmed(id, _FRESH_S)]
        self._identity.renew(unsure)
        unwanted = {id: why for id in unsure if (why := held.why_unwanted(id))}
        wanted = [id for id in ids if id not in unwanted]
        if unwanted:
            wanted += self._settle_unwanted(unwanted)
        self._send_wanted(wanted)

    def _settle_unwanted(self, unwanted: dict[UUID, str]) -> list[UUID]:
        """Discard pictures that are no longer wanted here; return those that are."""
        wanted: list[UUID] = []
        with Outbox(self._catalog).lease() as lease:
            entries = lease.hold([*map(str, unwanted)])
            fates = self._settler.fates(entries)
            send = [one for one in entries if fates[str(one.record.id)] is Fate.SEND]
            lease.release(send)
            wanted = [one.record.id for one in send]
            drop = [one for one in entries if one not in send]
            self._settler.discard(drop, lease)
        # What another process is sending just now is looked at later.
        self._left_by_others |= {*map(str, unwanted)} - fates.keys()
        self._dropped({id: why for id, why in unwanted.items() if id not in wanted})
        return wanted

    def _send_wanted(self, ids: Sequence[UUID]) -> None:
        names = [*map(str, ids)]
        Outbox(self._catalog).include(names)
        report = None
        if names:
            report = drain(self._catalog, self._cloud, names, senders=_SENDERS)
        entries = {one.record.id: one for one in self._catalog.get_many(names)}
        self._dropped(dict.fromkeys({*ids} - {*entries}, "it was deleted meanwhile"))
        self._finish([one for one in entries.values() if one.cloud_state == "synced"])
        for entry in entries.values():
            if entry.cloud_state == "failed":
                self._settle_rejected(entry)
        if report and report.trouble:
            raise UnreachableError(report.trouble)
        if report and report.postponed:
            raise UnreachableError(report.postponed[0][1])

    def _finish(self, entries: Sequence[CatalogEntry]) -> None:
        if not entries:
            return
        identity, ids = self._identity, [entry.record.id for entry in entries]
        done = identity.queue.finish_many(identity.id, ids)
        for entry in entries:
            id = entry.record.id
            if id in done:
                event = WorkEvent(id, "done", entry=entry)
            else:
                event = WorkEvent(id, "failed", "it was removed from the cloud")
                identity.queue.fail(identity.id, id, event.reason)
            self._forget([id])
            self._tell(event)

    def _settle_rejected(self, entry: CatalogEntry) -> None:
        """Discard a picture that the cloud does not take, as another is there, or at all."""
        identity, id = self._identity, entry.record.id
        reason = entry.cloud_error or "the cloud does not take it"
        is_done = identity.queue.finish(identity.id, id)
        if not is_done:
            identity.queue.fail(identity.id, id, reason)
        with Outbox(self._catalog).lease() as lease:
            self._settler.discard(lease.hold([str(id)]), lease)
        self._forget([id])
        if is_done:
            self._tell(WorkEvent(id, "dropped", _WHY_DROPPED["done"]))
        else:
            self._tell(WorkEvent(id, "failed", reason))

    def _settle_left(self) -> None:
        """Settle what earlier workers left, as far as nobody is at it."""
        held = {*map(str, self._identity.held.ids())}
        names = sorted(self._left_by_others - held)
        with Outbox(self._catalog).lease() as lease:
            entries = lease.hold(names)
            fates = self._settler.fates(entries)
            drop = [one for one in entries if fates[str(one.record.id)] is Fate.DISCARD]
            self._settler.discard(drop, lease)
            lease.release([one for one in entries if one not in drop])
        send = [id for id, fate in fates.items() if fate is Fate.SEND]
        self._send_wanted([UUID(id) for id in send])
        unsent = {str(one.record.id) for one in unsent_job_pictures(self._catalog)}
        self._left_by_others &= unsent
        self._settle_at = time.monotonic() + self._identity.lease_seconds / 2

    def _dropped(self, reasons: dict[UUID, str]) -> None:
        self._forget([*reasons])
        for id, why in reasons.items():
            self._tell(WorkEvent(id, "dropped", _WHY_DROPPED.get(why, why)))

    def _forget(self, ids: Sequence[UUID]) -> None:
        with self._changed:
            self._identity.held.remove(ids)
            for id in ids:
                self._drawn.pop(id, None)
