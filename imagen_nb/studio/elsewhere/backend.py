"""The backend that draws nothing: it hands requests out, and brings the pictures home."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Any
from uuid import UUID

from imagen_nb.backends import Availability, Backend, Drawn, FinishedFile, Progress
from imagen_nb.cloud.account import NOT_CONFIGURED
from imagen_nb.errors import CloudError
from imagen_nb.request.request import Request
from imagen_nb.storage.jobs import Job
from imagen_nb.storage.record import Record
from imagen_nb.studio.elsewhere.asking import jobs_of, remote_options, upload_inputs_of
from imagen_nb.studio.elsewhere.boxes import Boxes, describe_waiting
from imagen_nb.studio.elsewhere.following import Following
from imagen_nb.studio.elsewhere.telling import StepsTold
from imagen_nb.system.terminal import print_notice

if TYPE_CHECKING:
    from PIL.Image import Image

# How a picture was drawn, of what its record says: see `Drawn.details`.
_DRAWN_HOW = (
    "scheduler",
    "dtype",
    "device",
    "threads",
    "batch_size",
    "memory_plan",
    "versions",
)


class RemoteBackend:
    """Stands for a backend of another machine: its limits are those of `drawn_as`.

    Attributes:
        name: as it was asked for, "remote" or "remote:flux-dev-local".
        drawn_as: this machine's definition of what draws; no weights are needed for it.
    """

    may_differ = "another machine drew them"

    def __init__(
        self, name: str, drawn_as: Backend, boxes: Boxes, options: Mapping[str, Any]
    ) -> None:
        """`options`: of the backend there, `model` and `loras`."""
        self.name, self.drawn_as = name, drawn_as
        self.model = drawn_as.model
        self.defaults, self.limits = drawn_as.defaults, drawn_as.limits
        self._boxes, self._options = boxes, remote_options(options)

    def availability(self) -> Availability:
        """Say whether there is a Supabase that jobs can go by."""
        if self._boxes.is_configured():
            return Availability(True)
        return Availability(False, NOT_CONFIGURED, "account")

    def cost_usd(self, request: Request) -> float:
        """As there; the picture's own record says what it cost."""
        return self.drawn_as.cost_usd(request)

    def jobs(self, requests: Sequence[Request]) -> list[Job]:
        """Return the jobs that these requests are, not queued yet.

        Raises `UsageError` for what no job can ask for.
        """
        return jobs_of(requests, self.drawn_as.name, self._options)

    def hand_out(self, requests: Sequence[Request], jobs: Sequence[Job]) -> None:
        """Queue jobs, after the images that they need. Raises `CloudError`."""
        queue = self._boxes.queue()
        upload_inputs_of(requests, queue.cloud)
        queue.add(jobs)

    def draw(
        self, requests: Sequence[Request], progress: Progress | None, cancel: Event
    ) -> Iterator[Drawn]:
        """Let them be drawn elsewhere; whatever ends this early cancels the rest."""
        jobs = self.jobs(requests)
        steps = [request.steps_run for request in requests]
        told = StepsTold(steps, progress) if progress else None
        following = Following(self._boxes.queue(), [job.id for job in jobs], told)
        with self._cancelled_at_the_end(following):
            self.hand_out(requests, jobs)
            with following.within(partial(self.note_waiting, len(jobs))):
                for place, file in following.pictures(cancel):
                    yield drawn_elsewhere(requests[place], file)

    def note_waiting(self, jobs: int) -> None:
        """Say on stderr if no box that was heard of will draw so many jobs."""
        try:
            boxes = self._boxes.seen()
        except CloudError:  # whoever waits for the jobs says so
            return
        line = describe_waiting(boxes, self.drawn_as.name, jobs)
        if line:
            print_notice(line)

    @contextmanager
    def _cancelled_at_the_end(self, following: Following) -> Iterator[None]:
        """Cancel what is unfinished when the block is left."""
        try:
            yield
        finally:
            self._cancel(following.unfinished())

    def _cancel(self, ids: Sequence[UUID]) -> None:
        try:
            if ids:
                self._boxes.queue().cancel(ids)
        except CloudError as error:
            print_notice(
                f"the jobs are not cancelled ({error}): `imagen jobs cancel` does it"
            )


def drawn_elsewhere(request: Request, file: FinishedFile) -> Drawn:
    """Return a finished picture as if it had been drawn here."""
    record = Record.from_sidecar(file.sidecar)
    details = {name: getattr(record, name) for name in _DRAWN_HOW}
    image = partial(_decode, file.png)
    return Drawn(request, image, record.latency_ms or 0, details, file)


def _decode(png: bytes) -> Image:
    from PIL import Image

    with Image.open(io.BytesIO(png), formats=("PNG",)) as opened:
        return opened.convert("RGB")
