"""Search the prompts of a whole frame at once, by the rule of `SearchWords`.

A prompt is folded once and kept; what is compared then is bytes, without Python's lock.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from imagen_nb.frames.words import SearchWords, fold_case

if TYPE_CHECKING:
    import pyarrow as pa

    Mask = npt.NDArray[np.bool_]

_PROMPTS_PER_CHUNK = 65_536  # some ms of searching, after which it can be given up
_NO_CASE_FROM = 0x20000  # code points from here on have one case only


class PromptSearch:
    """Finds the prompts with some words.

    Args:
        prompts: texts, without nulls.
    """

    def __init__(self, prompts: pa.Array) -> None:
        self._prompts = prompts
        self._folded: dict[int, pa.Array] = {}  # chunks by their number

    def find(
        self, words: SearchWords, go_on: Callable[[], bool] = lambda: True
    ) -> Mask | None:
        """Return which prompts match, as `words.found_in` says of each.

        None if `go_on`, which is asked between chunks, said no.
        """
        found = [np.empty(0, dtype=bool)]
        for chunk in self._chunks():
            if not go_on():
                return None
            found.append(_matches(chunk, words))
        return np.concatenate(found)

    def _chunks(self) -> Iterator[pa.Array]:
        for start in range(0, len(self._prompts), _PROMPTS_PER_CHUNK):
            if start not in self._folded:
                chunk = self._prompts.slice(start, _PROMPTS_PER_CHUNK)
                self._folded[start] = fold_case_of_all(chunk)
            yield self._folded[start]


def _matches(folded: pa.Array, words: SearchWords) -> Mask:
    mask = np.ones(len(folded), dtype=bool)
    for word in words.required:
        mask &= _contains(folded, word)
    for word in words.excluded:
        mask &= ~_contains(folded, word)
    return mask


def _contains(folded: pa.Array, word: str) -> Mask:
    import pyarrow.compute as pc

    pattern = word.encode("utf-8", "surrogatepass")  # half a pair is in no prompt
    found: Mask = pc.match_substring(folded, pattern).to_numpy(zero_copy_only=False)
    return found


def fold_case_of_all(texts: pa.Array) -> pa.Array:
    """Return the texts, of which none is null, as `fold_case` gives each."""
    import pyarrow as pa
    import pyarrow.compute as pc

    plain = pc.all(pc.string_is_ascii(texts)).as_py()
    if plain is not False and not pc.any(pc.match_substring(texts, "\0")).as_py():
        return pc.ascii_lower(texts)
    lengths = pc.utf8_length(texts).to_numpy(zero_copy_only=False)
    joined = "".join(texts.to_pylist()).encode("utf-32-le")
    codes = _folded_letters()[np.frombuffer(joined, np.uint32)]
    folded = codes.tobytes().decode("utf-32-le")  # as many letters as there were
    ends = np.cumsum(lengths).tolist()
    starts = [0, *ends[:-1]]
    pieces = [folded[start:end] for start, end in zip(starts, ends, strict=True)]
    return pa.array(pieces, texts.type)


@functools.cache
def _folded_letters() -> npt.NDArray[np.uint32]:
    """Return the code point of each folded letter, by that of the letter."""
    table = np.arange(0x110000, dtype=np.uint32)
    surrogates = range(0xD800, 0xE000)
    for code in range(_NO_CASE_FROM):
        if code not in surrogates:
            table[code] = ord(fold_case(chr(code)))
    return table
