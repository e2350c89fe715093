"""The painter: draws what its queue holds, one by one, on a thread of its own."""

from __future__ import annotations

import atexit
import threading
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from imagen_nb.errors import Cancelled, ImagenError, StorageError, UsageError
from imagen_nb.request.images import InputImage
from imagen_nb.storage.drawing_queue import DrawingQueue, DrawingRequest, QueuedDrawing
from imagen_nb.storage.input_files import save_inputs
from imagen_nb.storage.picture import Picture
from imagen_nb.studio.studio import Studio
from imagen_nb.widgets.drawing_job import (
    DrawingJob,
    JobProgress,
    PainterListener,
    QueueState,
    StepReporter,
    drawing_arguments,
)
from imagen_nb.widgets.pace import DrawingPace

_SESSION_CLOSED = (
    "this panel's session is closed: make a new panel, which can resume what waits"
)
_CLOSE_TIMEOUT_S = 5.0  # that the end of the interpreter waits for a step
_NO_INPUTS: Mapping[str, InputImage] = MappingProxyType({})


class Painter:
    """Draws what the queue of a Studio's catalog holds for it.

    The listener is called on the painter's threads. The drawing thread starts with the
    first request. Invariant: one request at a time, but for those that were cancelled
    while their model was loading: they end at their first step. What is drawn leaves
    the queue only when its picture is kept.
    """

    def __init__(self, studio: Studio, listener: PainterListener) -> None:
        self._studio, self._listener = studio, listener
        catalog = studio.catalog()
        self._folder = catalog.folder
        self._queue = DrawingQueue(catalog)
        self._pace = DrawingPace()
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None
        self._job: DrawingJob | None = None
        self._held_up = (
            False  # by what would keep the next picture from being drawn, too
        )
        self._closed = False

    def waiting(self) -> QueueState:
        """Return what waits or could not be drawn, and what is being drawn."""
        items, elsewhere, job = self._queue.items(), self._queue.elsewhere(), self._job
        current = job.item if job else None
        state = QueueState(items, current, elsewhere, self._held_up)
        return replace(state, seconds_left=self._expect(state, job))

    def _expect(self, state: QueueState, job: DrawingJob | None) -> float | None:
        id = job.item.id if job else None
        later = [item for item in state.items if item.mine and not item.error]
        waiting = self._pace.expect(each.request for each in later if each.id != id)
        current = job.expect(self._pace) if job else 0.0
        if waiting is None or current is None or state.held_up:
            return None
        return waiting + current

    def add(
        self,
        requests: Iterable[DrawingRequest],
        inputs: Mapping[str, InputImage] = _NO_INPUTS,
    ) -> None:
        """Draw these after what waits.

        `inputs`: the images that they name, which are kept with the pictures. Raises
        `UsageError` when closed, `StorageError` when an image cannot be kept.
        """
        self._require_open()
        save_inputs(self._folder, inputs)
        self._queue.add(requests)
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
            if self._job and self._job.item.id == id:
                self.cancel()
                return
            self._queue.remove(id)
        self._report_change()

    def remove_all(self) -> None:
        """Take all that waits out of the queue; what is being drawn goes on."""
        with self._wake:
            self._queue.remove_all(but=self._job.item.id if self._job else None)
        self._report_change()

    def move(self, id: int, by: int) -> None:
        """Draw one as many places later or, negative, earlier."""
        self._queue.move(id, by)
        self._report_change()

    def cancel(self) -> None:
        """Stop what is being drawn at its next step; the queue goes on without it.

        Nobody waits for one whose model is still loading.
        """
        with self._wake:
            job = self._job
            if job is None or job.cancelled:
                return
            job.cancelled = True
            job.stop.set()
            if job.stepped:
                self._listener.said("cancelling: it stops at its next step")
                return
            self._queue.remove(job.item.id)
            job.gone, self._job, self._thread = True, None, None
            self._listener.said("cancelled; what is still loading ends by itself")
            if not self._closed:
                self._start()
        self._report_change()

    def close(self) -> None:
        """Stop after the current step; what is not drawn waits for the next painter."""
        atexit.unregister(self.close)
        with self._wake:
            self._closed = True
            if self._job:
                self._job.stop.set()
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
                self._start()
                atexit.register(self.close)
            self._wake.notify_all()

    def _start(self) -> None:
        self._thread = threading.Thread(
            target=self._run, daemon=True, name="imagen-painter"
        )
        self._thread.start()

    def _run(self) -> None:
        gone = False
        try:
            while not gone:
                job = self._wait_for_next()
                if job is None:
                    return
                self._paint(job)
                with self._wake:
                    gone = job.gone
                    if not gone:
                        self._job = None
                if not gone:
                    self._report_change()
        finally:
            if not gone:  # else another thread goes on with the queue
                self._queue.close()

    def _wait_for_next(self) -> DrawingJob | None:
        """Return what to draw, as soon as there is something; None to end."""
        with self._wake:
            while not self._closed:
                if self._studio.closed:
                    self._listener.failed(_SESSION_CLOSED)
                    return None
                item = None if self._held_up else self._next_in_queue()
                if item:
                    self._job = DrawingJob(item)
                    return self._job
                self._wake.wait()
        return None

    def _next_in_queue(self) -> QueuedDrawing | None:
        try:
            return self._queue.next()
        except StorageError as error:  # the catalog is locked, or its disk is gone
            self._held_up = True
            self._listener.failed(str(error))
            return None

    def _paint(self, job: DrawingJob) -> None:
        self._report_change()
        try:
            self._draw_and_keep(job)
        except StorageError as error:  # a full disk: the next would be drawn in vain
            self._held_up = self._held_up or not job.gone
            self._fail(job, str(error))
        except ImagenError as error:
            self._fail(job, str(error))
        except Exception as error:
            traceback.print_exc()
            self._fail(job, f"unexpected: {error!r}")

    def _draw_and_keep(self, job: DrawingJob) -> None:
        if job.item.error:
            raise UsageError(job.item.error)
        try:
            picture = self._draw(job)
        except Cancelled as error:
            self._note_cancelled(job, error)
            return
        if not job.gone:
            self._queue.remove(job.item.id)
            self._pace.note(picture.record)
            self._listener.drew(job.item.request, picture)

    def _note_cancelled(self, job: DrawingJob, error: Cancelled) -> None:
        with self._wake:  # `cancel` may be about to let it go
            gone = job.gone
        if gone:
            return
        if job.cancelled:
            self._queue.remove(job.item.id)
            self._listener.said("cancelled")
        elif not (self._closed or self._studio.closed):  # somebody did it in Python
            self._held_up = True
            self._listener.failed(str(error))

    def _fail(self, job: DrawingJob, why: str) -> None:
        if job.gone:
            return
        try:
            self._queue.fail(job.item.id, why)
        except StorageError:  # the catalog lies on the same full disk: it waits
            self._held_up = True
        self._listener.failed(why)

    def _draw(self, job: DrawingJob) -> Picture:
        """Draw it, unless it was drawn today: a process can die before noting it."""
        request = job.item.request
        previews = self._studio.settings.preview != "off"
        with StepReporter(self._listener, previews) as report:
            progress = JobProgress(job, report)
            if request.again:
                return self._studio.reproduce(
                    request.again,
                    backend=request.backend,
                    cloud=request.cloud,
                    progress=progress,
                )
            picture: Picture = self._studio.generate(
                request.prompt,
                backend=self._backend(request),
                again=False,
                progress=progress,
                **drawing_arguments(request, self._folder),
            )
            return picture

    def _backend(self, request: DrawingRequest) -> str | None:
        """Return None for the configured one: so it is loaded once for everybody."""
        configured, _ = self._studio.drawing_with()
        return None if request.backend == configured.name else request.backend
