"""Words in prompts, and how every source finds the same pictures by them.

A server narrows the search with LIKE, and one rule decides here on the rows that pass,
since databases differ in which letters they take as equal (SQLite knows ASCII only,
PostgreSQL follows its locale). So a pattern matches at least what it should, and
`SearchWords.found_in` decides.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from imagen_nb.errors import UsageError

_SEARCH_TOKEN = re.compile(r'(-?)"([^"]*)"|(\S+)')


@dataclass(frozen=True, slots=True)
class SearchWords:
    """All `required` words and none of the `excluded` ones must occur in a prompt.

    Both are in the case that `fold_case` gives. False if there are none, so that every
    prompt matches.
    """

    required: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.required or self.excluded)

    def found_in(self, prompt: str) -> bool:
        """Return whether the prompt matches."""
        text = fold_case(prompt)
        if any(word in text for word in self.excluded):
            return False
        return all(word in text for word in self.required)

    @property
    def required_patterns(self) -> list[str]:
        r"""LIKE patterns (escape character `\`) that every matching prompt matches."""
        return [f"%{_like_pattern(word)}%" for word in self.required]

    @property
    def excluded_patterns(self) -> list[str]:
        """LIKE patterns that no matching prompt matches.

        Only of words whose pattern matches exactly the word: a wider pattern would
        exclude prompts that match.
        """
        patterns = {word: _like_pattern(word) for word in self.excluded}
        return [
            f"%{pattern}%"
            for word, pattern in patterns.items()
            if pattern.replace("\\", "") == word
        ]


EVERY_PROMPT = SearchWords()


def parse_search_words(text: object) -> SearchWords:
    """Return the words of a search; they are found within longer words as well.

    A quotation mark without its partner, and a single -, are plain text.

    Raises:
        UsageError: if `text` is neither a string nor None (every prompt).

    Example:
        >>> parse_search_words('red "tall ship" -night')
        SearchWords(required=('red', 'tall ship'), excluded=('night',))
    """
    if text is None:
        return EVERY_PROMPT
    if not isinstance(text, str):
        raise UsageError(f"prompt must be words to look for, not {type(text).__name__}")
    required: list[str] = []
    excluded: list[str] = []
    for minus, phrase, word in _SEARCH_TOKEN.findall(text):
        if word[:1] == "-" and len(word) > 1:
            minus, word = "-", word[1:]
        folded = fold_case(phrase or word)
        if folded:
            (excluded if minus else required).append(folded)
    return SearchWords(tuple(required), tuple(excluded))


def fold_case(text: str) -> str:
    """Return the text in lower case, letter by letter.

    A letter whose lower case has another length, or is ASCII where the letter is not,
    stays. NUL, which rows of PostgreSQL cannot hold, becomes U+FFFD as in those rows.
    """
    lower = text.lower() if text.isascii() else "".join(map(_lower_letter, text))
    return lower.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _lower_letter(letter: str) -> str:
    lower = letter.lower()
    same_kind = len(lower) == 1 and lower.isascii() == letter.isascii()
    return lower if same_kind else letter


def _like_pattern(word: str) -> str:
    return "".join(map(_like_letter, word))


def _like_letter(letter: str) -> str:
    """Return the letter for LIKE; `_` (any one) where sources read it differently."""
    if letter in "\\%_":
        return "\\" + letter
    if letter == "*" or not letter.isascii():  # PostgREST takes * for %
        return "_"
    return letter
