"""Draw requests with a backend and keep the pictures; any thread may cancel it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Event
from uuid import UUID

from imagen_nb.backends import Backend, Drawn, Progress, drawn_as
from imagen_nb.backends.session import Backends
from imagen_nb.cloud.uplink import Uplink
from imagen_nb.config.settings import Settings
from imagen_nb.errors import BackendError, Cancelled, UsageError
from imagen_nb.request.request import Request
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.folders import OutputFolder, OutputFolders
from imagen_nb.storage.picture import Picture
from imagen_nb.storage.writer import (
    MAX_UNWRITTEN_PICTURES,
    RecordContext,
    Writer,
    find_drawn_today,
)
from imagen_nb.studio.nesting import drawing_on_behalf_of
from imagen_nb.studio.progress import LOADING, progress_listener
from imagen_nb.system.forks import start_anew_in_forks
from imagen_nb.system.terminal import print_notice

_WAITING = "waiting for a machine that draws …"


@dataclass(frozen=True, slots=True, eq=False)
class DrawingCall:
    """A call of `generate`, `sweep` or `reproduce`: what it says beside the requests.

    `again`: draw even what was drawn today. `previews`: whether a notebook shows the
    picture as it grows, unless it is configured not to. `kept`: called on the writer's
    thread with each picture once it is kept. `cancelled`: set by
    `RequestDrawer.cancel`. Other arguments are those of `Studio.generate`.
    """

    cloud: bool | None = None
    output: str | Path | None = None
    progress: Progress | bool | None = None
    again: bool = True
    previews: bool = True
    kept: Callable[[Picture], None] | None = None
    cancelled: Event = field(default_factory=Event)


@dataclass(eq=False)
class RequestDrawer:
    """Draws requests and keeps the pictures.

    Invariant: the pictures that `draw` returns are on disk and in the catalog.

    Attributes:
        settings: those of the session, as its other parts.
        backends: see settings.
        folders: see settings.
        writer: see settings.
        uplink: see settings.
        drawing: returns a context in which the background keeps out of the way.
        announce: has new pictures of a catalog, kept, sent and looked at; its last
            argument is the call's `cloud`.
    """

    settings: Settings
    backends: Backends
    folders: OutputFolders
    writer: Writer
    uplink: Uplink
    drawing: Callable[[], AbstractContextManager[None]]
    announce: Callable[[Catalog, Sequence[UUID], bool | None], None]

    def __post_init__(self) -> None:
        self.start_anew()
        start_anew_in_forks(self)

    def start_anew(self) -> None:
        """Forget lock and calls, which in a forked child are the parent's."""
        self._calls: set[DrawingCall] = set()  # those under way
        self._lock = threading.Lock()

    @contextmanager
    def call(
        self,
        cloud: bool | None,
        output: str | Path | None,
        progress: Progress | bool | None,
        again: bool = True,
        previews: bool = True,
        kept: Callable[[Picture], None] | None = None,
    ) -> Iterator[DrawingCall]:
        """Begin a call, which `cancel` reaches until the context is left.

        So does the caller, by an Event that `progress` has as its attribute `cancelled`:
        before the first step, too, which may be minutes away.
        """
        cancelled = getattr(progress, "cancelled", None) or Event()
        call = DrawingCall(cloud, output, progress, again, previews, kept, cancelled)
        with self._lock:
            self._calls.add(call)
        try:
            yield call
        finally:
            with self._lock:
                self._calls.discard(call)  # a child forked meanwhile has none

    def cancel(self) -> None:
        """Cancel every call that is under way, even if it does not draw yet."""
        with self._lock:
            for call in self._calls:
                call.cancelled.set()

    def draw(
        self, backend: Backend, requests: Sequence[Request], call: DrawingCall
    ) -> list[Picture]:
        """Draw the requests and return their pictures, in the same order.

        If an error is raised, the pictures that were drawn before it are kept.

        Raises:
            ConfigError: if pictures are to be signed, and cannot be; nothing is drawn.
            UsageError: if a library is missing that signs or marks them.
            BackendError: if a picture cannot be drawn.
            StorageError: if a picture cannot be kept.
            Cancelled: after `cancel`, or once the session is closed.
        """
        elsewhere = drawn_as(backend) is not backend
        require_way_home(backend, call)
        folder = self.folders.folder(call.output, len(requests))
        if not elsewhere:  # whoever draws signs and marks
            self.folders.require_provenance()
            self.uplink.warn(call.cloud)
        context = RecordContext(
            drawn_as(backend),
            self.settings.owner_user_id,
            self.uplink.wants(call.cloud),
            self.settings.cost,
        )
        pictures = {} if call.again else find_drawn_today(requests, folder, context)
        missing = [place for place in range(len(requests)) if place not in pictures]
        if missing:
            new = [requests[place] for place in missing]
            drawn = self._draw_new(backend, new, folder, context, call)
            pictures |= zip(missing, drawn, strict=True)
        return [pictures[place] for place in range(len(requests))]

    def _draw_new(
        self,
        backend: Backend,
        requests: Sequence[Request],
        folder: OutputFolder,
        context: RecordContext,
        call: DrawingCall,
    ) -> list[Picture]:
        self._explain(backend, requests)
        elsewhere = drawn_as(backend) is not backend
        listening = progress_listener(
            requests,
            call.progress,
            previews=call.previews and self.settings.preview != "off",
            loaded=self.backends.has_drawn(backend),
            before=_WAITING if elsewhere else LOADING,
        )
        with (
            listening as listener,
            # What is drawn elsewhere needs the cloud, and nothing of this machine.
            nullcontext() if elsewhere else self.drawing(),
            drawing_on_behalf_of(backend),
        ):
            if call.cancelled.is_set():
                raise Cancelled("drawing cancelled")
            drawing = backend.draw(requests, listener, call.cancelled)
            written = self._write(backend, drawing, folder, context, call)
        if len(written) != len(requests):
            raise BackendError(
                f"{backend.name} drew {len(written)} of {len(requests)} pictures"
            )
        return [writing.result() for writing in written]

    def _write(
        self,
        backend: Backend,
        drawing: Iterator[Drawn],
        folder: OutputFolder,
        context: RecordContext,
        call: DrawingCall,
    ) -> list[Future[Picture]]:
        """Draw one picture while the writer's thread writes those before it."""
        written: list[Future[Picture]] = []
        unwritten: deque[Future[Picture]] = deque()
        try:
            for drawn in drawing:
                self.backends.note_drawn(backend)
                written.append(self.writer.save(drawn, folder, context))
                if call.kept:
                    written[-1].add_done_callback(partial(_tell_kept, call.kept))
                unwritten.append(written[-1])
                # A broken picture or a full disk stops the drawing, too.
                while len(unwritten) > MAX_UNWRITTEN_PICTURES or (
                    unwritten and unwritten[0].done()
                ):
                    unwritten.popleft().result()
        finally:  # also after an error: what is kept is announced to the cloud
            if isinstance(drawing, Generator):
                drawing.close()  # what is drawn elsewhere is cancelled now
            kept = [writing.result() for writing in written if not writing.exception()]
            if kept:
                ids = [picture.record.id for picture in kept]
                self.announce(folder.catalog, ids, call.cloud)
        return written

    def _explain(self, backend: Backend, requests: Sequence[Request]) -> None:
        """Say why auto chose this backend, and if a request ignores its init image."""
        reason = self.backends.why(backend)
        if reason:
            print_notice(reason)
        for request in requests:
            if request.forgets_its_image:
                print_notice(
                    f"nothing of the init image is left with {request.steps} steps and"
                    f" a strength of {request.strength:g}: take more steps, or less"
                    " strength"
                )
                return


def require_way_home(backend: Backend, call: DrawingCall) -> None:
    """Raise `UsageError` if another machine is to draw, and the cloud to know nothing."""
    if drawn_as(backend) is not backend and call.cloud is False:
        raise UsageError(
            f"pictures of {backend.name} come by way of the cloud: leave out that they"
            " are not copied there"
        )


def _tell_kept(kept: Callable[[Picture], None], written: Future[Picture]) -> None:
    if not written.cancelled() and not written.exception():
        kept(written.result())
