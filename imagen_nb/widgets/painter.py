"""The painter: draws what its queue holds, one by one, on a thread of its own."""

from __future__ import annotations

import atexit
import threading
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from imagen_nb.backends import Step
from imagen_nb.errors import Cancelled, ImagenError, StorageError, UsageError
from imagen_nb.storage.drawing_queue import DrawingQueue, DrawingRequest, QueuedDrawing
from imagen_nb.storage.picture import Picture
from imagen_nb.studio.progress import PREVIEW_SIDE, StepWatcher
from imagen_nb.studio.studio import Studio
from imagen_nb.system.thumbnails import encode_webp

_SESSION_CLOSED = (
    "this panel's session is closed: make a new panel, which can resume what waits"
)
_CLOSE_TIMEOUT_S = 5.0  # that the end of the interpreter waits for a step


@dataclass(frozen=True, slots=True)
class QueueState:
    """The queue as it is.

    items: what waits or could not be drawn, and what is being drawn.
    current: what is being drawn; among the items.
    elsewhere: how many other painters hold.
    held_up: nothing is drawn until somebody resumes.
    """

    items: list[QueuedDrawing]
    current: QueuedDrawing | None
    elsewhere: int
    held_up: bool

    @property
    def resumable(self) -> int:
        """How many wait for somebody to resume."""
        waiting = [item for item in self.items if not item.error]
        return sum(self.held_up or not item.mine for item in waiting)


class PainterListener(Protocol):
    """What hears of the painter's work, on the painter's threads."""

    def changed(self, state: QueueState) -> None:
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

    Invariant: what is being drawn stays in the queue until its picture is kept, so that
    whatever ends the process, it is drawn, and not drawn twice. Methods may be called
    from any thread. It draws nothing until `add` or `resume` is called.
    """

    def __init__(self, studio: Studio, listener: PainterListener) -> None:
        self._studio, self._listener = studio, listener
        self._queue = DrawingQueue(studio.catalog())
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None
        self._cancel = threading.Event()  # of what is being drawn
        self._current: QueuedDrawing | None = None
        self._held_up = (
            False  # by what would keep the next picture from being drawn, too
        )
        self._closed = False

    def waiting(self) -> QueueState:
        """Return what waits or could not be drawn, and what is being drawn."""
        items, elsewhere = self._queue.items(), self._queue.elsewhere()
        return QueueState(items, self._current, elsewhere, self._held_up)

    def add(self, wishes: Iterable[DrawingRequest]) -> None:
        """Draw these after what waits. Raises `UsageError` when closed."""
        self._require_open()
        self._queue.add(wishes)
        self._go()

    def resume(self) -> None:
        """Draw what waits and nobody draws; go on where a full disk stopped it.

        Raises `UsageError` when closed.
        """
        self._require_open()
        self._queue.resume()
        self._held_up = False
        self._go()

    def retry(self, id: int) -> None:
        """Draw one that could not be drawn. Raises `UsageError` when closed."""
        self._require_open()
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
        self._report_change()

    def move(self, id: int, by: int) -> None:
        """Draw one earlier (-1) or later (1)."""
        self._queue.move(id, by)
        self._report_change()

    def cancel(self) -> None:
        """Stop what is being drawn at its next step; the queue goes on without it."""
        self._cancel.set()

    def close(self) -> None:
        """Stop after the current step; what is not drawn waits for the next painter."""
        atexit.unregister(self.close)
        with self._wake:
            self._closed = True
            thread = self._thread
            self._wake.notify_all()
        if thread and thread is not threading.current_thread():
            thread.join(_CLOSE_TIMEOUT_S)
        if not thread or not thread.is_alive():
            self._queue.close()

    def _report_change(self) -> None:
        try:
            self._listener.changed(self.waiting())
        except StorageError as error:
            self._listener.failed(str(error))

    def _require_open(self) -> None:
        if self._closed or self._studio.closed:
            raise UsageError(_SESSION_CLOSED)

    def _go(self) -> None:
        self._report_change()
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
            item = self._wait_for_next()
            while item is not None:
                self._paint(item)
                self._current = None
                self._report_change()
                item = self._wait_for_next()
        finally:
            self._queue.close()

    def _wait_for_next(self) -> QueuedDrawing | None:
        """Return what to draw, as soon as there is something; None to end."""
        with self._wake:
            while not self._closed:
                if self._studio.closed:
                    self._listener.failed(_SESSION_CLOSED)
                    return None
                item = None if self._held_up else self._next_in_queue()
                if item:
                    self._cancel.clear()
                    self._current = item
                    return item
                self._wake.wait()
        return None

    def _next_in_queue(self) -> QueuedDrawing | None:
        try:
            return self._queue.next()
        except StorageError as error:  # the catalog is locked, or its disk is gone
            self._held_up = True
            self._listener.failed(str(error))
            return None

    def _paint(self, item: QueuedDrawing) -> None:
        self._report_change()
        try:
            self._draw_and_keep(item)
        except StorageError as error:  # a full disk: the next would be drawn in vain
            self._held_up = True
            self._fail(item, str(error))
        except ImagenError as error:
            self._fail(item, str(error))
        except Exception as error:
            traceback.print_exc()
            self._fail(item, f"unexpected: {error!r}")

    def _draw_and_keep(self, item: QueuedDrawing) -> None:
        if item.error:
            raise UsageError(item.error)
        try:
            picture = self._draw(item.request)
            self._queue.remove(item.id)
        except Cancelled as error:
            self._note_cancelled(item, error)
        else:
            self._listener.drew(item.request, picture)

    def _note_cancelled(self, item: QueuedDrawing, error: Cancelled) -> None:
        if self._cancel.is_set():
            self._queue.remove(item.id)
            self._listener.said("cancelled")
        elif not (self._closed or self._studio.closed):  # somebody did it in Python
            self._held_up = True
            self._listener.failed(str(error))

    def _fail(self, item: QueuedDrawing, why: str) -> None:
        try:
            self._queue.fail(item.id, why)
        except StorageError:  # the catalog lies on the same full disk: it waits
            self._held_up = True
        self._listener.failed(why)

    def _draw(self, wish: DrawingRequest) -> Picture:
        """Draw it, unless it was drawn today: a process can die before noting it."""
        previews = self._studio.settings.preview != "off"
        with _StepReporter(self._listener, previews) as report:

            def progress(step: Step) -> None:
                if self._closed or self._cancel.is_set():
                    raise Cancelled("drawing cancelled")
                report(step)

            if wish.again:
                return self._studio.reproduce(
                    wish.again, cloud=wish.cloud, progress=progress
                )
            return self._studio.generate(
                wish.prompt,
                backend=self._backend(wish),
                seed=wish.seed,
                steps=wish.steps,
                width=wish.width,
                height=wish.height,
                guidance=wish.guidance,
                tags=wish.tags,
                cloud=wish.cloud,
                again=False,
                progress=progress,
            )

    def _backend(self, wish: DrawingRequest) -> str | None:
        """Return None for the configured one: so it is loaded once for everybody."""
        configured, _ = self._studio.drawing_with()
        return None if wish.backend == configured.name else wish.backend


class _StepReporter(StepWatcher):
    """Reports steps to the listener, a few times a second."""

    def __init__(self, listener: PainterListener, previews: bool) -> None:
        super().__init__(previews, loaded=True)
        self._listener = listener

    def render(self, step: Step | None) -> Callable[[], None] | None:
        """Return the function that tells the listener of the step and shows its preview."""
        if step is None:
            return None
        picture = self.preview(step)
        data = encode_webp(picture, PREVIEW_SIDE) if picture else None
        return partial(self._listener.stepped, step, data)
