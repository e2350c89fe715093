"""Drawing goes on while pictures are written, and ends with the first that cannot be kept."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event

import pytest
from PIL import Image

import imagen_nb as im
from imagen_nb.backends import Availability, Drawn, Progress
from imagen_nb.backends.tiny import FLUX_TINY
from imagen_nb.request.request import Request, resolve
from imagen_nb.studio.drawing import DrawingCall


class Ready:
    """A backend whose pictures are one colour each; that of seed 2 came out broken."""

    name, model, defaults, limits = "ready", "ready", FLUX_TINY.defaults, FLUX_TINY.limits

    def __init__(self) -> None:
        self.made: list[str] = []  # the threads that made the images
        self.drawn: list[int] = []  # seeds

    def availability(self) -> Availability:
        return Availability(True)

    def cost_usd(self, request: Request) -> float:
        return 0.0

    def draw(
        self, requests: Sequence[Request], progress: Progress | None, cancel: Event
    ) -> Iterator[Drawn]:
        for request in requests:
            self.drawn.append(request.seed)
            told = Event()

            def make(request: Request = request, told: Event = told) -> Image.Image:
                self.made.append(threading.current_thread().name)
                told.set()
                if request.seed == 2:
                    raise im.BackendError("the picture came out broken")
                return Image.new("RGB", (128, 128), (request.seed, 9, 9))

            yield Drawn(request, make, 1)
            told.wait(30)  # "draws" for as long as the picture before needs to be made


def requests(*seeds: int) -> list[Request]:
    return [
        resolve("a", defaults=FLUX_TINY.defaults, limits=FLUX_TINY.limits, seed=seed)
        for seed in seeds
    ]


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[im.Studio]:
    with im.Studio({"output": {"dir": str(tmp_path)}}, background=False) as studio:
        yield studio


def test_images_are_made_by_the_writer(studio: im.Studio) -> None:
    backend = Ready()
    studio._drawer.draw(backend, requests(0, 1), DrawingCall(progress=False))
    assert all(name.startswith("imagen-writer") for name in backend.made)
    assert len(backend.made) == 2


def test_a_broken_picture_ends_the_drawing_soon_and_the_others_are_kept(
    studio: im.Studio, tmp_path: Path
) -> None:
    backend = Ready()
    with pytest.raises(im.BackendError, match="came out broken"):
        studio._drawer.draw(backend, requests(*range(40)), DrawingCall(progress=False))
    kept = {entry.record.seed for entry in studio.catalog(tmp_path).latest(99)}
    assert kept == {*backend.drawn} - {2}
    assert len(backend.drawn) < 12
