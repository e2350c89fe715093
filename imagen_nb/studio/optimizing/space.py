"""What may vary in a search: ranges, choices, and the words of a prompt."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagen_nb.errors import UsageError
from imagen_nb.request.sweep import expanded_prompts
from imagen_nb.request.sweep_syntax import split_groups
from imagen_nb.request.validation import checked_prompt, short_repr
from imagen_nb.request.wildcards import Wildcards
from imagen_nb.storage.picture import Picture
from imagen_nb.system.secret_text import is_secret_name

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Label = str | int | float | bool | None  # what Optuna keeps of a choice
_PROMPT, _SIZE = "prompt", "size"
_IN_PIXELS = ("width", "height")  # in pixels, multiples of what the model draws
_HOW = "a tuple is a range (low, high), a list has choices"


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers from `low` to `high`, both included; whole ones in steps of `step`."""

    name: str
    low: float
    high: float
    step: int | None = None

    def __len__(self) -> int:
        """Return how many values there are; a stand-in for endless of broken numbers."""
        return 0 if self.step is None else int((self.high - self.low) // self.step) + 1

    def distribution(self) -> BaseDistribution:
        """Return it as Optuna has it."""
        from optuna.distributions import FloatDistribution, IntDistribution

        if self.step is None:
            return FloatDistribution(self.low, self.high)
        return IntDistribution(int(self.low), int(self.high), step=self.step)

    def value(self, label: Label) -> Any:
        """Return the value that Optuna's stands for."""
        return label

    def extremes(self) -> Sequence[Any]:
        """Return values that are refused if any is."""
        return (self.low, self.high)

    def as_json(self) -> dict[str, Any]:
        """Return what tells it from others."""
        return {"low": self.low, "high": self.high, "step": self.step}


@dataclass(frozen=True, slots=True)
class Choices:
    """One of some values, in no order. `labels`: what Optuna keeps of each."""

    name: str
    values: tuple[Any, ...]
    labels: tuple[Label, ...]

    def __len__(self) -> int:
        """Return how many values there are."""
        return len(self.values)

    def distribution(self) -> BaseDistribution:
        """Return it as Optuna has it."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(self.labels)

    def value(self, label: Label) -> Any:
        """Return the value that Optuna's stands for."""
        return self.values[self.labels.index(label)]

    def extremes(self) -> Sequence[Any]:
        """Return values that are refused if any is."""
        return self.values

    def as_json(self) -> dict[str, Any]:
        """Return what tells it from others."""
        return {"choices": [*self.values]}


@dataclass(frozen=True, slots=True)
class SearchSpace:
    """What may vary, and what is fixed.

    Attributes:
        dimensions: what Optuna chooses, by name; a group of a prompt is one.
        fixed: settings with one value.
        template: the parts of the prompt: texts, and names of dimensions as 1-tuples;
            empty where the prompt is a setting like others.
    """

    dimensions: tuple[Range | Choices, ...]
    fixed: Mapping[str, Any]
    template: tuple[str | tuple[str], ...] = ()

    @property
    def names(self) -> list[str]:
        """The settings that vary, the prompt first: columns of a study's frame."""
        varying = [
            one.name for one in self.dimensions if (one.name,) not in self.template
        ]
        return [_PROMPT, *(name for name in varying if name != _PROMPT)]

    @property
    def size(self) -> float:
        """How many settings there are to choose from; infinite where a range is broken."""
        counts = [len(one) or math.inf for one in self.dimensions]
        return math.prod(counts)

    def distributions(self) -> dict[str, BaseDistribution]:
        """Return the dimensions as Optuna has them."""
        return {one.name: one.distribution() for one in self.dimensions}

    def settings(self, params: Mapping[str, Label]) -> dict[str, Any]:
        """Return the arguments of `Studio.generate` that Optuna's values stand for."""
        return self._filled(
            {one.name: one.value(params[one.name]) for one in self.dimensions}
        )

    def border(self) -> Iterable[dict[str, Any]]:
        """Yield settings in which each value that can be refused occurs."""
        first = {one.name: one.extremes()[0] for one in self.dimensions}
        yield self._filled(first)
        for one in self.dimensions:
            for value in one.extremes()[1:]:
                yield self._filled(first | {one.name: value})

    def _filled(self, values: Mapping[str, Any]) -> dict[str, Any]:
        found = {**self.fixed, **values}
        if self.template:
            parts = [
                part if isinstance(part, str) else str(found.pop(part[0]))
                for part in self.template
            ]
            found[_PROMPT] = "".join(parts)
        return found

    def as_json(self) -> dict[str, Any]:
        """Return what tells the space from others, as JSON values."""
        found = {one.name: one.as_json() for one in self.dimensions}
        for name, value in self.fixed.items():
            found[name] = {"fixed": plain_setting(name, value)}
        if self.template:
            found[_PROMPT] = {"template": [*self.template], **found.get(_PROMPT, {})}
        plain: dict[str, Any] = json.loads(json.dumps(found))  # tuples as lists
        return plain


def parse_space(
    given: object, wildcards: Wildcards, multiple: Callable[[], int]
) -> SearchSpace:
    """Return the space that a user wrote.

    Args:
        given: values by setting: a tuple (low, high) is a range, of whole numbers if
            both are; a list has choices; alternatives in braces of a prompt are choices
            too; anything else stays as it is.
        wildcards: what stands for alternatives in prompts.
        multiple: returns what sides in pixels are multiples of.

    Raises:
        UsageError: for what is no space, in one line.
    """
    if not isinstance(given, Mapping) or not given:
        raise UsageError(
            "a space is a mapping such as"
            ' {"prompt": "a {red|blue} boat", "steps": (2, 8)}, not '
            + short_repr(given)
        )
    dimensions: list[Range | Choices] = []
    fixed: dict[str, Any] = {}
    template: tuple[str | tuple[str], ...] = ()
    for name, value in given.items():
        _require_setting(name)
        if name == _PROMPT and isinstance(value, str):
            template, groups = _prompt_parts(value, wildcards)
            dimensions += groups
        else:
            found = _dimension(name, value, wildcards, multiple)
            if found is None:
                fixed[name] = value
            else:
                dimensions.append(found)
    if _PROMPT not in given:
        raise UsageError('the space says not what to draw: give it a "prompt"')
    if not dimensions:
        raise UsageError(f"nothing varies in this space: {_HOW}")
    return SearchSpace(tuple(dimensions), fixed, template)


def restored_space(kept: Mapping[str, Any]) -> SearchSpace:
    """Return the space that `SearchSpace.as_json` gave."""
    dimensions: list[Range | Choices] = []
    fixed = {}
    template: tuple[str | tuple[str], ...] = ()
    for name, part in kept.items():
        if "low" in part:
            dimensions.append(Range(name, part["low"], part["high"], part["step"]))
        if "choices" in part:
            dimensions.append(_labelled_choices(name, part["choices"]))
        if "fixed" in part:
            fixed[name] = part["fixed"]
        if "template" in part:
            template = tuple(
                each if isinstance(each, str) else (each[0],)
                for each in part["template"]
            )
    return SearchSpace(tuple(dimensions), fixed, template)


def plain_setting(name: str, value: Any) -> Any:
    """Return a setting as a JSON value. Raise `UsageError` for what is none."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Picture):
        return str(value.path)
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError):
        raise UsageError(
            f"{name}: a study is kept in a file, and cannot keep {short_repr(value)}:"
            " give a number, a text, a path, or lists of these"
        ) from None


def _require_setting(name: object) -> None:
    if not isinstance(name, str):
        raise UsageError(f"settings are named by text, not {short_repr(name)}")
    if name in ("seed", "seeds"):
        raise UsageError(
            "seeds are the same for all trials, so that settings are compared and not"
            " luck: give seeds=, not in the space"
        )
    if is_secret_name(name):
        raise UsageError(f"a study is kept in a file: give {name}= beside the space")
    if name in ("tags", "cloud", "output", "progress", "backend", "like", "wait"):
        raise UsageError(f"{name} cannot vary: give {name}= beside the space")


def _prompt_parts(
    text: str, wildcards: Wildcards
) -> tuple[tuple[str | tuple[str], ...], list[Choices]]:
    """Return the template of a prompt, and its groups as dimensions."""
    parts = split_groups(wildcards.filled_in(checked_prompt(text)))
    unique = [[*dict.fromkeys(part)] for part in parts]
    several = sum(len(part) > 1 for part in unique) > 1
    template: list[str | tuple[str]] = []
    groups: list[Choices] = []
    for part in unique:
        if len(part) == 1:
            template.append(part[0])
            continue
        name = f"{_PROMPT} {len(groups) + 1}" if several else _PROMPT
        groups.append(Choices(name, tuple(part), tuple(part)))
        template.append((name,))
    return tuple(template), groups


def _dimension(
    name: str, value: Any, wildcards: Wildcards, multiple: Callable[[], int]
) -> Range | Choices | None:
    """Return what a value says of a setting; None if it does not vary."""
    if isinstance(value, tuple) and name != _SIZE:
        return _range(name, value, multiple() if name in _IN_PIXELS else 1)
    if isinstance(value, list | range):
        return _choices(name, [*value], wildcards)
    return None


def _range(name: str, value: tuple[Any, ...], step: int) -> Range:
    numbers = [*map(_plain_number, value)]
    if len(numbers) != 2 or None in numbers:
        raise UsageError(f"{name}: {_HOW}, not {short_repr(value)}")
    low, high = numbers
    if not low < high:  # NaN, too
        raise UsageError(
            f"{name}: a range goes from a number to a higher one, not {short_repr(value)}"
        )
    if isinstance(low, int) and isinstance(high, int):
        return Range(name, low, high - (high - low) % step, step)
    if not math.isfinite(high - low):
        raise UsageError(f"{name}: a range has an end, not {short_repr(value)}")
    return Range(name, float(low), float(high))


def _without_numpy(value: Any) -> Any:
    """Return one of numpy's numbers as Python's; anything else as it is."""
    is_scalar = hasattr(value, "item") and not getattr(value, "ndim", 0)
    return value.item() if is_scalar else value


def _plain_number(value: Any) -> Any:
    """Return a number without numpy's types; None for what is none."""
    value = _without_numpy(value)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number else None


def _choices(name: str, values: list[Any], wildcards: Wildcards) -> Choices:
    if name == _PROMPT:
        values = [*expanded_prompts(values, wildcards)]
    if not values:
        raise UsageError(f"{name}: there is nothing to choose from in an empty list")
    return _labelled_choices(name, [*map(_without_numpy, values)])


def _labelled_choices(name: str, values: Sequence[Any]) -> Choices:
    by_label: dict[Label, Any] = {}
    for value in values:
        kept = plain_setting(name, value)
        is_label = isinstance(kept, str | int | float | bool | None)
        label = kept if is_label else json.dumps(kept)
        is_size = name == _SIZE and isinstance(value, list)  # as it is in JSON
        by_label.setdefault(label, tuple(value) if is_size else value)
    return Choices(name, tuple(by_label.values()), tuple(by_label))


def describe_other_space(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return what of a space, as JSON values, is not as it was; "" if all is."""
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            was, is_now = (_describe_part(each.get(name)) for each in (before, now))
            return f"{name} was {was} and is {is_now}"
    return ""


def _describe_part(part: Mapping[str, Any] | None) -> str:
    if part is None:
        return "not there"
    if "low" in part:
        return f"{part['low']:g} to {part['high']:g}"
    if "template" in part:
        texts = (each if isinstance(each, str) else "{…}" for each in part["template"])
        return short_repr("".join(texts))
    if "choices" in part:
        return f"one of {short_repr(part['choices'])}"
    return short_repr(part["fixed"])
