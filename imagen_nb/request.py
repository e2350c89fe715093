"""What to draw: complete, validated requests, and the grids and wildcards they come from."""

from __future__ import annotations

import itertools
import math
import operator
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from imagen_nb.errors import UsageError
from imagen_nb.notation import (
    MAX_MANY,
    escape,
    expand,
    parse_floats,
    parse_ints,
    parse_sizes,
)

__all__ = [
    "MAX_SEED",
    "Axis",
    "Defaults",
    "Grid",
    "Limits",
    "Request",
    "check_size",
    "checked_prompt",
    "checked_tags",
    "escape",
    "expand",
    "grid",
    "parse_floats",
    "parse_ints",
    "parse_sizes",
    "random_seed",
    "resolve",
]

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
    a seed of 0 stands for any.
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


@dataclass(frozen=True, slots=True)
class Request:
    """One picture to draw, every field as it will be used. Sizes in pixels."""

    prompt: str
    seed: int
    steps: int
    width: int
    height: int
    guidance: float
    max_sequence_length: int
    tags: tuple[str, ...] = ()


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
) -> Request:
    """A complete request: what is None comes from `defaults`, a seed of None is drawn by lot.

    Raises `UsageError` with the nearest allowed value when something cannot be drawn.
    """
    length = _or(max_sequence_length, defaults.max_sequence_length)
    request = Request(
        prompt=checked_prompt(prompt),
        seed=random_seed() if seed is None else _integer("seed", seed, limits.min_seed, MAX_SEED),
        steps=_integer("steps", _or(steps, defaults.steps), 1, limits.max_steps),
        width=_side("width", _or(width, defaults.width), limits),
        height=_side("height", _or(height, defaults.height), limits),
        guidance=_guidance(_or(guidance, defaults.guidance), limits),
        max_sequence_length=_integer(
            "max_sequence_length", length, limits.min_sequence_length, limits.max_sequence_length
        ),
        tags=checked_tags(tags),
    )
    check_size(request.width, request.height, limits)
    return request


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


def checked_prompt(prompt: object) -> str:
    """The prompt itself. Raises `UsageError` when it is blank or is not text that can be kept."""
    if not isinstance(prompt, str):
        raise UsageError(f"the prompt must be text, not {type(prompt).__name__}")
    if not prompt.strip():
        raise UsageError("the prompt is empty: say what to draw")
    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"the prompt has half a character (lone surrogate) at position {error.start}: remove it"
        ) from None
    return prompt


def checked_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """The tags, stripped, each once, in their order. Raises `UsageError` for what is no tag."""
    if isinstance(tags, str):
        tags = (tags,)
    names = [tag.strip() if isinstance(tag, str) else tag for tag in tags]
    for name in names:
        if not isinstance(name, str) or not name or not name.isprintable():
            raise UsageError(f"a tag must be a line of text that is not empty, not {_shown(name)}")
    return tuple(dict.fromkeys(names))


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value


def _integer(name: str, value: Any, low: int, high: int) -> int:
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None:
        raise UsageError(f"{name} must be a whole number, not {_shown(value)}")
    if not low <= number <= high:
        raise UsageError(f"{name} must be {_range(low, high)}, not {_shown(number)}")
    return number


def _range(low: object, high: object) -> str:
    return f"from {low} to {high}" if low != high else str(low)


def _side(name: str, value: Any, limits: Limits) -> int:
    side = _integer(name, value, limits.min_side, limits.max_side)
    if below := side % limits.multiple:
        near = (side - below, side - below + limits.multiple)
        allowed = " or ".join(str(n) for n in near if limits.min_side <= n <= limits.max_side)
        raise UsageError(
            f"{name} must be a multiple of {limits.multiple}, not {side}: try {allowed}"
        )
    return side


def _guidance(value: Any, limits: Limits) -> float:
    try:
        guidance = None if isinstance(value, (bool, str)) else float(value)
    except OverflowError:
        guidance = math.inf
    except (TypeError, ValueError):
        guidance = None
    if guidance is None:
        raise UsageError(f"guidance must be a number, not {_shown(value)}")
    if not (math.isfinite(guidance) and 0 <= guidance <= limits.max_guidance):
        allowed = _range("0", f"{limits.max_guidance:g}")
        raise UsageError(f"guidance must be {allowed}, not {guidance:g}")
    return guidance + 0.0  # no negative zero


def _shown(value: object) -> str:
    """The value on one short line, whatever it is."""
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # Python writes no number of more than 4300 digits
        return "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:57]}..."


@dataclass(frozen=True, slots=True)
class Axis:
    """One thing that varies in a grid, with its values in order."""

    name: str
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """The requests of a sweep in order, and the axes that vary, slowest first."""

    requests: tuple[Request, ...]
    axes: tuple[Axis, ...]


def grid(
    prompts: str | Iterable[str],
    *,
    defaults: Defaults,
    limits: Limits,
    seeds: int | Iterable[int] | None = None,
    steps: int | Iterable[int] | None = None,
    guidance: float | Iterable[float] | None = None,
    size: Size | Iterable[Size] | None = None,
    max_sequence_length: int | None = None,
    tags: Iterable[str] = (),
) -> Grid:
    """Every combination: prompt slowest, then size, steps, guidance, and seed fastest.

    Alternatives in prompts expand in order (`expand`). Without seeds one random seed serves the
    whole grid, so that only what was asked to vary varies.
    """
    given = [prompts] if isinstance(prompts, str) else list(prompts)
    texts = [text for prompt in given for text in expand(checked_prompt(prompt))]
    axes = (
        Axis("prompt", tuple(texts)),
        Axis("size", _sizes(size)),
        Axis("steps", _values(steps)),
        Axis("guidance", _values(guidance)),
        Axis("seed", _values(seeds) if seeds is not None else (random_seed(),)),
    )
    count = math.prod(len(axis.values) for axis in axes)
    if not count:
        raise UsageError("nothing to draw: one of the lists of the sweep is empty")
    if count > MAX_MANY:
        raise UsageError(f"this sweep has {count:,} pictures, more than {MAX_MANY:,}: split it")
    kept = tuple(tags)
    requests = [
        resolve(
            prompt, defaults=defaults, limits=limits, seed=seed, steps=step_count,
            width=width, height=height, guidance=strength,
            max_sequence_length=max_sequence_length, tags=kept,
        )
        for prompt, (width, height), step_count, strength, seed in itertools.product(
            *(axis.values for axis in axes)
        )
    ]  # fmt: skip
    return Grid(tuple(requests), tuple(axis for axis in axes if len(axis.values) > 1))


def _values(value: Any) -> tuple[Any, ...]:
    if isinstance(value, str):
        raise UsageError(f"expected a number or a list of numbers, not {_shown(value)}")
    return tuple(value) if isinstance(value, Iterable) else (value,)


def _sizes(size: Any) -> tuple[Any, ...]:
    if size is None:
        return ((None, None),)
    pairs = (size,) if _is_pair(size) else tuple(size) if isinstance(size, Iterable) else (size,)
    for pair in pairs:
        if not _is_pair(pair):
            raise UsageError(f"a size is a pair (width, height) in pixels, not {_shown(pair)}")
    return tuple(tuple(pair) for pair in pairs)


def _is_pair(value: Any) -> bool:
    return (
        isinstance(value, Sequence)
        and len(value) == 2
        and not isinstance(value, str)
        and not isinstance(value[0], Sequence)
    )
