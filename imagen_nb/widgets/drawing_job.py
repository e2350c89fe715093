"""One drawing of a Panel's queue, the queue around it, and who hears of both."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any, Protocol

from imagen_nb.backends import Progress, Step
from imagen_nb.errors import Cancelled
from imagen_nb.storage.drawing_queue import DrawingRequest, QueuedDrawing
from imagen_nb.storage.input_files import load_saved_input
from imagen_nb.storage.picture import Picture
from imagen_nb.studio.progress import StepWatcher
from imagen_nb.system.thumbnails import encode_webp
from imagen_nb.widgets.pace import DrawingPace

_PREVIEW_SIDE = 512  # pixels of a preview's longer side; most models' have fewer


@dataclass(frozen=True, slots=True)
class QueueState:
    """The queue as it is.

    items: what waits or could not be drawn, and what is being drawn.
    current: what is being drawn; among the items.
    elsewhere: how many other painters hold.
    held_up: nothing is drawn until somebody resumes.
    seconds_left: expected for all that this painter will draw; None if not known.
    """

    items: list[QueuedDrawing]
    current: QueuedDrawing | None
    elsewhere: int
    held_up: bool
    seconds_left: float | None = None

    @property
    def waiting(self) -> int:
        """How many this painter is going to draw after the current one."""
        held = [item for item in self.items if item.mine and not item.error]
        current = self.current.id if self.current else None
        return 0 if self.held_up else sum(item.id != current for item in held)

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

    def drew(self, request: DrawingRequest, picture: Picture) -> None:
        """A picture is kept."""

    def said(self, text: str) -> None:
        """One line: something that was asked for is done."""

    def failed(self, text: str) -> None:
        """One line: something could not be done."""


@dataclass(slots=True, eq=False)
class DrawingJob:
    """One drawing under way.

    stepped: it has begun to denoise; until then its model may be loading.
    gone: nobody waits for it any more.
    stop: set, it ends as soon as its backend can end it.
    """

    item: QueuedDrawing
    stop: Event = field(default_factory=Event)
    cancelled: bool = False
    stepped: bool = False
    gone: bool = False
    seconds_left: float = 0.0
    stepped_at: float = 0.0

    def expect(self, pace: DrawingPace) -> float | None:
        """Return the seconds until it is drawn; None if that is not known."""
        if not self.stepped:
            return pace.expect([self.item.request])
        return max(0.0, self.seconds_left - (time.monotonic() - self.stepped_at))


class JobProgress:
    """The progress of a job: it cancels the call, or reports the step."""

    def __init__(self, job: DrawingJob, report: Progress) -> None:
        self._job, self._report = job, report
        self.cancelled = job.stop  # which ends the call before its first step, too

    def __call__(self, step: Step) -> None:
        """Note one denoising step. Raise `Cancelled` after `stop`."""
        job = self._job
        if job.stop.is_set():
            raise Cancelled("drawing cancelled")
        job.seconds_left, job.stepped_at = step.seconds_left, time.monotonic()
        job.stepped = True
        self._report(step)


def drawing_arguments(request: DrawingRequest, folder: Path) -> dict[str, Any]:
    """Return what a request says, as arguments of `Studio.generate`.

    `folder`: where its images were kept. Prompt and backend are left out. Raises
    `BackendError` for an image that is gone.
    """
    described = {"prompt", "backend", "again", "init_image", "mask"}
    arguments = request.model_dump(exclude=described, exclude_none=True)
    if not request.loras:  # not every backend takes them
        del arguments["loras"]
    for name in ("init_image", "mask"):
        if file := getattr(request, name):
            arguments[name] = load_saved_input(name, file, folder)
    return arguments


class StepReporter(StepWatcher):
    """Reports steps to the listener, a few times a second."""

    def __init__(self, listener: PainterListener, previews: bool) -> None:
        super().__init__(previews, loaded=True)
        self._listener = listener

    def render(self, step: Step | None) -> Callable[[], None] | None:
        """Return the function that tells the listener of the step and shows its preview."""
        if step is None:
            return None
        picture = self.preview(step)
        data = encode_webp(picture, _PREVIEW_SIDE) if picture else None
        return partial(self._listener.stepped, step, data)
