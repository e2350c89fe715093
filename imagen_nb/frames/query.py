"""The query: which part of the history is requested, the same for every source."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from imagen_nb.errors import UsageError
from imagen_nb.frames.moments import Moment, parse_moment
from imagen_nb.frames.words import EVERY_PROMPT, SearchWords, parse_search_words
from imagen_nb.request.request import MAX_SEED
from imagen_nb.request.sweep_syntax import parse_sizes
from imagen_nb.request.validation import checked_tags


@dataclass(frozen=True, slots=True)
class Query:
    """Conditions that pictures must meet.

    None does not filter; an empty tuple matches nothing.

    Attributes:
        since: the first moment, in UTC.
        until: the first moment after the last one, in UTC.
        words: words that prompts must contain, or must not.
        backends: a picture's backend must be one of these; likewise models, seeds,
            sizes, ids.
        models: see backends.
        tags: a picture must have all of these.
        any_tags: a picture must have at least one of these.
        seeds: see backends.
        sizes: (width, height) in pixels; see backends.
        ids: UUIDs in lower case; see backends.
        limit: the largest number of pictures, the newest of those that match.
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
    def matches_nothing(self) -> bool:
        """Whether no picture can match, so that no source need be asked."""
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
    def includes_undated(self) -> bool:
        """Whether rows without a time match, as no condition is on the time."""
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
    """Return the query for the arguments of `Studio.history`, which documents them.

    Raises:
        UsageError: naming the first argument that is not valid.

    Example:
        >>> make_query(since="7d", prompt="red boat -night", size="128x128", limit=10)
    """
    return Query(
        since=None if since is None else parse_moment("since", since),
        until=None if until is None else parse_moment("until", until, end=True),
        words=parse_search_words(prompt),
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
    """Return the values; of the types in `single`, an iterable is one value."""
    if value is None:
        return None
    if isinstance(value, single) or not isinstance(value, Iterable):
        return (value,)
    return (*value,)


def _names_of_query(argument: str, value: object) -> tuple[str, ...] | None:
    names = _tuple_of_values(value, str)
    if names is None:
        return None
    for name in names:
        if not isinstance(name, str):
            raise UsageError(f"{argument} must be a name or several, not {name!r}")
    return tuple(dict.fromkeys(names))


def _validated_whole_number(argument: str, value: Any) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise UsageError(f"{argument} must be a whole number, not {value!r}") from None
    if number < 0:
        raise UsageError(f"{argument} must be 0 or more, not {number}")
    return number


def validated_count(n: Any) -> int:
    """Return how many pictures are asked for. Raise UsageError unless it is 1 or more."""
    try:
        count = operator.index(n)
    except TypeError:
        count = 0
    if count < 1:
        raise UsageError(f"n is how many pictures, 1 or more, not {n!r}")
    return count


def _seeds_of_query(value: object) -> tuple[int, ...] | None:
    seeds = _tuple_of_values(value)
    if seeds is None:
        return None
    numbers = dict.fromkeys(_validated_whole_number("seed", seed) for seed in seeds)
    return tuple(number for number in numbers if number <= MAX_SEED)


def _sizes_of_query(value: Any) -> tuple[tuple[int, int], ...] | None:
    if value is None:
        return None
    if isinstance(value, str):
        return tuple(parse_sizes(value))
    one = _is_width_and_height(value) or not isinstance(value, Iterable)
    pairs = [value] if one else [*value]
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
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != 2:
        return False
    return not any(isinstance(side, (str, Sequence)) for side in value)


def _ids_of_query(value: object) -> tuple[str, ...] | None:
    ids = _tuple_of_values(value, str, UUID)
    if ids is None:
        return None
    for id in ids:
        if not is_uuid(id):
            raise UsageError(f"an id is a UUID as in the column id, not {id!r}")
    return tuple(dict.fromkeys(str(UUID(str(id))) for id in ids))


def is_uuid(value: object) -> bool:
    """Return whether the value is a UUID or the text of one."""
    try:
        UUID(str(value))
    except ValueError:
        return False
    return True
