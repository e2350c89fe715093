"""Settings as columns of a regression: levels, or a slope where there are many."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from imagen_nb.frames.effects.record_settings import LORA_PREFIX
from imagen_nb.frames.schema import plain_value
from imagen_nb.system.markup import one_line

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

MOST_NUMBERS = 6  # different ones, which are levels; of more, a slope is taken
MOST_LEVELS = 8  # of texts; the rarest of more are one
NONE, OTHERS, GIVEN = "none", "others", "given"
LONGEST_LABEL = 40  # characters; names of LoRAs and words of prompts are anyone's


@dataclass(frozen=True, slots=True, eq=False)
class Factor:
    """A setting of each row.

    Attributes:
        name: what it is called.
        labels: its levels: numbers from small to large, texts by the alphabet.
        codes: int64, the level of each row; -1 where that row is not compared.
        slope: float64, how far each row lies from `span[0]` to `span[1]`, which are 0
            and 1; None for a setting that has levels only.
        span: what the slope is told of, as labels: the quartiles.
        parts: the settings that it stands for: itself, or several that changed
            together.
        baseline: the level that others are told beside; "" for the most frequent one.
    """

    name: str
    labels: tuple[str, ...]
    codes: NDArray[np.int64]
    slope: NDArray[np.float64] | None = None
    span: tuple[str, str] = ("", "")
    parts: tuple[str, ...] = ()
    baseline: str = ""

    def reference(self, members: Sequence[int]) -> int:
        """Return which of these levels the others are told beside."""
        import numpy as np

        counts = np.bincount(self.codes[self.codes >= 0], minlength=len(self.labels))
        return max(
            members,
            key=lambda level: (
                self.labels[level] == self.baseline,
                counts[level],
                -level,
            ),
        )

    def columns(self) -> NDArray[np.float64]:
        """Return (rows, levels): 1 in the column of the row's level; then the slope."""
        import numpy as np

        found = (self.codes[:, None] == np.arange(len(self.labels))).astype(np.float64)
        return found if self.slope is None else np.column_stack([found, self.slope])

    def taken(self, rows: NDArray[Any]) -> Factor:
        """Return it for these rows only."""
        slope = None if self.slope is None else self.slope[rows]
        return replace(self, codes=self.codes[rows], slope=slope)


def make_factor(name: str, values: pd.Series[Any]) -> Factor | None:
    """Return a setting; None if it never varies.

    What is missing is a level of its own, "none". Numbers are levels if there are at
    most `MOST_NUMBERS` different ones.
    """
    plain = [plain_value(value) for value in values]
    if all(_is_number(value) for value in plain if value is not None):
        numbers = [_rounded(one) for one in plain]
        if len({*numbers} - {None}) > MOST_NUMBERS:
            return _slope_factor(name, numbers)
        return _level_factor(name, numbers, sorted({*numbers} - {None}))
    texts = [None if one is None else _text_of(one) for one in plain]
    return _level_factor(name, *_frequent(texts))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _rounded(value: float | None) -> float | None:
    """Return the number as it is told apart: 0.1 + 0.2 is 0.3; infinity is none."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{float(value):.6g}")


def _text_of(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _frequent(texts: list[str | None]) -> tuple[list[str | None], list[Any]]:
    """Return the texts with all but the most frequent ones as one, and their levels."""
    counts = Counter(text for text in texts if text is not None)
    if len(counts) <= MOST_LEVELS:
        return texts, sorted(counts)
    kept = sorted(text for text, _ in counts.most_common(MOST_LEVELS - 1))
    pooled = [one if one is None or one in kept else OTHERS for one in texts]
    return pooled, [*kept, OTHERS]


def _level_factor(name: str, values: list[Any], levels: list[Any]) -> Factor | None:
    import numpy as np

    if None in values:
        levels = [None, *levels]
    if len(levels) < 2:
        return None
    places = {level: place for place, level in enumerate(levels)}
    codes = np.array([places[value] for value in values], dtype=np.int64)
    labels = _labels_of(levels)
    baseline = "0" if name.startswith(LORA_PREFIX) else "no"  # without it
    return Factor(name, labels, codes, parts=(name,), baseline=baseline)


def _labels_of(levels: list[Any]) -> tuple[str, ...]:
    """Return a label of its own for each level, in one line."""
    labels: list[str] = []
    for level in levels:
        text = _label_of_level(level)
        alike = sum(one.startswith(text) for one in labels)
        labels.append(f"{text} ({alike + 1})" if text in labels else text)
    return tuple(labels)


def _label_of_level(level: Any) -> str:
    if level is None:
        return NONE
    if isinstance(level, str):
        return one_line(level, LONGEST_LABEL) or "(empty)"
    return f"{level:g}"


def _slope_factor(name: str, numbers: list[float | None]) -> Factor:
    import numpy as np

    values = np.array([np.nan if one is None else one for one in numbers])
    known = ~np.isnan(values)
    low, high = np.quantile(values[known], [0.25, 0.75], method="nearest").tolist()
    if low == high:
        low, high = values[known].min(), values[known].max()
    slope = np.where(known, (values - low) / (high - low), 0.5)
    span = (f"{low:.3g}", f"{high:.3g}")
    labels = (GIVEN,) if known.all() else (NONE, GIVEN)
    codes = known.astype(np.int64) - (1 if known.all() else 0)
    return Factor(name, labels, codes, slope, span, (name,))


def merged(factors: list[Factor], rows: NDArray[np.bool_]) -> Factor:
    """Return settings that always changed together, in these rows, as one.

    Each level has the labels of all; other rows have none of its levels.
    """
    import numpy as np

    names = " and ".join([", ".join(f.name for f in factors[:-1]), factors[-1].name])
    first = factors[0]
    labels: list[str] = []
    codes = np.full(len(first.codes), -1)
    for code in range(len(first.labels)):
        at = np.flatnonzero(rows & (first.codes == code))
        if len(at):
            texts = [factor.labels[factor.codes[at[0]]] for factor in factors]
            codes[at] = len(labels)
            labels.append(" and ".join(texts))
    return Factor(names, tuple(labels), codes, parts=tuple(f.name for f in factors))


def moving_together(
    factors: list[Factor], varying: list[NDArray[np.bool_]]
) -> Iterator[list[int]]:
    """Yield the settings whose levels correspond one to one wherever either varies.

    As positions in `factors`, together two or more. `varying`: for each factor, which
    rows are in a block in which it varies.
    """
    left = list(range(len(factors)))
    while left:
        group = [left.pop(0)]
        for other in [*left]:
            if _correspond(factors, varying, group[0], other):
                group.append(other)
                left.remove(other)
        if len(group) > 1:
            yield group


def _correspond(
    factors: list[Factor], varying: list[NDArray[np.bool_]], one: int, other: int
) -> bool:
    import numpy as np

    first, second = factors[one], factors[other]
    rows = varying[one] | varying[other]
    if first.slope is not None or second.slope is not None or not rows.any():
        return False
    a, b = first.codes[rows], second.codes[rows]
    pairs = len(np.unique(a * len(second.labels) + b))
    return pairs == len(np.unique(a)) == len(np.unique(b))
