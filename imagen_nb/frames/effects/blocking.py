"""What pictures are compared within: the same prompt and seed, or less where need be."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imagen_nb.frames.effects.outcomes import Compared
from imagen_nb.frames.effects.record_settings import INPUTS
from imagen_nb.frames.effects.within import Blocks
from imagen_nb.frames.schema import prompts_of, text_or_empty

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    Whole = NDArray[np.int64]

_SEED_NOUNS = ("seed", "seeds")


@dataclass(frozen=True, slots=True)
class Nuisances:
    """What makes pictures different that is no setting, of each row.

    `prompts`: texts, "" where it is not known; `images`: which images it was drawn
    from; `seeds`: unlike all others where it is not known; `apart`: what cannot be
    compared has different ones. All but the prompts are int64, equal for equals.
    """

    prompts: list[str]
    images: Whole
    seeds: Whole
    apart: Whole

    def block_kinds(self) -> list[Blocks]:
        """Return what settings are compared within, the strictest first.

        The same prompt, seed and images; or the same prompt and images, where seeds
        were new each time. A picture without a prompt is comparable to none.
        """
        prompts = [text or place for place, text in enumerate(self.prompts)]
        pictures = codes_of(zip(prompts, self.images, self.seeds, strict=True))
        same_prompt = codes_of(zip(prompts, self.images, strict=True))
        return [
            Blocks(pictures, pictures, "prompt and seed"),
            Blocks(same_prompt, pictures, "prompt", _SEED_NOUNS),
        ]

    def word_kinds(self, places: Whole, rows: Whole) -> list[Blocks]:
        """Return what words are compared within: as settings, but for the words.

        Args:
            places: the prompt around the words, of each row.
            rows: those that have one; the blocks are of these.
        """
        prompts = [self.prompts[row] for row in rows.tolist()]
        images, seeds, around = self.images[rows], self.seeds[rows], places[rows]
        pictures = codes_of(zip(around, images, seeds, strict=True))
        drawn = codes_of(zip(prompts, images, seeds, strict=True))
        same_place = codes_of(zip(around, images, strict=True))
        return [
            Blocks(pictures, pictures, "prompt but for the words, and seed"),
            Blocks(same_place, drawn, "prompt but for the words", _SEED_NOUNS),
        ]

    def all_prompts(self) -> Blocks:
        """Return all pictures as one group in which prompts are independent."""
        prompts = codes_of(zip(self.prompts, self.apart, strict=True))
        return Blocks(self.apart, prompts, "all", ("prompt", "prompts"))


def nuisances_of(
    frame: pd.DataFrame, records: pd.DataFrame | None, outcome: Compared
) -> Nuisances:
    """Return what makes the rows of a frame different; `records` as of settings."""
    images = [""] * len(frame)
    if records is not None:
        images = [*map(text_or_empty, records[INPUTS])]
    apart = [0.0] * len(frame) if outcome.apart is None else outcome.apart.tolist()
    return Nuisances(
        prompts_of(frame),
        codes_of(zip(images, apart, strict=True)),
        codes_of(_seed_keys(frame)),
        codes_of(apart),
    )


def _seed_keys(frame: pd.DataFrame) -> Iterable[Any]:
    known = frame["seed"].notna()
    for place, (seed, is_known) in enumerate(zip(frame["seed"], known, strict=True)):
        yield seed if is_known else ("unknown", place)


def codes_of(values: Iterable[Hashable]) -> Whole:
    """Return a number for each different value, from 0 on."""
    import numpy as np

    numbers: dict[Hashable, int] = {}
    codes = [numbers.setdefault(value, len(numbers)) for value in values]
    return np.array(codes, dtype=np.int64)
