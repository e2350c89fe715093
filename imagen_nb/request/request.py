"""What to draw: complete, validated requests, and what a model accepts."""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

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
    """What a model is drawn with when the user does not say: sizes in pixels."""

    steps: int
    guidance: float
    width: int
    height: int
    max_sequence_length: int


@dataclass(frozen=True, slots=True)
class Limits:
    """What a model accepts: sides in pixels, each a multiple of `multiple`.

    `sizes`: the only (width, height) there are, where a model draws no others. `min_seed`: 1 where
    a seed of 0 stands for any. `takes`: what may be said besides.
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

    `strength`: how much of the init image is drawn anew, 0 to 1. `negative_prompt` is what
    classifier-free guidance of the scale `true_cfg` leads away from; at 1 there is none.
    `scheduler`: the name of one that is not the model's own.
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

    @property
    def inputs(self) -> dict[str, InputImage]:
        """The images that it is drawn from, by the names of its fields."""
        images = {"init_image": self.init_image, "mask": self.mask}
        return {name: image for name, image in images.items() if image}

    @property
    def forgets_its_image(self) -> bool:
        """Whether so much is drawn anew, against what was asked for, that it begins with noise.

        Steps are run or left out as a whole: a strength of 0.8 is 1 where there are 4 of them.
        """
        below = self.strength is not None and self.strength < 1
        return below and self.mask is None and self.steps_run == self.steps

    @property
    def steps_run(self) -> int:
        """Denoising steps that are run: from an init image on the first ones are left out.

        As diffusers counts them.
        """
        if self.strength is None:
            return self.steps
        return self.steps - int(
            max(self.steps - min(self.steps * self.strength, self.steps), 0)
        )


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
    extras: Mapping[str, Any] | None = None,
) -> Request:
    """A complete request: what is None comes from `defaults`, a seed of None is drawn by lot.

    `extras`: those of `imagen_nb.request.options`. A size that is not given follows from the init
    image. Raises `UsageError` with the nearest allowed value when something cannot be drawn.
    """
    length = _given_or(max_sequence_length, defaults.max_sequence_length)
    more = validated_options(extras or {}, limits.takes)
    if image := more.get("init_image"):
        width, height = _size_like(image, width, height, defaults, limits)
    request = Request(
        prompt=checked_prompt(prompt),
        seed=random_seed()
        if seed is None
        else validated_int("seed", seed, limits.min_seed, MAX_SEED),
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
    """The size to draw at: the image's own, as near as the model can, and of about its pixels.

    One side that is given decides the other one.
    """
    if width is not None and height is not None:
        return width, height
    if width is not None or height is not None:
        scale = (width or 0) / image.width or (height or 0) / image.height
    else:
        usual = defaults.width * defaults.height
        scale = min(1.0, math.sqrt(usual / (image.width * image.height)))
    near = [_nearest_side(side * scale, limits) for side in (image.width, image.height)]
    return (near[0] if width is None else width), (
        near[1] if height is None else height
    )


def _nearest_side(side: float, limits: Limits) -> int:
    low, high = (
        bound // limits.multiple for bound in (limits.min_side, limits.max_side)
    )
    return max(low, min(high, round(side / limits.multiple))) * limits.multiple


def with_seed(request: Request, seed: int, limits: Limits) -> Request:
    """The same request with another seed. Raises `UsageError` for what is no seed."""
    return replace(request, seed=validated_int("seed", seed, limits.min_seed, MAX_SEED))


def random_seed() -> int:
    """A fresh seed from 1, which every model takes, to 2^32 - 1: short enough to read aloud."""
    return 1 + secrets.randbelow(2**32 - 1)


def check_size(width: int, height: int, limits: Limits) -> None:
    """Raises `UsageError` with the nearest one when the model draws only other sizes, in pixels."""
    if not limits.sizes or (width, height) in limits.sizes:
        return
    near = min(limits.sizes, key=lambda size: _distance(size, (width, height)))
    all_of_them = ", ".join(f"{one}x{other}" for one, other in limits.sizes)
    raise UsageError(
        f"{width}x{height} is no size that can be drawn here: the nearest is {near[0]}x{near[1]} "
        f"(there are {all_of_them})"
    )


def _distance(size: tuple[int, int], other: tuple[int, int]) -> float:
    """How far apart in proportion: a side of half the length is as far off as one of double."""
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


_MAX_QUOTED_CHARS = 60  # letters of the prompt


def describe_request(request: Request) -> str:
    """The prompt, escaped and cut, and the seed."""
    prompt = request.prompt
    cut = (
        prompt
        if len(prompt) <= _MAX_QUOTED_CHARS
        else prompt[: _MAX_QUOTED_CHARS - 1] + "…"
    )
    return f"{cut!r} (seed {request.seed})"
