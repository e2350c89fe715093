"""Draws jobs, compatible ones together, and sees that one bad job stops no other."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from imagen_nb.errors import (
    BackendError,
    Cancelled,
    ImagenError,
    StorageError,
    UsageError,
    describe_mistake,
)
from imagen_nb.request.request import Request
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.picture import Picture
from imagen_nb.studio.drawing import RequestDrawer
from imagen_nb.studio.remote.checking import CheckedJob
from imagen_nb.studio.remote.claiming import JobPace
from imagen_nb.studio.remote.held import HeldJobs
from imagen_nb.studio.remote.sending import JobSender
from imagen_nb.studio.remote.steps import JobSteps

# So many jobs one after the other that cannot be drawn: it is the machine, not they.
# Whoever starts it anew may find it well.
_MAX_SUSPECTS = 5


@dataclass(slots=True)
class JobDrawer:
    """Draws on the thread that calls.

    Invariant: each picture is given to the sender as soon as it is kept. A job that fails
    is told of only when another one was drawn after it, or when there is none: until then
    the machine may be to blame, and the job costs no attempt.
    """

    drawer: RequestDrawer
    catalog: Catalog
    held: HeldJobs
    sender: JobSender
    pace: JobPace
    previews: bool
    aborted: threading.Event
    _suspects: dict[UUID, str] = field(default_factory=dict)  # ids, and why

    def draw(self, jobs: Sequence[CheckedJob]) -> list[CheckedJob]:
        """Draw jobs of one backend; return those that are still to be drawn.

        These are none unless the drawing was cancelled, by `aborted` or as one of the
        pictures under way is not wanted any more.

        Raises:
            StorageError: if pictures cannot be kept here.
            BackendError: if this machine draws nothing any more.
        """
        left = self._not_drawn(jobs)
        if not left:
            return []
        try:
            self._draw_together(left)
        except Cancelled:
            return self._not_drawn(left)
        except StorageError:
            raise
        except Exception as error:
            return self._draw_singly(self._not_drawn(left), error)
        return []

    def _not_drawn(self, jobs: Sequence[CheckedJob]) -> list[CheckedJob]:
        """Return the jobs without a picture; send what is there, from before a crash."""
        there = {
            one.record.id
            for one in self.catalog.get_many(job.id for job in jobs)
            if one.path.exists()
        }
        left = []
        for job in jobs:
            if job.id in there or self.held.why_unwanted(job.id):
                self.sender.drawn(job.id)
            else:
                left.append(job)
        return left

    def _draw_together(self, jobs: Sequence[CheckedJob]) -> None:
        jobs = sorted(jobs, key=lambda job: _alike(job.request, jobs))
        requests, backend = [job.request for job in jobs], jobs[0].backend
        # Told at once, lest a job that ends this process is drawn for ever.
        for job in jobs:
            self.held.note([job.id], {"step": 0, "steps": job.request.steps})
        was_loaded = self.drawer.backends.has_drawn(backend)
        began = time.monotonic()
        with (
            JobSteps(jobs, self.held, self.aborted, self.previews) as steps,
            self.drawer.call(
                False, None, steps, previews=False, kept=self._kept
            ) as call,
        ):
            pictures = self.drawer.draw(backend, requests, call)
        for picture in pictures:  # the writer's thread may not have said so yet
            self._kept(picture)
        self.tell_suspects()
        if was_loaded:
            self.pace.note(time.monotonic() - began, len(jobs))

    def _kept(self, picture: Picture) -> None:
        self.sender.drawn(picture.record.id, picture.path)

    def _draw_singly(
        self, jobs: Sequence[CheckedJob], error: Exception
    ) -> list[CheckedJob]:
        """Draw each by itself after an error of several, to find whose it is.

        Return those that are still to be drawn, as `draw` does.
        """
        if len(jobs) == 1:
            self._fail(jobs[0], error)
            return []
        for place, job in enumerate(jobs):
            try:
                self._draw_together([job])
            except Cancelled:
                return self._not_drawn(jobs[place:])
            except StorageError:
                raise
            except Exception as own:
                self._fail(job, own)
        return []

    def _fail(self, job: CheckedJob, error: Exception) -> None:
        """Let another worker try it, unless nobody could draw it."""
        known = isinstance(error, ImagenError)
        reason = str(error) if known else describe_mistake(error)
        if isinstance(error, UsageError):
            self.sender.failed(job.id, reason, again=False)
            return
        self._suspects[job.id] = reason
        if len(self._suspects) >= _MAX_SUSPECTS:
            raise BackendError(
                f"{len(self._suspects)} jobs could not be drawn one after the other, the"
                f" last one as {reason}"
            )

    def tell_suspects(self) -> None:
        """Tell of the jobs that failed: it was not the machine, or nobody can know."""
        for id, reason in self._suspects.items():
            self.sender.failed(id, reason, again=True)
        self._suspects.clear()


def _alike(request: Request, jobs: Sequence[CheckedJob]) -> int:
    """Return where the first request stands that can be drawn together with this one."""
    key = _shape(request)
    return next(n for n, job in enumerate(jobs) if _shape(job.request) == key)


def _shape(request: Request) -> tuple[object, ...]:
    return (
        request.width,
        request.height,
        request.steps,
        request.guidance,
        request.max_sequence_length,
        request.strength,
        request.true_cfg,
        request.scheduler,
        request.init_image,
        request.mask,
    )
