"""Notes how far the jobs of one drawing are, with small previews off its path."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from imagen_nb.backends import Step
from imagen_nb.errors import Cancelled
from imagen_nb.storage.jobs import MAX_PREVIEW_BYTES
from imagen_nb.studio.progress import StepWatcher
from imagen_nb.system.thumbnails import encode_webp

if TYPE_CHECKING:
    from imagen_nb.studio.remote.checking import CheckedJob
    from imagen_nb.studio.remote.held import HeldJobs

_PREVIEW_PIXELS = 256  # of the longer side
_PREVIEW_EVERY_S = 0.5  # at most, of all jobs that are drawn together


class JobSteps(StepWatcher):
    """The progress of jobs that are drawn in one call; see `Progress`.

    It ends the drawing when none of the pictures under way is wanted any more, and after
    `cancelled` was set.
    """

    def __init__(
        self,
        jobs: Sequence[CheckedJob],
        held: HeldJobs,
        cancelled: threading.Event,
        previews: bool,
    ) -> None:
        super().__init__(previews, loaded=True)
        self.cancelled = cancelled  # which `RequestDrawer.call` looks at, too
        self._jobs, self._held = jobs, held
        self._shown_at, self._turn = 0.0, 0

    def __call__(self, step: Step) -> None:
        """Note one denoising step. Raise `Cancelled` if nobody wants what is drawn."""
        ids = [self._jobs[index].id for index in step.indices]
        if all(self._held.why_unwanted(id) for id in ids):
            raise Cancelled("nobody wants these pictures any more")
        facts = {
            "step": step.step,
            "steps": step.steps,
            "seconds_left": round(step.seconds_left, 1),
        }
        self._held.note(ids, facts)
        super().__call__(step)

    def render(self, step: Step | None) -> Callable[[], None] | None:
        """Prepare the preview of one of the pictures under way: each in its turn."""
        now = time.monotonic()
        if step is None or now - self._shown_at < _PREVIEW_EVERY_S:
            return None
        self._shown_at, self._turn = now, self._turn + 1
        index = step.indices[self._turn % len(step.indices)]
        picture = self.preview_of(step, index)
        if picture is None:
            return None
        data = encode_webp(picture, _PREVIEW_PIXELS, MAX_PREVIEW_BYTES)
        text = base64.b64encode(data).decode()
        return partial(self._held.note, [self._jobs[index].id], {"preview": text})
