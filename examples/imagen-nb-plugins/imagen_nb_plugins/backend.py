"""A backend: draws a gradient between two colours, which follow from prompt and seed."""

import time
from collections.abc import Iterator, Sequence
from random import Random
from threading import Event

from PIL import Image

from imagen_nb.backends import Availability, Drawn, Progress, Step
from imagen_nb.errors import Cancelled, UsageError
from imagen_nb.request.request import Defaults, Limits, Request


class Gradient:
    """Needs no weights, so that it can draw on any machine."""

    name = "gradient"  # as registered; records have it in the column `backend`
    model = "gradient-1"  # goes up whenever the same request draws other pixels
    defaults = Defaults(1, 0.0, 128, 128, 1)  # steps, guidance, width, height, tokens
    limits = Limits(min_side=8, max_side=2048, multiple=1, max_steps=1)

    def __init__(self, mode: str) -> None:
        # Options that decide the pixels are recorded, or nothing could be drawn again.
        self.mode, self.made_with = mode, {"options": {"mode": mode}}

    def availability(self) -> Availability:
        """Loads and downloads nothing: `imagen models` asks all backends."""
        return Availability(True)

    def cost_usd(self, request: Request) -> float:
        """What a picture costs, in US dollars."""
        return 0.0

    def draw(
        self, requests: Sequence[Request], progress: Progress | None, cancel: Event
    ) -> Iterator[Drawn]:
        """Yields each picture as soon as it is there, in the order of the requests."""
        for index, request in enumerate(requests):
            if cancel.is_set():
                raise Cancelled("drawing cancelled")
            started = time.perf_counter()
            # Nothing but the request decides: no clock, and no random of its own.
            random = Random(f"{request.prompt} {request.seed}")
            ends = [tuple(random.randrange(256) for _ in "rgb") for _ in range(2)]
            shade = getattr(Image, f"{self.mode}_gradient")("L")
            shade = shade.resize((request.width, request.height))
            first, last = (Image.new("RGB", shade.size, colour) for colour in ends)
            image = Image.composite(first, last, shade)
            if progress:
                here = range(index, index + 1)
                progress(Step(here, len(requests), step=1, steps=1, seconds_left=0.0))
            yield Drawn(request, image, round((time.perf_counter() - started) * 1000))


def gradient(mode: str = "linear") -> Gradient:
    """What the entry point names. Its arguments are the options that users can give."""
    if mode not in ("linear", "radial"):
        raise UsageError(f"mode is linear or radial, not {mode}")
    return Gradient(mode)
