"""Whose drawing a thread is in the middle of, so that autolog records it only once.

Loads nothing heavy: `imagen_nb.autolog` imports it before any pipeline is loaded.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class OutermostDrawing:
    """A drawing that was not started from within another one.

    Attributes:
        drawer: the pipeline or backend that draws.
        inner: arguments of the calls that the drawer made to its own class's parents,
            by `super().__call__(…)`.
    """

    drawer: object
    inner: list[Any] = field(default_factory=list)


_thread_state = threading.local()


def outermost_drawing() -> OutermostDrawing | None:
    """Return the drawing that this thread is in the middle of, or None."""
    drawing: OutermostDrawing | None = getattr(_thread_state, "drawing", None)
    return drawing


@contextmanager
def drawing_on_behalf_of(drawer: object) -> Iterator[OutermostDrawing]:
    """Mark what this thread draws meanwhile as a part of the drawer's drawing."""
    before = outermost_drawing()
    _thread_state.drawing = drawing = OutermostDrawing(drawer)
    try:
        yield drawing
    finally:
        _thread_state.drawing = before
