"""Inside which call of a pipeline, or which drawing of our own, a thread is."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class OutermostDrawing:
    """What draws, and what was said to it from within its call: by `super().__call__(…)`."""

    drawer: object
    inner: list[Any] = field(default_factory=list)


_thread_state = threading.local()


def outermost_drawing() -> OutermostDrawing | None:
    """What this thread is inside of, if it is."""
    around: OutermostDrawing | None = getattr(_thread_state, "around", None)
    return around


@contextmanager
def drawing_on_behalf_of(drawer: object) -> Iterator[OutermostDrawing]:
    """While this holds, pipelines that the thread calls draw on behalf of `drawer`."""
    before = outermost_drawing()
    _thread_state.around = around = OutermostDrawing(drawer)
    try:
        yield around
    finally:
        _thread_state.around = before
