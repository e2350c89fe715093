"""Names of clusters: the words by which the prompts of one differ from the others'."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_WORDS = 3  # of a name
_TELLING = 1.25  # how much more frequent a word is in a cluster than in all pictures
_USUAL = 0.2  # the part of a cluster's pictures whose prompts have the word
_RELATIVE = 0.4  # of the best word's weight: a weaker one is not in the name
_MAX_WORD_CHARS = 24
_WORD = re.compile(r"[^\W\d_][\w'’-]*[^\W_]")
_WITHOUT_WORDS = "without words"


def cluster_names(numbers: NDArray[np.int64], prompts: Sequence[str]) -> dict[int, str]:
    """Return a name of its own for each cluster, by number, such as "boat, sea".

    Class-based TF-IDF: a word weighs as much as it is frequent in the cluster's prompts
    and rare in all. Prompts are untrusted text; a name is words, and still no HTML.

    Args:
        numbers: the cluster of each picture, from 0 on; -1 for none.
        prompts: of the same pictures; "" for none.
    """
    counts, sizes = _word_counts(numbers.tolist(), prompts)
    everywhere: Counter[str] = sum(counts.values(), Counter())
    mean = sum(everywhere.values()) / max(1, len(counts))
    total = sum(sizes.values())
    names: dict[int, str] = {}
    for number in sorted(sizes):
        weights = {
            word: count / sizes[number] * math.log1p(mean / everywhere[word])
            for word, count in counts[number].items()
        }
        telling = {
            word: weight
            for word, weight in weights.items()
            if counts[number][word] >= _USUAL * sizes[number]
            and counts[number][word] / sizes[number]
            >= _TELLING * everywhere[word] / total
        }
        names[number] = _new_name(telling or weights, {*names.values()})
    return names


def _word_counts(
    numbers: Sequence[int], prompts: Sequence[str]
) -> tuple[dict[int, Counter[str]], Counter[int]]:
    """Return in how many of a cluster's prompts each word is, and how many pictures it has."""
    counts: dict[int, Counter[str]] = {}
    for number, prompt in zip(numbers, prompts, strict=True):
        if number >= 0:
            counts.setdefault(number, Counter()).update(_words_of(prompt))
    return counts, Counter(number for number in numbers if number >= 0)


def _words_of(prompt: str) -> set[str]:
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    found: set[str] = {
        word[:_MAX_WORD_CHARS] for word in _WORD.findall(prompt.casefold())
    }
    return found.difference(ENGLISH_STOP_WORDS)


def _new_name(weights: Mapping[str, float], taken: set[str]) -> str:
    """Return the weightiest words; more of them, or a number, where those are taken."""
    words = sorted(weights, key=lambda word: (-weights[word], word))
    strong = [word for word in words if weights[word] >= _RELATIVE * weights[words[0]]]
    name = ", ".join(strong[:_WORDS]) or _WITHOUT_WORDS
    if name in taken and len(words) > _WORDS:
        name = ", ".join(words[: _WORDS + 1])
    number = 2
    candidate = name
    while candidate in taken:
        candidate = f"{name} ({number})"
        number += 1
    return candidate
