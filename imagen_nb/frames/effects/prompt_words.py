"""Words of prompts as settings: alternatives in one place, and words here and there."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from imagen_nb.frames.effects.factors import LONGEST_LABEL, Factor
from imagen_nb.system.markup import one_line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WORDS = "words"  # the setting of alternatives in one place of a prompt
NOTHING = "nothing"  # in the place of an alternative
_MOST_ALTERNATIVES = 12  # in one place
_MOST_WORDS = 40  # that are looked for across prompts
_FEWEST_PROMPTS = 5  # that have a word, and that lack it
_MOST_TOKENS = 80  # of a prompt, which are compared
_MOST_PROMPTS = 2_000  # whose places are looked for: those with most pictures
_TOKEN = re.compile(r"\w+(?:['’-]\w+)*|[^\w\s]")
_GAP = "\N{SYMBOL FOR NULL}"

_Prompt = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Alternatives:
    """Words that stood in one place of prompts that are otherwise the same.

    `factor`: which of them each row has; `places`: the prompt around them, as a number,
    -1 in a row that has none of them.
    """

    factor: Factor
    places: NDArray[np.int64]


def tokens_of(prompt: str) -> _Prompt:
    """Return the words and signs of a prompt, in lower case."""
    return tuple(_TOKEN.findall(prompt.casefold())[:_MOST_TOKENS])


def alternatives(prompts: Sequence[str]) -> list[Alternatives]:
    """Return the places in which the prompts differ, each with what stood there.

    "a red boat" and "a blue boat" differ in one place; prompts that differ in several
    are not compared with each other.
    """
    tokens = [tokens_of(prompt) for prompt in prompts]
    usual = Counter(tokens).most_common(_MOST_PROMPTS)
    places = _shared_places([prompt for prompt, _ in usual])
    found = []
    for group in _joined_places(places):
        levels = sorted({text for place in group for text in places[place]})
        if 2 <= len(levels) <= _MOST_ALTERNATIVES:
            found.append(_as_factor(tokens, [places[place] for place in group], levels))
    return found


def _shared_places(prompts: Sequence[_Prompt]) -> dict[_Prompt, dict[str, _Prompt]]:
    """Return which prompt each alternative gives, by the prompt around it."""
    known = set(prompts)
    phrases = _phrases(prompts)
    found: dict[_Prompt, dict[str, _Prompt]] = defaultdict(dict)
    for prompt in prompts:
        for start, stop in phrases[prompt]:
            around = (*prompt[:start], _GAP, *prompt[stop:])
            if len(around) == 1:  # nothing else is the same
                continue
            found[around][" ".join(prompt[start:stop])] = prompt
            bare = (*prompt[:start], *prompt[stop:])
            if bare in known:
                found[around][NOTHING] = bare
    return {around: texts for around, texts in found.items() if len(texts) > 1}


def _phrases(prompts: Sequence[_Prompt]) -> Mapping[_Prompt, list[tuple[int, int]]]:
    """Return the runs of words that not all prompts have, as spans of each prompt.

    Neighbours that are in the same prompts are one run.
    """
    having: dict[str, set[int]] = defaultdict(set)
    for number, prompt in enumerate(prompts):
        for token in prompt:
            having[token].add(number)
    spans: dict[_Prompt, list[tuple[int, int]]] = {}
    for prompt in prompts:
        found: list[tuple[int, int]] = []
        for place, token in enumerate(prompt):
            if len(having[token]) == len(prompts):
                continue
            follows = bool(found) and found[-1][1] == place
            if follows and having[prompt[place - 1]] == having[token]:
                found[-1] = (found[-1][0], place + 1)
            else:
                found.append((place, place + 1))
        spans[prompt] = found
    return spans


def _joined_places(
    places: Mapping[_Prompt, Mapping[str, _Prompt]],
) -> Iterator[list[_Prompt]]:
    """Yield the places that have the same alternatives, as one setting."""
    by_texts: dict[frozenset[str], list[_Prompt]] = defaultdict(list)
    for around, texts in places.items():
        by_texts[frozenset(texts)].append(around)
    yield from by_texts.values()


def _as_factor(
    tokens: Sequence[_Prompt],
    places: Sequence[Mapping[str, _Prompt]],
    levels: list[str],
) -> Alternatives:
    import numpy as np

    codes, numbers = np.full(len(tokens), -1), np.full(len(tokens), -1)
    at: dict[_Prompt, tuple[int, int]] = {
        prompt: (levels.index(text), number)
        for number, texts in enumerate(places)
        for text, prompt in texts.items()
    }
    for row, prompt in enumerate(tokens):
        if prompt in at:
            codes[row], numbers[row] = at[prompt]
    labels = tuple(_label_of(text) for text in levels)
    return Alternatives(Factor(WORDS, labels, codes, parts=(WORDS,)), numbers)


def _label_of(text: str) -> str:
    return text if text == NOTHING else f"“{one_line(text, LONGEST_LABEL)}”"


def scattered_words(prompts: Sequence[str], left_out: set[str]) -> list[Factor]:
    """Return the words that several prompts have and several lack, the most even first.

    Args:
        prompts: of all rows.
        left_out: words that `alternatives` has found.
    """
    import numpy as np

    tokens = [frozenset(tokens_of(prompt)) for prompt in prompts]
    different = {*tokens}
    counts: Counter[str] = Counter(word for one in different for word in one)
    usual = [
        word
        for word, count in counts.items()
        if word not in left_out
        and word[:1].isalpha()
        and _FEWEST_PROMPTS <= count <= len(different) - _FEWEST_PROMPTS
    ]
    usual.sort(key=lambda word: (abs(2 * counts[word] - len(different)), word))
    found: dict[bytes, Factor] = {}
    for word in usual:
        codes = np.array([int(word in one) for one in tokens], np.int64)
        text = f"with “{one_line(word, LONGEST_LABEL)}”"
        opposite = found.get((1 - codes).tobytes())
        if opposite is not None:  # one of two words is in every prompt
            labels = (text, opposite.labels[1])
            found[opposite.codes.tobytes()] = replace(opposite, labels=labels)
        else:
            labels = (text.replace("with", "without", 1), text)
            factor = Factor(WORDS, labels, codes, parts=(WORDS,))
            found.setdefault(codes.tobytes(), factor)
    return [*found.values()][:_MOST_WORDS]


def words_in(found: Sequence[Alternatives]) -> set[str]:
    """Return all words of the alternatives."""
    return {
        word
        for one in found
        for label in one.factor.labels
        for word in _TOKEN.findall(label)
    }
