"""Complete, validated requests, and the limits of the models that draw them."""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from imagen_nb.errors import UsageError
from imagen_nb.request.images import InputImage
from imagen_nb.request.options import AcceptedOptions, validated_options
from imagen_nb.request.validation import (
    checked_prompt,
    checked_tags,
    validated_float,
    validated_int,
)

Size = tuple[int | None, int | None]  # width, height in pixels; None is the model's own
MAX_SEED = 2**53 - 1  # every JSON reader holds it exactly


@dataclass(frozen=True, slots=True)
class Defaults:
    """A model's own values where the user gives none. Sizes in pixels."""

    steps: int
    guidance: float
    width: int
    height: int
    max_sequence_length: int


@dataclass(frozen=True, slots=True)
class Limits:
    """What a model accepts: sides in pixels, each a multiple of `multiple`.

    `sizes`: the only (width, height) that the model draws, if it draws no others.
    `min_seed`: 1 where a seed of 0 means a random one. `takes`: its other options.
    """

    min_side: int
    max_side: int
    multiple: int
    max_steps: int = 200
    max_sequence_length: int = 512
    max_guidance: float = 100.0
    min_sequence_length: int = 1
    min_seed: int = 0
    sizes: tuple[tuple[int, int], ...] = ()
    takes: AcceptedOptions = field(default_factory=AcceptedOptions)


@dataclass(frozen=True, slots=True)
class Request:
    """One picture to draw, every field as it will be used. Sizes in pixels.

    `strength`: the share of the init image that is redrawn, 0 to 1. `negative_prompt`:
    what classifier-free guidance of the scale `true_cfg` leads away from; 1 is off.
    `scheduler`: the name of one that is not the model's own. `derived_from`: pictures
    that it repeats or varies, as `Record.derived_from` has them; they decide no pixel.
    `job`: the id of the job that it is drawn for, which its picture has too.
    """

    prompt: str
    seed: int
    steps: int
    width: int
    height: int
    guidance: float
    max_sequence_length: int
    tags: tuple[str, ...] = ()
    init_image: InputImage | None = None
    mask: InputImage | None = None
    strength: float | None = None
    negative_prompt: str | None = None
    true_cfg: float = 1.0
    scheduler: str | None = None
    derived_from: tuple[Mapping[str, Any], ...] = field(default=(), compare=False)
    job: UUID | None = field(default=None, compare=False)

    @property
    def inputs(self) -> dict[str, InputImage]:
        """The images that it is drawn from, by the names of its fields."""
        images = {"init_image": self.init_image, "mask": self.mask}
        return {name: image for name, image in images.items() if image}

    @property
    def forgets_its_image(self) -> bool:
        """Whether nothing is left of the init image though less than all was to be redrawn.

        Steps are run or left out as a whole: with 4 of them a strength of 0.8 is 1.
        """
        below = self.strength is not None and self.strength < 1
        return below and self.mask is None and self.steps_run == self.steps

    @property
    def steps_run(self) -> int:
        """The denoising steps that are run: with an init image, the first are left out.

        Counted as diffusers' `get_timesteps` of FluxImg2ImgPipeline does.
        """
        if self.strength is None:
            return self.steps
        kept = min(self.steps * self.strength, self.steps)
        return self.steps - int(max(self.steps - kept, 0))


def resolve(
    prompt: str,
    *,
    defaults: Defaults,
    limits: Limits,
    seed: int | None = None,
    steps: int | None = None,
    width: int | None = None,
    height: int | None = None,
    guidance: float | None = None,
    max_sequence_length: int | None = None,
    tags: Iterable[str] = (),
    options: Mapping[str, Any] | None = None,
) -> Request:
    """Return a complete request, with the model's defaults for what is None.

    Args:
        prompt: what to draw.
        defaults: the model's own values.
        limits: what the model accepts.
        seed: 0 to 2^53-1; None chooses one at random.
        steps: denoising steps.
        width: pixels; without a size that of the init image decides.
        height: pixels.
        guidance: guidance scale.
        max_sequence_length: tokens of the prompt.
        tags: labels of the picture.
        options: those of `imagen_nb.request.options`, by name.

    Raises:
        UsageError: for a value that cannot be drawn, with the nearest allowed one.

    Example:
        >>> defaults = Defaults(4, 0.0, 128, 128, 64)
        >>> limits = Limits(min_side=16, max_side=256, multiple=16)
        >>> resolve("a red boat", defaults=defaults, limits=limits, seed=3).steps
        4
    """
    length = _given_or(max_sequence_length, defaults.max_sequence_length)
    more = validated_options(options or {}, limits.takes)
    if image := more.get("init_image"):
        width, height = _size_like(image, width, height, defaults, limits)
    request = Request(
        prompt=checked_prompt(prompt),
        seed=_validated_seed(random_seed() if seed is None else seed, limits),
        steps=validated_int(
            "steps", _given_or(steps, defaults.steps), 1, limits.max_steps
        ),
        width=_validated_side("width", _given_or(width, defaults.width), limits),
        height=_validated_side("height", _given_or(height, defaults.height), limits),
        guidance=validated_float(
            "guidance", _given_or(guidance, defaults.guidance), 0, limits.max_guidance
        ),
        max_sequence_length=validated_int(
            "max_sequence_length",
            length,
            limits.min_sequence_length,
            limits.max_sequence_length,
        ),
        tags=checked_tags(tags),
        **more,
    )
    check_size(request.width, request.height, limits)
    return request


def _size_like(
    image: InputImage,
    width: int | None,
    height: int | None,
    defaults: Defaults,
    limits: Limits,
) -> tuple[int | None, int | None]:
    """Return the image's own size, as near as the model can draw it.

    The area is at most the model's usual one. One given side decides the other.
    """
    if width is not None and height is not None:
        return width, height
    if width is not None or height is not None:
        scale = (width or 0) / image.width or (height or 0) / image.height
    else:
        usual = defaults.width * defaults.height
        scale = min(1.0, math.sqrt(usual / (image.width * image.height)))
    near = [_nearest_side(side * scale, limits) for side in (image.width, image.height)]
    return _given_or(width, near[0]), _given_or(height, near[1])


def _nearest_side(side: float, limits: Limits) -> int:
    low, high = (
        bound // limits.multiple for bound in (limits.min_side, limits.max_side)
    )
    return max(low, min(high, round(side / limits.multiple))) * limits.multiple


def with_seed(request: Request, seed: int, limits: Limits) -> Request:
    """Return the same request with another seed. Raise `UsageError` for no seed."""
    return replace(request, seed=_validated_seed(seed, limits))


def _validated_seed(seed: int, limits: Limits) -> int:
    return validated_int("seed", seed, limits.min_seed, MAX_SEED)


def random_seed() -> int:
    """Return a random seed from 1, which every model takes, to 2^32 - 1."""
    return 1 + secrets.randbelow(2**32 - 1)


def check_size(width: int, height: int, limits: Limits) -> None:
    """Raise `UsageError`, naming the nearest size, if the model draws other sizes only."""
    if not limits.sizes or (width, height) in limits.sizes:
        return
    near = min(limits.sizes, key=lambda size: _distance(size, (width, height)))
    all_of_them = ", ".join(f"{one}x{other}" for one, other in limits.sizes)
    raise UsageError(
        f"{width}x{height} is no size that can be drawn here: the nearest is {near[0]}x{near[1]} "
        f"(there are {all_of_them})"
    )


def _distance(size: tuple[int, int], other: tuple[int, int]) -> float:
    """Return the distance of two sizes by proportion: half is as far off as double."""
    return sum(math.log(one / two) ** 2 for one, two in zip(size, other, strict=True))


def _given_or(value: Any, default: Any) -> Any:
    return default if value is None else value


def _validated_side(name: str, value: Any, limits: Limits) -> int:
    side = validated_int(name, value, limits.min_side, limits.max_side)
    if below := side % limits.multiple:
        near = (side - below, side - below + limits.multiple)
        allowed = " or ".join(
            str(n) for n in near if limits.min_side <= n <= limits.max_side
        )
        raise UsageError(
            f"{name} must be a multiple of {limits.multiple}, not {side}: try {allowed}"
        )
    return side


_MAX_QUOTED_CHARS = 60  # of the prompt


def describe_request(request: Request) -> str:
    """The prompt, escaped and cut, and the seed."""
    prompt = request.prompt
    cut = (
        prompt
        if len(prompt) <= _MAX_QUOTED_CHARS
        else prompt[: _MAX_QUOTED_CHARS - 1] + "…"
    )
    return f"{cut!r} (seed {request.seed})"
