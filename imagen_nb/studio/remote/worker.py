"""Draws what other machines of the same user ask for, until it is told to end."""

from __future__ import annotations

import platform
import threading
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

from imagen_nb._version import __version__
from imagen_nb.backends import Backend, backend_names, backend_row
from imagen_nb.backends.flux.memory.machine import this_machine
from imagen_nb.cloud.account import NOT_CONFIGURED, Account, account_of
from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.connection import READER_TIMEOUTS
from imagen_nb.cloud.inputs import fetch_input
from imagen_nb.cloud.jobs import JobQueue
from imagen_nb.errors import BackendError, CloudError, UsageError
from imagen_nb.studio.remote.batches import JobDrawer
from imagen_nb.studio.remote.checking import JobChecker
from imagen_nb.studio.remote.claiming import ClaimerLinks, JobClaimer, JobPace
from imagen_nb.studio.remote.events import Outage, Tell
from imagen_nb.studio.remote.held import HeldJobs
from imagen_nb.studio.remote.leases import LeaseKeeper, WorkerIdentity
from imagen_nb.studio.remote.sending import JobSender
from imagen_nb.system.terminal import print_notice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imagen_nb.config.settings import Settings
    from imagen_nb.studio.studio import Studio

_QUEUE_ATTEMPTS = 2  # at one question: it is asked again soon
_TICK_S = 0.2  # so soon it sees that it is to end


class JobWorker:
    """Claims, draws and sends jobs, with the backends and into the folder of a session.

    Invariant: when `run` has returned, no job is this worker's: what it began is drawn
    and sent, the rest waits for another one.

    Args:
        studio: a session without a background thread for the cloud.
        name: what its user calls this machine.
        backends: names, the one that draws what names none first; those of the
            settings unless given.
        tell: called, on several threads, with what became of each job.

    Raises:
        UsageError: if no Supabase is configured, or a backend is not known.
        BackendError: if one of the backends, or none, can draw here.

    Example:
        >>> worker = JobWorker(studio, name="attic")  # doctest: +SKIP
        >>> worker.run(once=True)  # doctest: +SKIP
    """

    def __init__(
        self,
        studio: Studio,
        *,
        name: str = "",
        backends: Sequence[str] = (),
        tell: Tell = lambda event: None,
    ) -> None:
        self._account = _account_for_jobs(studio.settings)
        self.name = name or platform.node() or "worker"
        self.backends = offered_backends(
            studio, backends or studio.settings.work.backends
        )
        self.id = uuid4()
        self._studio, self._tell = studio, tell
        self._stopping, self._aborted = threading.Event(), threading.Event()

    # The thread that draws never waits for these events, so that a signal's handler,
    # which runs on it, may set them.

    def stop(self) -> None:
        """End after what is being drawn. Safe in the handler of a signal."""
        self._stopping.set()

    def abort(self) -> None:
        """End at the next step. Safe in the handler of a signal."""
        self._aborted.set()
        self._stopping.set()

    @property
    def was_stopped(self) -> bool:
        """Whether it was told to end."""
        return self._stopping.is_set()

    def run(self, *, once: bool = False, max_idle: float | None = None) -> None:
        """Draw until `stop`.

        Args:
            once: end when nothing is left to be claimed, nor may wait again as it failed.
            max_idle: end when nothing was to be drawn for so many seconds.

        Raises:
            CloudError: if the queue refuses this worker, or with `once` does not answer.
            StorageError: if pictures cannot be kept here.
            BackendError: if this machine draws nothing any more.
        """
        asking = Cloud(self._account, _QUEUE_ATTEMPTS, READER_TIMEOUTS)
        with closing(asking), closing(Cloud(self._account)) as cloud:
            parts = self._make_parts(JobQueue(asking), cloud, once)
            parts.start()
            try:
                self._draw_all(parts, max_idle)
            finally:
                self._stopping.set()
                left = parts.close(self._studio.settings.supabase.exit_seconds)
                if left:
                    print_notice(
                        f"not sent yet: {left}; the next `imagen work` here sends what"
                        " is still wanted"
                    )
            parts.require_well()

    def _make_parts(self, queue: JobQueue, cloud: Cloud, once: bool) -> _Parts:
        studio, work = self._studio, self._studio.settings.work
        identity = WorkerIdentity(self.id, queue, HeldJobs(), work.lease_seconds)
        outage, pace, memory_mb = Outage(), JobPace(), card_megabytes()
        sender = JobSender(identity, studio.catalog(), cloud, outage, self._tell)
        checker = JobChecker(
            studio._builder,
            self.backends,
            work,
            studio.settings.lora_dirs,
            partial(fetch_input, cloud),
        )
        register = partial(
            queue.register, self.id, self.name, self.backends, memory_mb, __version__
        )
        claimer = JobClaimer(
            identity,
            checker,
            pace,
            ClaimerLinks(partial(sender.failed, again=False), register, outage),
            self._stopping,
            memory_mb=memory_mb,
            once=once,
        )
        drawer = JobDrawer(
            studio._drawer,
            studio.catalog(),
            identity.held,
            sender,
            pace,
            studio.settings.preview != "off",
            self._aborted,
        )
        keeper = LeaseKeeper(identity, outage)
        return _Parts(identity, pace, keeper, claimer, sender, drawer)

    def _draw_all(self, parts: _Parts, max_idle: float | None) -> None:
        busy_at = time.monotonic()
        while True:
            parts.require_well()
            jobs = parts.claimer.ready.take(parts.pace.together, _TICK_S)
            if jobs:
                parts.claimer.ready.put_back(parts.drawer.draw(jobs))
            else:
                parts.drawer.tell_suspects()
            if self.was_stopped or (not jobs and parts.claimer.thread.is_over):
                return
            now = time.monotonic()
            if jobs or not parts.sender.is_idle:
                busy_at = now
            if max_idle is not None and now - busy_at > max_idle:
                return


@dataclass(frozen=True, slots=True)
class _Parts:
    """The threads of one run, and what draws on the caller's own."""

    identity: WorkerIdentity
    pace: JobPace
    keeper: LeaseKeeper
    claimer: JobClaimer
    sender: JobSender
    drawer: JobDrawer

    def start(self) -> None:
        self.sender.start()
        self.keeper.thread.start()
        self.claimer.thread.start()

    def require_well(self) -> None:
        """Raise what ended one of the threads, if something did."""
        for part in (self.keeper, self.claimer, self.sender):
            part.thread.require_well()

    def close(self, seconds: float) -> int:
        """Give back what was not begun, send what was drawn, say that it ends.

        Return how many pictures could not be sent within so many seconds.
        """
        self.claimer.thread.join()
        self.claimer.give_back()
        left = self.sender.close(seconds)
        self.keeper.close()
        queue, id = self.identity.queue, self.identity.id
        with suppress(CloudError):  # then leases run out, and it is not heard of
            if left_over := self.identity.held.ids():
                queue.release(id, left_over)
            queue.stop(id)
        return left


def offered_backends(studio: Studio, names: Sequence[str]) -> tuple[str, ...]:
    """Return the backends that jobs may name, the one for those that name none first.

    Without `names`: the configured one, and what can draw here at no price. Raise
    `UsageError` for an unknown name, `BackendError` for one that cannot draw here.
    """
    if names:
        for name in names:
            backend, _ = studio.drawing_with(name)
            _require_available(backend)
        return tuple(dict.fromkeys(names))
    own, _ = studio.drawing_with(None)
    _require_available(own)
    rows = (
        backend_row(name, studio.settings.options_of(name)) for name in backend_names()
    )
    free = [row["name"] for row in rows if row["available"] and row["cost_usd"] == 0]
    return tuple(dict.fromkeys([own.name, *free]))


def _require_available(backend: Backend) -> None:
    state = backend.availability()
    if not state.available:
        raise BackendError(f"{backend.name}: {state.reason}")


def _account_for_jobs(settings: Settings) -> Account:
    if settings.output.cloud_sync == "off":
        raise UsageError("output.cloud_sync is off: jobs come from your Supabase")
    account = account_of(settings)
    if account is None:
        raise UsageError(f"no jobs to draw: {NOT_CONFIGURED}")
    return account


def card_megabytes() -> int | None:
    """Return the memory of this machine's card, in MB; None without a card."""
    megabytes = round(1000 * this_machine().gpu_gb)
    return megabytes or None
