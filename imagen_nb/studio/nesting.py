"""Inside which call of a pipeline, or which drawing of our own, a thread is."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Outermost:
    """What draws, and what was said to it from within its call: by `super().__call__(…)`."""

    drawer: object
    inner: list[Any] = field(default_factory=list)


_thread = threading.local()


def outermost() -> Outermost | None:
    """What this thread is inside of, if it is."""
    around: Outermost | None = getattr(_thread, "around", None)
    return around


@contextmanager
def within(drawer: object) -> Iterator[Outermost]:
    """While this holds, pipelines that the thread calls draw on behalf of `drawer`."""
    before = outermost()
    _thread.around = around = Outermost(drawer)
    try:
        yield around
    finally:
        _thread.around = before
