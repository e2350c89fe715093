"""Words are found in all prompts at once just as `SearchWords` finds them in each."""

from __future__ import annotations

import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagen_nb.frames import prompt_search
from imagen_nb.frames.prompt_search import PromptSearch, fold_case_of_all
from imagen_nb.frames.words import SearchWords, fold_case, parse_search_words

# Letters whose case is folded in one library's way and not in another's, and what means something.
LETTERS = 'aAbB \0\n%_*\\"-éÉßẞıIİKÅΣσςǅﬁȺⱥ🚤\u0301あ'
PROMPTS = st.lists(st.text(LETTERS, max_size=12) | st.text(max_size=6), max_size=12)
WORDS = st.text(LETTERS, max_size=6) | st.text(max_size=4)


def texts(prompts: list[str]) -> pa.Array:
    return pa.array(prompts, pa.large_string())


@given(PROMPTS, WORDS)
def test_it_finds_what_the_slow_definition_finds(prompts: list[str], typed: str) -> None:
    words = parse_search_words(typed)
    found = PromptSearch(texts(prompts)).find(words)
    assert found is not None
    assert found.tolist() == [words.found_in(prompt) for prompt in prompts]


def test_every_letter_is_folded_as_one_alone_is() -> None:
    letters = [chr(n) for n in range(sys.maxunicode + 1) if not 0xD800 <= n < 0xE000]
    assert fold_case_of_all(texts(["".join(letters)])).to_pylist() == [
        "".join(map(fold_case, letters))
    ]


def test_half_a_letter_is_in_no_prompt() -> None:
    search = PromptSearch(texts(["a boat", "é"]))
    for words, found in (
        (SearchWords(required=("\ud83d",)), [False, False]),
        (SearchWords(excluded=("\udc00",)), [True, True]),
    ):
        mask = search.find(words)
        assert mask is not None
        assert mask.tolist() == found


def test_a_search_is_given_up_between_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_search, "_PROMPTS_PER_CHUNK", 2)
    search = PromptSearch(texts(["a boat", "a BOAT", "a cat", "É", "boat É"]))
    answers = iter([True, True, False])
    assert search.find(parse_search_words("boat"), lambda: next(answers)) is None
    found = search.find(parse_search_words("boat"))
    assert found is not None
    assert np.flatnonzero(found).tolist() == [0, 1, 4]
