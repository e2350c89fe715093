"""Studies of words of prompts: within the prompt around them, or across all prompts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from imagen_nb.frames.effects.blocking import Nuisances
from imagen_nb.frames.effects.comparing import BlockStudy
from imagen_nb.frames.effects.factors import Factor
from imagen_nb.frames.effects.outcomes import Compared
from imagen_nb.frames.effects.prompt_words import (
    Alternatives,
    alternatives,
    scattered_words,
    words_in,
)


def word_studies(
    outcome: Compared, factors: Sequence[Factor], nuisances: Nuisances
) -> Iterator[BlockStudy]:
    """Yield the studies of each place of words, and of each word across prompts.

    Words in one place are compared between prompts that are otherwise the same: with
    the same seed, then with any. Words across prompts are compared between all prompts,
    which are then what is independent: a prompt is liked for more than one of its
    words. `factors` are the settings that are accounted for.
    """
    places = alternatives(nuisances.prompts)
    for place in places:
        yield from _studies_of_place(outcome, factors, place, nuisances)
    for word in scattered_words(nuisances.prompts, words_in(places)):
        yield BlockStudy(outcome, [word, *factors], nuisances.all_prompts())


def _studies_of_place(
    outcome: Compared,
    factors: Sequence[Factor],
    place: Alternatives,
    nuisances: Nuisances,
) -> Iterator[BlockStudy]:
    import numpy as np

    rows = np.flatnonzero(place.places >= 0)
    taken = [factor.taken(rows) for factor in (place.factor, *factors)]
    here = outcome.taken(rows)
    for blocks in nuisances.word_kinds(place.places, rows):
        yield BlockStudy(here, taken, blocks)
