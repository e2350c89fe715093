"""What part of the history is wanted: one question, the same for every source."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from imagen_nb.errors import UsageError
from imagen_nb.frames import moments, words
from imagen_nb.frames.moments import Moment
from imagen_nb.frames.words import EVERY_PROMPT, SearchWords
from imagen_nb.request.request import MAX_SEED
from imagen_nb.request.sweep_syntax import parse_sizes
from imagen_nb.request.validation import checked_tags


@dataclass(frozen=True, slots=True)
class Query:
    """Which pictures, newest first. None does not filter; an empty tuple lets nothing through.

    `since` is the first moment, `until` the first one after the last, both in UTC. `tags` must all
    be there, of `any_tags` one. Sizes are (width, height) in pixels.
    """

    since: datetime | None = None
    until: datetime | None = None
    words: SearchWords = EVERY_PROMPT
    backends: tuple[str, ...] | None = None
    models: tuple[str, ...] | None = None
    tags: tuple[str, ...] = ()
    any_tags: tuple[str, ...] | None = None
    seeds: tuple[int, ...] | None = None
    sizes: tuple[tuple[int, int], ...] | None = None
    ids: tuple[str, ...] | None = None
    limit: int | None = None

    @property
    def nothing(self) -> bool:
        """Whether nothing can be found, so that nobody need be asked."""
        lists = (
            self.backends,
            self.models,
            self.any_tags,
            self.seeds,
            self.sizes,
            self.ids,
        )
        return self.limit == 0 or () in lists

    @property
    def ever(self) -> bool:
        """Whether rows are wanted whatever their time, those without one included."""
        return self.since is None and self.until is None


def make_query(
    *,
    since: Moment | None = None,
    until: Moment | None = None,
    prompt: str | None = None,
    backend: str | Iterable[str] | None = None,
    model: str | Iterable[str] | None = None,
    tags: str | Iterable[str] | None = None,
    any_tags: str | Iterable[str] | None = None,
    seed: int | Iterable[int] | None = None,
    size: str | tuple[int, int] | Iterable[tuple[int, int]] | None = None,
    ids: str | UUID | Iterable[str | UUID] | None = None,
    limit: int | None = None,
) -> Query:
    """The question in the words of `Studio.history`. Raises `UsageError` naming what is wrong."""
    return Query(
        since=None if since is None else moments.parse_moment("since", since),
        until=None if until is None else moments.parse_moment("until", until, end=True),
        words=words.parse_search_words(prompt),
        backends=_names_of_query("backend", backend),
        models=_names_of_query("model", model),
        tags=() if tags is None else checked_tags(tags),
        any_tags=None if any_tags is None else checked_tags(any_tags),
        seeds=_seeds_of_query(seed),
        sizes=_sizes_of_query(size),
        ids=_ids_of_query(ids),
        limit=None if limit is None else _validated_whole_number("limit", limit),
    )


def _tuple_of_values(value: Any, *single: type) -> tuple[Any, ...] | None:
    if value is None:
        return None
    return (
        (value,)
        if isinstance(value, single) or not isinstance(value, Iterable)
        else (*value,)
    )


def _names_of_query(name: str, value: object) -> tuple[str, ...] | None:
    texts = _tuple_of_values(value, str)
    for text in texts or ():
        if not isinstance(text, str):
            raise UsageError(f"{name} must be a name or several, not {text!r}")
    return texts and tuple(dict.fromkeys(texts))


def _validated_whole_number(name: str, value: Any) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise UsageError(f"{name} must be a whole number, not {value!r}") from None
    if number < 0:
        raise UsageError(f"{name} must be 0 or more, not {number}")
    return number


def _seeds_of_query(value: object) -> tuple[int, ...] | None:
    seeds = _tuple_of_values(value)
    if seeds is None:
        return None
    return tuple(
        n
        for n in dict.fromkeys(_validated_whole_number("seed", s) for s in seeds)
        if n <= MAX_SEED
    )


def _sizes_of_query(value: Any) -> tuple[tuple[int, int], ...] | None:
    if value is None:
        return None
    if isinstance(value, str):
        return tuple(parse_sizes(value))
    pairs = (
        [value]
        if _is_width_and_height(value)
        else [*value]
        if isinstance(value, Iterable)
        else [value]
    )
    for pair in pairs:
        if not _is_width_and_height(pair):
            raise UsageError(
                f"size must be (width, height) in pixels, or several, not {pair!r}"
            )
    return tuple(
        (
            _validated_whole_number("size", width),
            _validated_whole_number("size", height),
        )
        for width, height in pairs
    )


def _is_width_and_height(value: object) -> bool:
    pair = (
        isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2
    )
    return pair and all(not isinstance(side, (str, Sequence)) for side in value)  # type: ignore[attr-defined]


def _ids_of_query(value: object) -> tuple[str, ...] | None:
    ids = _tuple_of_values(value, str, UUID)
    try:
        return ids and tuple(dict.fromkeys(str(UUID(str(id))) for id in ids))
    except ValueError:
        wrong = next(id for id in ids or () if not is_uuid(id))
        raise UsageError(
            f"an id is a UUID as in the column id, not {wrong!r}"
        ) from None


def is_uuid(value: object) -> bool:
    """Whether this is a UUID, or the text of one."""
    try:
        UUID(str(value))
    except ValueError:
        return False
    return True
