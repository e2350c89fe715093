"""What a Panel drew, and what its page hears of it: pictures, queue, steps, words."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from imagen_nb.backends import Step
from imagen_nb.errors import UsageError
from imagen_nb.storage.drawing_queue import DrawingRequest, QueuedDrawing
from imagen_nb.storage.picture import Picture, describe_record
from imagen_nb.studio.progress import describe_seconds
from imagen_nb.system.thumbnails import encode_webp
from imagen_nb.widgets.drawing_job import QueueState
from imagen_nb.widgets.facts import describe_settings
from imagen_nb.widgets.saved_page import page_output, thumbnails_page

MAX_THUMBNAILS = 100  # of the newest pictures; strip.js shows as many
_MAX_QUEUE_ITEMS = 100  # of what waits
_MAX_TITLE_CHARS = 200  # of a prompt in the queue
_SAVED_THUMBNAILS = 12  # in the saved notebook
_SAVE_INTERVAL_S = 3.0  # between two updates of these


class Strip:
    """The painter's listener: it sends the page what it hears, from any thread."""

    def __init__(self, send: Callable[..., None]) -> None:
        """`send`: of the widget, (message, buffers)."""
        self._send = send
        self.results = Results()
        self.saved: Any = None  # the DisplayHandle of what stays in a saved notebook
        self._saved_at = 0.0

    def tell(self, kind: str, data: bytes | None = None, **facts: Any) -> None:
        """Send one message to every view; `data`: a picture's file to go with it."""
        self._send({"kind": kind, **facts}, [data] if data else None)

    def changed(self, state: QueueState) -> None:
        """See `PainterListener`; so are the next ones."""
        shown = state.items[:_MAX_QUEUE_ITEMS]
        left = state.seconds_left
        self.tell(
            "queue",
            items=[_queue_item(item, state.current) for item in shown],
            waiting=state.waiting,
            more=len(state.items) - len(shown),
            resumable=state.resumable,
            elsewhere=state.elsewhere,
            left="" if left is None else f"about {describe_seconds(left)}",
        )
        if state.current is None:
            self._update_saved()

    def stepped(self, step: Step, preview: bytes | None) -> None:  # noqa: D102
        left = f"{describe_seconds(step.seconds_left)} left"
        self.tell("step", preview, step=step.step, steps=step.steps, left=left)

    def drew(self, request: DrawingRequest, picture: Picture) -> None:  # noqa: D102
        result = make_result(picture, request.again is not None)
        self.results.add(result)
        self.tell("result", result.small, **result.facts())
        self.said(result.verdict or f"drawn: {picture.path.name}")
        if time.monotonic() > self._saved_at + _SAVE_INTERVAL_S:
            self._update_saved()

    def said(self, text: str) -> None:  # noqa: D102
        self.tell("said", text=text)

    def failed(self, text: str) -> None:  # noqa: D102
        self.tell("failed", text=text)

    def repeat(self) -> None:
        """Send all pictures again, for a view that has just come up."""
        for result in self.results.newest():
            self.tell("result", result.small, **result.facts())

    def page(self) -> str:
        """Return the newest pictures as plain HTML, the last one first."""
        newest = self.results.newest(_SAVED_THUMBNAILS)[::-1]
        thumbnails = [
            (
                one.small,
                one.picture.record.prompt,
                describe_settings(one.picture.record),
            )
            for one in newest
        ]
        return thumbnails_page(thumbnails, len(self.results.pictures()), side=128)

    def _update_saved(self) -> None:
        if self.saved:
            self._saved_at = time.monotonic()
            self.saved.update(page_output(self.page()), raw=True)


def _queue_item(item: QueuedDrawing, current: QueuedDrawing | None) -> dict[str, Any]:
    """Return an item of the queue as the page lists it."""
    request = item.request
    prompt = request.prompt
    if len(prompt) > _MAX_TITLE_CHARS:
        prompt = f"{prompt[:_MAX_TITLE_CHARS]}…"
    return {
        "id": item.id,
        "title": f"again: {prompt}" if request.again else prompt,
        "seed": request.seed,
        "width": request.width,
        "height": request.height,
        "error": item.error,
        "mine": item.mine,
        "drawing": current is not None and current.id == item.id,
    }


@dataclass(frozen=True, slots=True)
class DrawnResult:
    """One picture that a panel drew.

    small: its thumbnail, a WebP; empty for one of long ago.
    verdict: of a reproduction, whether it is identical; else empty.
    """

    picture: Picture
    small: bytes
    verdict: str = ""

    @property
    def id(self) -> str:
        """Of the picture."""
        return str(self.picture.record.id)

    def facts(self) -> dict[str, Any]:
        """Return what is shown of it beside the thumbnail."""
        record = self.picture.record
        return {
            "id": self.id,
            "prompt": record.prompt,
            "summary": describe_record(record),
            "path": str(self.picture.path),
            "width": record.width,
            "height": record.height,
            "strength": record.strength,
            "tags": record.tags,
            "verdict": self.verdict,
        }


def make_result(picture: Picture, reproduced: bool) -> DrawnResult:
    """Return a picture that was just drawn, with its thumbnail and verdict."""
    verdict = _describe_verdict(picture) if reproduced else ""
    return DrawnResult(picture, encode_webp(picture.image), verdict)


class Results:
    """The pictures in the order in which they were drawn, each once; for any threads.

    Invariant: thumbnails are of the newest `MAX_THUMBNAILS` only; of others there is
    the
    record.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_id: dict[str, DrawnResult] = {}

    def add(self, result: DrawnResult) -> None:
        """Add the newest one; of a picture drawn again the last drawing counts."""
        with self._lock:
            self._by_id.pop(result.id, None)
            self._by_id[result.id] = result
            if len(self._by_id) > MAX_THUMBNAILS:
                old = [*self._by_id.values()][-MAX_THUMBNAILS - 1]
                self._by_id[old.id] = replace(old, small=b"")

    def get(self, id: str) -> DrawnResult:
        """Return the one with this id. Raises `UsageError` when there is none."""
        with self._lock:
            if id not in self._by_id:
                raise UsageError(f"this panel drew no picture {id}")
            return self._by_id[id]

    def tag(self, id: str, tags: Iterable[str]) -> DrawnResult:
        """Replace its tags, and return it. Raises `UsageError` when there is none."""
        old = self.get(id)
        record = old.picture.record.model_copy(update={"tags": tuple(tags)})
        new = replace(old, picture=replace(old.picture, record=record))
        with self._lock:
            self._by_id[id] = new
        return new

    def pictures(self) -> list[Picture]:
        """Return all pictures."""
        with self._lock:
            return [result.picture for result in self._by_id.values()]

    def newest(self, count: int = MAX_THUMBNAILS) -> list[DrawnResult]:
        """Return the newest ones, in the order in which they were drawn."""
        with self._lock:
            return [*self._by_id.values()][-count:]


def _describe_verdict(picture: Picture) -> str:
    if picture.identical is None:
        return "reproduced; there is nothing to compare it with"
    if picture.identical:
        return "identical"
    return f"differs: {'; '.join(picture.differs) or 'and nothing recorded is why'}"
