"""Tells of the steps of pictures that are drawn elsewhere, as if they were drawn here."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from imagen_nb.backends import Progress, Step
from imagen_nb.errors import BackendError
from imagen_nb.storage.jobs import JobNow

if TYPE_CHECKING:
    from PIL.Image import Image


class StepsTold:
    """What a listener has heard of some pictures.

    Invariant: it hears of each step of a picture once, and of all of them by the time
    that the picture is done, however often the queue was asked.
    """

    def __init__(self, steps: Sequence[int], progress: Progress) -> None:
        """`steps`: the denoising steps of each picture."""
        self._steps, self._progress = steps, progress
        self._told = [0] * len(steps)
        self._began = time.monotonic()

    def note(self, place: int, now: JobNow) -> None:
        """Tell of the steps that have ended since, the latest with its preview."""
        most = self._steps[place]
        done, seconds = now.steps(most)
        if now.state == "done":
            done, seconds = most, 0.0
        for number in range(self._told[place] + 1, done + 1):
            self._told[place] = number
            has_preview = number == done and now.preview is not None
            self._progress(
                Step(
                    indices=range(place, place + 1),
                    total=len(self._steps),
                    step=number,
                    steps=most,
                    seconds_left=self._seconds_left(seconds),
                    preview=partial(_preview_of, now) if has_preview else None,
                )
            )

    def _seconds_left(self, of_this: float) -> float:
        """Return what is expected for all: as it went so far, or as the box says."""
        done, whole = sum(self._told), sum(self._steps)
        passed = time.monotonic() - self._began
        return max(of_this, passed / done * (whole - done))


def _preview_of(now: JobNow, index: int) -> Image:
    image = now.preview_image()
    if image is None:
        raise BackendError("what the box sent as a preview is no small picture")
    return image
