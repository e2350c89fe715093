"""Draws requests with a backend and keeps the pictures, while others may cancel it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from imagen_nb.backends import Backend, Progress
from imagen_nb.backends.session import Backends
from imagen_nb.cloud.uplink import Uplink
from imagen_nb.config.settings import Settings
from imagen_nb.errors import BackendError, Cancelled
from imagen_nb.request.request import Request
from imagen_nb.storage.folders import OutputFolder, OutputFolders
from imagen_nb.storage.picture import Picture
from imagen_nb.storage.writer import (
    MAX_UNWRITTEN_PICTURES,
    RecordContext,
    Writer,
    find_drawn_today,
)
from imagen_nb.studio.nesting import within
from imagen_nb.studio.progress import listener
from imagen_nb.system.terminal import complain


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """What one call of `generate`, `sweep` or `reproduce` says beside its requests.

    `again`: draw even what was drawn today. `cancelled` is set by `Drawing.cancel`.
    """

    cloud: bool | None = None
    output: str | Path | None = None
    progress: Progress | bool | None = None
    again: bool = True
    cancelled: Event = field(default_factory=Event)


@dataclass(slots=True)
class Drawing:
    """Draws requests. Invariant: `draw` returns pictures that are on disk and in the catalog."""

    settings: Settings
    backends: Backends
    folders: OutputFolders
    writer: Writer
    uplink: Uplink
    _calls: set[Call] = field(default_factory=set)  # those under way
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def call(
        self,
        cloud: bool | None,
        output: str | Path | None,
        progress: Progress | bool | None,
        again: bool = True,
    ) -> Iterator[Call]:
        """A call of the session, which `cancel` reaches as long as this lasts."""
        call = Call(cloud, output, progress, again)
        with self._lock:
            self._calls.add(call)
        try:
            yield call
        finally:
            with self._lock:
                self._calls.remove(call)

    def cancel(self) -> None:
        """Cancel every call that is under way, also one that has not begun to draw."""
        with self._lock:
            for call in self._calls:
                call.cancelled.set()

    def draw(
        self, backend: Backend, requests: Sequence[Request], call: Call
    ) -> list[Picture]:
        """Draw and keep the requests, in their order.

        Raises `BackendError` when a picture cannot be drawn, `StorageError` when one cannot be
        kept, and `Cancelled`; pictures drawn before stay kept.
        """
        home = self.folders.folder(call.output, len(requests))
        self.uplink.warn(call.cloud)
        to_cloud = self.uplink.wants(call.cloud)
        facts = RecordContext(
            backend, self.settings.owner_user_id, to_cloud, self.settings.cost
        )
        there = {} if call.again else find_drawn_today(requests, home, facts)
        missing = [
            request for place, request in enumerate(requests) if place not in there
        ]
        new = iter(self._draw_new(missing, home, facts, call) if missing else ())
        return [there.get(place) or next(new) for place in range(len(requests))]

    def _draw_new(
        self,
        requests: Sequence[Request],
        home: OutputFolder,
        facts: RecordContext,
        call: Call,
    ) -> list[Picture]:
        backend = facts.backend
        self._explain(backend, requests)
        previews = self.settings.preview != "off"
        shown = listener(
            requests, call.progress, previews, self.backends.has_drawn(backend)
        )
        with shown as listen, self.uplink.drawing(), within(backend):
            if call.cancelled.is_set():
                raise Cancelled("drawing cancelled")
            written = self._draw_and_write(requests, home, facts, call, listen)
        if len(written) != len(requests):
            raise BackendError(
                f"{backend.name} drew {len(written)} of {len(requests)} pictures"
            )
        return [one.result() for one in written]

    def _draw_and_write(
        self,
        requests: Sequence[Request],
        home: OutputFolder,
        facts: RecordContext,
        call: Call,
        listen: Progress | None,
    ) -> list[Future[Picture]]:
        """The next picture is denoised while the last ones are written."""
        backend = facts.backend
        writing: list[Future[Picture]] = []
        try:
            for drawn in backend.draw(requests, listen, call.cancelled):
                self.backends.note_drawn(backend)
                writing.append(self.writer.save(drawn, home, facts))
                if len(writing) > MAX_UNWRITTEN_PICTURES:
                    writing[
                        -MAX_UNWRITTEN_PICTURES
                    ].result()  # a full disk stops the drawing too
        finally:
            kept = [
                one.result() for one in writing if not one.exception()
            ]  # also after an error
            if kept:
                ids = [picture.record.id for picture in kept]
                self.uplink.drawn(home.catalog, ids, call.cloud)
        return writing

    def _explain(self, backend: Backend, requests: Sequence[Request]) -> None:
        """Say what the user would wonder about: why auto chose this, what strength forgets."""
        if why := self.backends.why(backend):
            complain(why)
        lost = next(
            (request for request in requests if request.forgets_its_image), None
        )
        if lost:
            complain(
                f"nothing of the init image is left with {lost.steps} steps and a strength of "
                f"{lost.strength:g}: take more steps, or less strength"
            )
