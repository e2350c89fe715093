"""What a search is for: numbers of pictures that are to be high, or low."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from imagen_nb.errors import UsageError
from imagen_nb.request.validation import short_repr
from imagen_nb.storage.picture import Picture
from imagen_nb.system.spelling import describe_meant

Direction = Literal["max", "min"]
Measure = Callable[[Sequence[Picture]], Sequence[float]]
ScoreFunction = Callable[[Picture], float]
VOTES = "votes"
_DIRECTIONS: tuple[Direction, ...] = ("max", "min")
_OF_RECORD = ("latency_ms", "cost_usd_estimate", "bytes")  # the less, the better
_LAMBDA = "<lambda>"


@dataclass(frozen=True, slots=True)
class Goal:
    """One number to make high or low.

    Attributes:
        name: of its column.
        direction: which is better.
        measure: returns the number of each picture, NaN where there is none; None for
            votes, and where a kept study is opened without its functions.
    """

    name: str
    direction: Direction
    measure: Measure | None = None

    @property
    def sign(self) -> int:
        """1 where more is better, else -1."""
        return 1 if self.direction == "max" else -1

    @property
    def is_votes(self) -> bool:
        """Whether people decide."""
        return self.name == VOTES


def parse_goals(
    score: object, goals: object, scorer: Callable[[str], Measure]
) -> tuple[Goal, ...]:
    """Return what a user wants.

    Args:
        score: a function of a Picture, the name of a scorer, "votes", or a number of
            the record ("latency_ms"); or several of these.
        goals: "max" or "min", for all or by name; None is the usual one.
        scorer: returns what measures by a scorer's name.

    Raises:
        UsageError: for what is none of these, in one line.
    """
    given = [*score] if isinstance(score, list | tuple) else [score]
    if not given:
        raise UsageError("score is empty: say what is to be high, or low")
    measures = dict(_named_measure(one, scorer) for one in given)
    if len(measures) < len(given):
        raise UsageError(
            f"two goals have one name ({', '.join(measures)}): name the functions apart"
        )
    directions = _directions(goals, [*measures])
    return tuple(
        Goal(name, directions[name], measure) for name, measure in measures.items()
    )


def _named_measure(
    score: object, scorer: Callable[[str], Measure]
) -> tuple[str, Measure | None]:
    if score == VOTES:
        return VOTES, None
    if isinstance(score, str):
        in_record = score in _OF_RECORD
        return score, partial(_recorded, score) if in_record else scorer(score)
    if callable(score):
        name = getattr(score, "__name__", type(score).__name__)
        return "score" if name == _LAMBDA else name, partial(_computed, score)
    raise UsageError(
        "score is a function of a picture, the name of a scorer, or several of these,"
        f" not {short_repr(score)}"
    )


def _directions(goals: object, names: Sequence[str]) -> dict[str, Direction]:
    usual: dict[str, Direction] = {
        name: "min" if name in _OF_RECORD else "max" for name in names
    }
    if goals is None:
        return usual
    asked = goals if isinstance(goals, Mapping) else dict.fromkeys(names, goals)
    for name, direction in asked.items():
        if name not in usual:
            raise UsageError(
                f"no goal is named {short_repr(name)}: there is"
                f" {', '.join(names)}{describe_meant(name, names)}"
            )
        usual[name] = _validated_direction(direction)
    return usual


def _validated_direction(given: object) -> Direction:
    for direction in _DIRECTIONS:
        if given == direction:
            return direction
    raise UsageError(
        f"a goal is max or min, by name or for all, not {short_repr(given)}"
    )


def _recorded(name: str, pictures: Sequence[Picture]) -> list[float]:
    found = [getattr(picture.record, name) for picture in pictures]
    return [math.nan if value is None else float(value) for value in found]


def _computed(score: ScoreFunction, pictures: Sequence[Picture]) -> list[float]:
    return [_number_of(score(picture)) for picture in pictures]


def _number_of(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise UsageError(
            f"a score is a number, and the function returned {short_repr(value)}"
        ) from None


def mean_and_error(numbers: Sequence[float]) -> tuple[float, float]:
    """Return the mean, and its standard error: NaN of fewer than two numbers."""
    count = len(numbers)
    mean = math.fsum(numbers) / count if count else math.nan
    if count < 2:
        return mean, math.nan
    variance = math.fsum((number - mean) ** 2 for number in numbers) / (count - 1)
    return mean, math.sqrt(variance / count)
