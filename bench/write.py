"""What keeping one 1024 × 1024 picture costs its worker thread, and what handing it over costs.

python bench/write.py
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator, Sequence
from threading import Event

import numpy as np
from PIL import Image, ImageFilter
from timing import seconds

from imagen_nb import Studio
from imagen_nb.backends import Drawn, Progress
from imagen_nb.backends.tiny import FLUX_TINY, tiny
from imagen_nb.request.request import Limits, Request, resolve
from imagen_nb.studio.drawing import DrawingCall

PICTURES = 15


def photo_like(seed: int) -> Image.Image:
    """Noise at several scales: compresses about as a photograph does (1.4 MB at level 1)."""
    rng = np.random.default_rng(seed)
    page = np.zeros((1024, 1024, 3), dtype=np.float32)
    for side in (8, 64, 512):
        layer = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
        page += (
            np.asarray(
                Image.fromarray(layer).resize((1024, 1024), Image.Resampling.BICUBIC)
            )
            / 3
        )
    return Image.fromarray(page.astype(np.uint8)).filter(ImageFilter.GaussianBlur(1))


class Ready:
    """A backend whose pictures are there already: only the keeping is left to measure."""

    name, model, defaults = "ready", "ready", FLUX_TINY.defaults
    limits = Limits(64, 2048, 16)

    def __init__(self, pictures: list[Image.Image]) -> None:
        self.pictures, self.caller_ms = pictures, list[float]()

    def cost_usd(self, request: Request) -> float:
        return tiny().cost_usd(request)

    def draw(
        self, requests: Sequence[Request], progress: Progress | None, cancel: Event
    ) -> Iterator[Drawn]:
        import time

        for request, picture in zip(requests, self.pictures, strict=True):
            handed = time.perf_counter()
            yield Drawn(request, picture, 0)
            self.caller_ms.append((time.perf_counter() - handed) * 1e3)
            time.sleep(0.3)  # "drawing": the worker is idle when the next one comes


def main() -> None:
    backend = Ready([photo_like(seed) for seed in range(PICTURES)])
    with Studio({"output": {"dir": tempfile.mkdtemp("imagen-bench")}}) as studio:
        requests = [
            resolve(
                "a",
                defaults=backend.defaults,
                limits=backend.limits,
                seed=seed,
                width=1024,
                height=1024,
            )
            for seed in range(PICTURES)
        ]
        worker: list[float] = []
        submit = studio._writer._pool.submit

        def timed(function, /, *arguments):  # type: ignore[no-untyped-def]
            def work() -> object:
                result: list[object] = []
                worker.append(
                    seconds(lambda: result.append(function(*arguments))) * 1e3
                )
                return result[0]

            return submit(work)

        studio._writer._pool.submit = timed  # type: ignore[method-assign]
        studio._drawer.draw(backend, requests, DrawingCall(progress=False))  # type: ignore[arg-type]
    print(f"worker: median {statistics.median(worker):.1f} ms a picture (goal ≤ 150)")
    print(
        f"caller: median {statistics.median(backend.caller_ms):.2f} ms a picture (goal ≤ 3)"
    )


if __name__ == "__main__":
    main()
