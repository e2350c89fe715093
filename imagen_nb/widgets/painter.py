"""The painter: draws what its queue holds, one picture after the other, on a thread of its own."""

from __future__ import annotations

import atexit
import threading
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from imagen_nb.backends import Step
from imagen_nb.errors import Cancelled, ImagenError, StorageError, UsageError
from imagen_nb.storage.drawing_queue import DrawingQueue, DrawingRequest, QueuedDrawing
from imagen_nb.storage.picture import Picture
from imagen_nb.studio.live import SIDE, Onlooker
from imagen_nb.studio.studio import Studio
from imagen_nb.system.thumbnails import webp

_SESSION_CLOSED = (
    "this panel's session is closed: make a new panel, which can resume what waits"
)
_END_S = 5.0  # seconds that the end of the interpreter waits for a step


@dataclass(frozen=True, slots=True)
class Waiting:
    """The queue as it is. `current` is among the `items`.

    `elsewhere`: how many other painters hold; `held_up`: nothing is drawn until somebody resumes.
    """

    items: list[QueuedDrawing]
    current: QueuedDrawing | None
    elsewhere: int
    held_up: bool

    @property
    def resumable(self) -> int:
        """How many wait for somebody to resume."""
        return sum(
            not item.error and (self.held_up or not item.mine) for item in self.items
        )


class Audience(Protocol):
    """Who hears of it, on the painter's threads."""

    def changed(self, waiting: Waiting) -> None:
        """Something in the queue, or what is being drawn, is not what it was."""

    def stepped(self, step: Step, preview: bytes | None) -> None:
        """A step of what is being drawn; `preview`: a small WebP."""

    def drew(self, wish: DrawingRequest, picture: Picture) -> None:
        """A picture is kept."""

    def said(self, text: str) -> None:
        """One line: something that was asked for is done."""

    def failed(self, text: str) -> None:
        """One line: something could not be done."""


class Painter:
    """Draws what the queue of a Studio's catalog holds for it.

    Invariant: what is being drawn stays in the queue until its picture is kept, so that whatever
    ends the process, it is drawn, and not drawn twice. Methods may be called from any thread.
    """

    def __init__(self, studio: Studio, audience: Audience) -> None:
        """Draws nothing yet: `add` and `resume` begin."""
        self._studio, self._audience = studio, audience
        self._queue = DrawingQueue(studio.catalog())
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None
        self._cancel = threading.Event()  # of what is being drawn
        self._current: QueuedDrawing | None = None
        self._held_up = (
            False  # after what would keep the next picture from being drawn, too
        )
        self._closed = False

    def waiting(self) -> Waiting:
        """What waits or could not be drawn, and what is being drawn."""
        items, elsewhere = self._queue.items(), self._queue.elsewhere()
        return Waiting(items, self._current, elsewhere, self._held_up)

    def add(self, wishes: Iterable[DrawingRequest]) -> None:
        """Draw these after what waits."""
        self._check()
        self._queue.add(wishes)
        self._go()

    def resume(self) -> None:
        """Draw what waits and nobody draws; go on where a full disk stopped it."""
        self._check()
        self._queue.resume()
        self._held_up = False
        self._go()

    def retry(self, id: int) -> None:
        """Draw one that could not be drawn."""
        self._check()
        if self._queue.retry(id):
            self._held_up = False
            self._go()

    def remove(self, id: int) -> None:
        """Take one out of the queue; what is being drawn is cancelled."""
        with self._wake:
            if self._current and self._current.id == id:
                self._cancel.set()
                return
            self._queue.remove(id)
        self._tell()

    def move(self, id: int, by: int) -> None:
        """Draw one earlier (-1) or later (1)."""
        self._queue.move(id, by)
        self._tell()

    def cancel(self) -> None:
        """Stop what is being drawn at its next step; it leaves the queue, which goes on."""
        self._cancel.set()

    def close(self) -> None:
        """Stop after the current step; what is not drawn waits for the next painter."""
        atexit.unregister(self.close)
        with self._wake:
            self._closed = True
            thread = self._thread
            self._wake.notify_all()
        if thread and thread is not threading.current_thread():
            thread.join(_END_S)
        if not thread or not thread.is_alive():
            self._queue.close()

    def _tell(self) -> None:
        try:
            self._audience.changed(self.waiting())
        except StorageError as error:
            self._audience.failed(str(error))

    def _check(self) -> None:
        if self._closed or self._studio.closed:
            raise UsageError(_SESSION_CLOSED)

    def _go(self) -> None:
        self._tell()
        with self._wake:
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(
                    target=self._run, daemon=True, name="imagen-painter"
                )
                self._thread.start()
                atexit.register(self.close)
            self._wake.notify_all()

    def _run(self) -> None:
        try:
            while (item := self._next()) is not None:
                self._paint(item)
                self._current = None
                self._tell()
        finally:
            self._queue.close()

    def _next(self) -> QueuedDrawing | None:
        """What to draw, as soon as there is something; None to end."""
        with self._wake:
            while not self._closed:
                if self._studio.closed:
                    self._audience.failed(_SESSION_CLOSED)
                    return None
                if not self._held_up and (item := self._first()):
                    self._cancel.clear()
                    self._current = item
                    return item
                self._wake.wait()
        return None

    def _first(self) -> QueuedDrawing | None:
        try:
            return self._queue.next()
        except StorageError as error:  # the catalog is locked, or its disk is gone
            self._held_up = True
            self._audience.failed(str(error))
            return None

    def _paint(self, item: QueuedDrawing) -> None:
        self._tell()
        try:
            self._try(item)
        except (
            StorageError
        ) as error:  # a full disk: the next picture would be drawn in vain
            self._held_up = True
            self._fail(item, str(error))
        except ImagenError as error:
            self._fail(item, str(error))
        except Exception as error:
            traceback.print_exc()
            self._fail(item, f"unexpected: {error!r}")

    def _try(self, item: QueuedDrawing) -> None:
        try:
            picture = self._kept(item)
        except Cancelled as error:
            self._cancelled(item, error)
        else:
            self._audience.drew(item.request, picture)

    def _kept(self, item: QueuedDrawing) -> Picture:
        if item.error:
            raise UsageError(item.error)
        picture = self._drawn(item.request)
        self._queue.remove(item.id)
        return picture

    def _cancelled(self, item: QueuedDrawing, error: Cancelled) -> None:
        if self._cancel.is_set():
            self._queue.remove(item.id)
            self._audience.said("cancelled")
        elif not (
            self._closed or self._studio.closed
        ):  # somebody did it in Python: it waits
            self._held_up = True
            self._audience.failed(str(error))

    def _fail(self, item: QueuedDrawing, why: str) -> None:
        try:
            self._queue.fail(item.id, why)
        except StorageError:  # the catalog lies on the same full disk: it waits
            self._held_up = True
        self._audience.failed(why)

    def _drawn(self, wish: DrawingRequest) -> Picture:
        """Draw it; unless it was drawn today, as when the process died before it was noted."""
        with _Glances(
            self._audience, self._studio.settings.preview != "off"
        ) as glances:

            def progress(step: Step) -> None:
                if self._closed or self._cancel.is_set():
                    raise Cancelled("drawing cancelled")
                glances(step)

            if wish.again:
                return self._studio.reproduce(
                    wish.again, cloud=wish.cloud, progress=progress
                )
            return self._studio.generate(
                wish.prompt, backend=self._backend(wish), seed=wish.seed, steps=wish.steps,
                width=wish.width, height=wish.height, guidance=wish.guidance, tags=wish.tags,
                cloud=wish.cloud, again=False, progress=progress,
            )  # fmt: skip

    def _backend(self, wish: DrawingRequest) -> str | None:
        """None for the configured one: it is loaded once, whoever draws with it."""
        configured, _ = self._studio.drawing_with()
        return None if wish.backend == configured.name else wish.backend


class _Glances(Onlooker):
    """Tells of a step a few times a second."""

    def __init__(self, audience: Audience, previews: bool) -> None:
        super().__init__(previews, loaded=True)
        self._audience = audience

    def _see(self, step: Step | None) -> None:
        if step is None:
            return
        picture = self._preview(step)
        data = webp(picture, SIDE) if picture else None
        with self._showing:
            if not self._closed.is_set():
                self._audience.stepped(step, data)
