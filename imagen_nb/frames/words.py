"""Words in prompts: what a user looks for, and how every source finds the same pictures.

A server narrows the search with LIKE; what that lets through is looked at here, by one rule, since
databases differ in what they take for the same letter (SQLite knows ASCII only, PostgreSQL what its
locale says). So a pattern matches at least what it should, and `Words.found_in` decides.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from imagen_nb.errors import UsageError

_SEARCH_TOKEN = re.compile(r'(-?)"([^"]*)"|(\S+)')


@dataclass(frozen=True, slots=True)
class SearchWords:
    """All of `wanted` and none of `unwanted` must occur, as they are but for the case."""

    wanted: tuple[str, ...] = ()
    unwanted: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.wanted or self.unwanted)

    def found_in(self, prompt: str) -> bool:
        """Whether this prompt is one that was looked for."""
        text = fold_case(prompt)
        return all(word in text for word in self.wanted) and not any(
            word in text for word in self.unwanted
        )

    @property
    def patterns(self) -> list[str]:
        r"""LIKE patterns (escape character `\`) that every such prompt matches."""
        return [f"%{_like_pattern(word)}%" for word in self.wanted]

    @property
    def unwanted_patterns(self) -> list[str]:
        """LIKE patterns that no such prompt matches."""
        plain = [
            word
            for word in self.unwanted
            if _like_pattern(word).replace("\\", "") == word
        ]
        return [f"%{_like_pattern(word)}%" for word in plain]


EVERY_PROMPT = SearchWords()


def parse_search_words(text: object) -> SearchWords:
    """`red "tall ship" -night` -> red and "tall ship", not night. Words also within words.

    A quotation mark without its partner, and a single -, are plain text. Raises `UsageError`.
    """
    if text is None:
        return EVERY_PROMPT
    if not isinstance(text, str):
        raise UsageError(f"prompt must be words to look for, not {type(text).__name__}")
    wanted: list[str] = []
    unwanted: list[str] = []
    for minus, phrase, word in _SEARCH_TOKEN.findall(text):
        if word[:1] == "-" and len(word) > 1:
            minus, word = "-", word[1:]
        if found := fold_case(phrase or word):
            (unwanted if minus else wanted).append(found)
    return SearchWords(tuple(wanted), tuple(unwanted))


def fold_case(text: str) -> str:
    """The text in lower case, letter by letter; what changes its length or leaves ASCII stays.

    NUL, which rows of PostgreSQL cannot hold, is U+FFFD as in them.
    """
    lower = text.lower() if text.isascii() else "".join(map(_lower_letter, text))
    return lower.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _lower_letter(char: str) -> str:
    lower = char.lower()
    same = len(lower) == 1 and lower.isascii() == char.isascii()
    return lower if same else char


def _like_pattern(word: str) -> str:
    """The word for LIKE; `_` (any character) where databases differ, or PostgREST reads a sign."""
    return "".join(
        "\\" + char
        if char in "\\%_"
        else char
        if char.isascii() and char != "*"
        else "_"
        for char in word
    )
