"""Sweeps: every combination of the values that vary, as requests in order."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imagen_nb.errors import UsageError
from imagen_nb.request.options import SWEEPABLE_OPTIONS
from imagen_nb.request.request import (
    Defaults,
    Limits,
    Request,
    Size,
    random_seed,
    resolve,
)
from imagen_nb.request.sweep_syntax import MAX_SWEEP_PICTURES, expand
from imagen_nb.request.validation import checked_prompt, short_repr
from imagen_nb.request.wildcards import NO_WILDCARDS, Wildcards


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


def expanded_prompts(
    prompts: str | Iterable[str], wildcards: Wildcards = NO_WILDCARDS
) -> list[str]:
    """Return the prompts with their alternatives, `{red|blue} boat`, expanded in order.

    Raise `UsageError` for what is no prompt, or has too many alternatives, and for a
    wildcard that there is not.
    """
    given = [prompts] if isinstance(prompts, str) else list(prompts)
    texts = [wildcards.filled_in(checked_prompt(prompt)) for prompt in given]
    return [alternative for text in texts for alternative in expand(text)]


def make_grid(
    prompts: Sequence[str],
    *,
    defaults: Defaults,
    limits: Limits,
    seeds: int | Iterable[int] | None = None,
    steps: int | Iterable[int] | None = None,
    guidance: float | Iterable[float] | None = None,
    size: Size | Iterable[Size] | None = None,
    max_sequence_length: int | None = None,
    tags: Iterable[str] = (),
    options: Mapping[str, Any] | None = None,
) -> Grid:
    """Return every combination of the values: prompt slowest, seed fastest.

    Between these come size, steps, guidance, and the options in `SWEEPABLE_OPTIONS`, each
    a value or a list of values; see `resolve` for the arguments. Prompts are taken as
    they are (see `expanded_prompts`). Without seeds one random seed serves the whole
    grid, so that only what was asked to vary varies.
    """
    more = {name: value for name, value in (options or {}).items() if value is not None}
    swept = [name for name in SWEEPABLE_OPTIONS if name in more]
    axes = (
        Axis("prompt", tuple(prompts)),
        Axis("size", _size_values(size)),
        Axis("steps", _axis_values(steps)),
        Axis("guidance", _axis_values(guidance)),
        *(Axis(name, _axis_values(more[name], texts=True)) for name in swept),
        Axis("seed", _axis_values(seeds) if seeds is not None else (random_seed(),)),
    )
    _require_count(math.prod(len(axis.values) for axis in axes))
    fixed = {name: value for name, value in more.items() if name not in swept}
    combinations = itertools.product(*(axis.values for axis in axes))
    labels = tuple(tags)
    requests = [
        resolve(
            prompt,
            defaults=defaults,
            limits=limits,
            seed=seed,
            steps=step_count,
            width=width,
            height=height,
            guidance=scale,
            max_sequence_length=max_sequence_length,
            tags=labels,
            options=fixed | dict(zip(swept, swept_values, strict=True)),
        )
        for prompt, (
            width,
            height,
        ), step_count, scale, *swept_values, seed in combinations
    ]
    return Grid(tuple(requests), tuple(axis for axis in axes if len(axis.values) > 1))


def _require_count(count: int) -> None:
    if not count:
        raise UsageError("nothing to draw: one of the lists of the sweep is empty")
    if count > MAX_SWEEP_PICTURES:
        raise UsageError(
            f"this sweep has {count:,} pictures, more than {MAX_SWEEP_PICTURES:,}: split it"
        )


def _axis_values(value: Any, texts: bool = False) -> tuple[Any, ...]:
    if texts and isinstance(value, str):
        return (value,)
    if isinstance(value, str):
        raise UsageError(
            f"expected a number or a list of numbers, not {short_repr(value)}"
        )
    return tuple(value) if isinstance(value, Iterable) else (value,)


def _size_values(size: Any) -> tuple[Any, ...]:
    if size is None:
        return ((None, None),)
    several = isinstance(size, Iterable) and not _is_size(size)
    pairs = tuple(size) if several else (size,)
    for pair in pairs:
        if not _is_size(pair):
            raise UsageError(
                f"a size is a pair (width, height) in pixels, not {short_repr(pair)}"
            )
    return tuple(tuple(pair) for pair in pairs)


def _is_size(value: Any) -> bool:
    return (
        isinstance(value, Sequence)
        and len(value) == 2
        and not isinstance(value, str)
        and not isinstance(value[0], Sequence)
    )
