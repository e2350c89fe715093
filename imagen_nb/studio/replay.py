"""A backend that draws a picture as it was drawn: in such a batch, with as many threads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from threading import Event
from typing import Any

from imagen_nb.backends import (
    Availability,
    Backend,
    Drawn,
    Progress,
    Step,
    drawn_as,
    made_with,
)
from imagen_nb.errors import BackendError
from imagen_nb.request.request import Request
from imagen_nb.storage.record import Record

MAX_BATCH_SIZE = 64  # a record may say anything
MAX_TORCH_THREADS = 256


class ReplayBackend:
    """Draws each request as a picture was drawn: in such a batch, at the same place.

    The batch has the recorded size and is filled with copies of the request. The other
    pictures of a batch do not change a picture's pixels, but its place does where
    several threads of a CPU share the work, and so does the number of threads.

    Attributes:
        drawn_with: how the last picture was drawn: record fields, such as versions.
    """

    def __init__(self, inner: Backend, record: Record) -> None:
        """`inner`: what draws; `record`: the picture's."""
        self.inner, self.record = inner, record
        self.name, self.model = inner.name, inner.model
        self.defaults, self.limits = inner.defaults, inner.limits
        self.made_with = made_with(inner)
        self.drawn_with: dict[str, Any] = {}

    def availability(self) -> Availability:
        """As the inner backend's."""
        return self.inner.availability()

    def cost_usd(self, request: Request) -> float:
        """As the inner backend's."""
        return self.inner.cost_usd(request)

    def draw(
        self, requests: Sequence[Request], progress: Progress | None, cancel: Event
    ) -> Iterator[Drawn]:
        """Draw each request in a batch of copies; give the copy at the same place."""
        listener = _for_one_picture(progress) if progress else None
        for request in requests:
            batch = [request] * self._batch_size
            with torch_threads(self.record.threads):
                drawn = self._at_recorded_place(
                    self.inner.draw(batch, listener, cancel)
                )
            self.drawn_with = {**drawn.details, "model": self.model}
            yield drawn

    @property
    def _batch_size(self) -> int:
        """The recorded one, unless it makes no sense or would fill the memory."""
        size = self.record.batch_size
        return size if 0 <= self.record.batch_index < size <= MAX_BATCH_SIZE else 1

    def _at_recorded_place(self, batch: Iterator[Drawn]) -> Drawn:
        """Return the first picture if the backend does not draw such batches."""
        for drawn in batch:
            size = drawn.details.get("batch_size", 1)
            if size == 1 or size != self._batch_size:
                return drawn
            if drawn.details["batch_index"] == self.record.batch_index:
                return drawn
        raise BackendError(f"{self.name} drew nothing")


class ReplayElsewhere(ReplayBackend):
    """Lets a picture be drawn again on another machine, which batches as it likes."""

    @property
    def drawn_as(self) -> Backend:
        """What the other machine draws with."""
        return drawn_as(self.inner)

    def draw(
        self, requests: Sequence[Request], progress: Progress | None, cancel: Event
    ) -> Iterator[Drawn]:
        """Draw each request once."""
        for drawn in self.inner.draw(requests, progress, cancel):
            self.drawn_with = {**drawn.details, "model": self.model}
            yield drawn


@contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """Let torch use this many threads for a while; None or nonsense changes nothing."""
    if count is None or not 0 < count <= MAX_TORCH_THREADS:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _for_one_picture(progress: Progress) -> Progress:
    """Report the steps of a batch of copies as steps of a single picture."""

    def listen(step: Step) -> None:
        preview = step.preview
        first = step.indices.start
        of_first = (lambda _: preview(first)) if preview else None
        progress(replace(step, indices=range(1), total=1, preview=of_first))

    return listen
