"""What agents may draw: as `Studio` does, in bounds that the person sets who starts it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imagen_nb.errors import UsageError
from imagen_nb.request.request import Size
from imagen_nb.request.sweep import expanded_prompts
from imagen_nb.request.sweep_syntax import parse_sizes

if TYPE_CHECKING:
    from imagen_nb.backends import Progress
    from imagen_nb.storage.picture import Picture
    from imagen_nb.studio.pictures import Pictures
    from imagen_nb.studio.studio import Studio

_MODELS_OWN: Size = (None, None)


@dataclass(frozen=True, slots=True)
class DrawingBounds:
    """How much one call of an agent may draw.

    Attributes:
        pictures: of one sweep.
        side: pixels of a side.
        steps: denoising steps of a picture.
    """

    pictures: int = 16
    side: int = 1024
    steps: int = 50

    def require(self, name: str, value: int | None, largest: int) -> None:
        """Raise `UsageError` for a value beyond; None is the model's own."""
        if value is not None and value > largest:
            raise UsageError(f"{name} may be {largest} here at most, not {value}")

    def require_picture(
        self, width: int | None, height: int | None, steps: int | None
    ) -> None:
        """Raise `UsageError` if a picture is larger, or has more steps, than it may."""
        self.require("width", width, self.side)
        self.require("height", height, self.side)
        self.require("steps", steps, self.steps)


def draw_within(
    studio: Studio, bounds: DrawingBounds, progress: Progress, **arguments: Any
) -> Picture:
    """Draw one picture, as `Studio.generate` does; its errors, and those of bounds."""
    sides = arguments.get("width"), arguments.get("height")
    bounds.require_picture(*sides, arguments.get("steps"))
    picture: Picture = studio.generate(**arguments, progress=progress)
    return picture


def sweep_within(
    studio: Studio,
    bounds: DrawingBounds,
    progress: Progress,
    *,
    prompts: Sequence[str],
    seeds: Sequence[int] = (),
    steps: Sequence[int] = (),
    guidance: Sequence[float] = (),
    sizes: Sequence[str] = (),
    tags: Sequence[str] = (),
) -> Pictures:
    """Draw every combination, as `Studio.sweep` does; its errors, and those of bounds.

    `sizes`: each as "128x192", width and height in pixels.
    """
    shapes: list[Size] = [shape for size in sizes for shape in parse_sizes(size)]
    texts = expanded_prompts(prompts, studio.wildcards)
    axes = (texts, seeds, steps, guidance, shapes)
    bounds.require("a sweep's pictures", _combinations(axes), bounds.pictures)
    for count in steps or (None,):
        for width, height in shapes or (_MODELS_OWN,):
            bounds.require_picture(width, height, count)
    return studio.sweep(
        prompts,
        seeds=seeds or None,
        steps=steps or None,
        guidance=guidance or None,
        size=shapes or None,
        tags=tags,
        progress=progress,
    )


def reproduce_within(
    studio: Studio, bounds: DrawingBounds, progress: Progress, id: str
) -> Picture:
    """Draw a picture again, as `Studio.reproduce` does; its errors, and those of bounds.

    What is drawn for money is drawn again only if that backend is the configured one.
    """
    record = studio.lookup.original(id).record
    bounds.require_picture(record.width, record.height, record.steps)
    configured, _ = studio.settings.backend_choice()
    if record.cost_usd_estimate and record.backend != configured:
        raise UsageError(
            f"{record.backend} draws for money, and is not what this server draws with"
        )
    return studio.reproduce(id, progress=progress)


def _combinations(axes: Sequence[Sequence[Any]]) -> int:
    return math.prod(len(values) or 1 for values in axes)
