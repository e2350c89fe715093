"""The strip below a panel's controls: what is drawn, waits and was drawn, told to the page."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import anywidget

from imagen_nb.backends import Step
from imagen_nb.errors import UsageError
from imagen_nb.storage.drawing_queue import DrawingRequest, QueuedDrawing
from imagen_nb.storage.picture import Picture, describe_record
from imagen_nb.studio.live import clock
from imagen_nb.system.thumbnails import webp
from imagen_nb.widgets.painter import Waiting
from imagen_nb.widgets.saved_page import saved, thumbnails
from imagen_nb.widgets.script import script, style

_LISTED = 100  # of what waits
_LETTERS = 200  # of a prompt in the queue
_SAVED, _SAVED_S = (
    12,
    3.0,
)  # thumbnails that a saved notebook keeps; seconds between two updates


class Strip(anywidget.AnyWidget):
    """The painter's audience. What it shows it is told by messages, from any thread.

    Invariant: it has no state of its own that a notebook could save.
    """

    _esm = script("dom", "panel")
    _css = style("panel")

    def __init__(self) -> None:
        super().__init__()
        self.results = Results()
        self.kept: Any = None  # the DisplayHandle of what stays in a saved notebook
        self._kept_at = 0.0

    def tell(self, kind: str, data: bytes | None = None, **facts: Any) -> None:
        """One message to every view."""
        self.send({"kind": kind, **facts}, buffers=[data] if data else None)

    def changed(self, waiting: Waiting) -> None:
        """See `Audience`; so are the next ones."""
        items = [_listed(item, waiting.current) for item in waiting.items[:_LISTED]]
        more = len(waiting.items) - len(items)
        self.tell(
            "queue", items=items, more=more, resumable=waiting.resumable,
            elsewhere=waiting.elsewhere,
        )  # fmt: skip
        if waiting.current is None:
            self._keep()

    def stepped(self, step: Step, preview: bytes | None) -> None:  # noqa: D102
        left = f"{clock(step.seconds_left)} left"
        self.tell("step", preview, step=step.step, steps=step.steps, left=left)

    def drew(self, wish: DrawingRequest, picture: Picture) -> None:  # noqa: D102
        new = result(picture, wish.again is not None)
        self.results.add(new)
        self.tell("result", new.small, **new.described())
        self.said(new.verdict or f"drawn: {picture.path.name}")
        if time.monotonic() > self._kept_at + _SAVED_S:
            self._keep()

    def said(self, text: str) -> None:  # noqa: D102
        self.tell("said", text=text)

    def failed(self, text: str) -> None:  # noqa: D102
        self.tell("failed", text=text)

    def repeat(self) -> None:
        """Tell of all pictures again, to a view that has just come up."""
        for one in self.results.newest():
            self.tell("result", one.small, **one.described())

    def page(self) -> str:
        """The newest pictures as plain HTML."""
        newest = self.results.newest(_SAVED)[::-1]
        small = [(one.small, one.picture.record.prompt) for one in newest]
        return thumbnails(small, len(self.results.pictures()), side=128)

    def _keep(self) -> None:
        if self.kept:
            self._kept_at = time.monotonic()
            self.kept.update(saved(self.page()), raw=True)


def _listed(item: QueuedDrawing, current: QueuedDrawing | None) -> dict[str, Any]:
    """An item of the queue, as the page lists it."""
    prompt, drawing = item.request.prompt, current is not None and current.id == item.id
    title = prompt if len(prompt) <= _LETTERS else f"{prompt[:_LETTERS]}…"
    what = "again: " if item.request.again else ""
    return {
        "id": item.id, "title": f"{what}{title}", "seed": item.request.seed, "error": item.error,
        "mine": item.mine, "drawing": drawing,
    }  # fmt: skip


SHOWN = 100


@dataclass(frozen=True, slots=True)
class Result:
    """One picture. `small`: a WebP, empty for one of long ago; `verdict`: of a reproduction."""

    picture: Picture
    small: bytes
    verdict: str = ""

    @property
    def id(self) -> str:
        """Of the picture."""
        return str(self.picture.record.id)

    def described(self) -> dict[str, Any]:
        """What is told of it besides the thumbnail."""
        record = self.picture.record
        return {
            "id": self.id, "prompt": record.prompt, "summary": describe_record(record),
            "path": str(self.picture.path), "tags": record.tags, "verdict": self.verdict,
        }  # fmt: skip


def result(picture: Picture, reproduced: bool) -> Result:
    """A picture that was just drawn."""
    return Result(picture, webp(picture.image), _verdict(picture) if reproduced else "")


class Results:
    """The pictures in the order in which they were drawn, each once; for any number of threads.

    Invariant: thumbnails are of the newest `SHOWN` only; of others there is the record.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: dict[str, Result] = {}

    def add(self, new: Result) -> None:
        """The newest one, from now on; of a picture drawn again it is the last drawing."""
        with self._lock:
            self._all.pop(new.id, None)
            self._all[new.id] = new
            if len(self._all) > SHOWN:
                old = [*self._all.values()][-SHOWN - 1]
                self._all[old.id] = replace(old, small=b"")

    def get(self, id: str) -> Result:
        """The one with this id. Raises `UsageError` when there is none."""
        with self._lock:
            if id not in self._all:
                raise UsageError(f"this panel drew no picture {id}")
            return self._all[id]

    def tag(self, id: str, tags: Iterable[str]) -> Result:
        """It has these tags now."""
        old = self.get(id)
        record = old.picture.record.model_copy(update={"tags": tuple(tags)})
        new = replace(old, picture=replace(old.picture, record=record))
        with self._lock:
            self._all[id] = new
        return new

    def pictures(self) -> list[Picture]:
        """All of them."""
        with self._lock:
            return [one.picture for one in self._all.values()]

    def newest(self, count: int = SHOWN) -> list[Result]:
        """The newest ones, in the order in which they were drawn."""
        with self._lock:
            return [*self._all.values()][-count:]


def _verdict(picture: Picture) -> str:
    if picture.identical is None:
        return "reproduced; there is nothing to compare it with"
    if picture.identical:
        return "identical"
    return f"differs: {'; '.join(picture.differs) or 'and nothing recorded is why'}"
