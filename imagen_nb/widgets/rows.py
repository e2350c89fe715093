"""The rows of a frame as a gallery shows them: facts, and which pass its filters."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from imagen_nb.frames.pictures.locate import PictureLocation, locate_pictures
from imagen_nb.frames.schema import parse_sidecar, plain_value, require_columns
from imagen_nb.frames.words import EVERY_PROMPT, SearchWords
from imagen_nb.storage.tags import TagChange
from imagen_nb.system.markup import truncated

if TYPE_CHECKING:
    import pandas as pd

    Positions = npt.NDArray[np.int32]
    Mask = npt.NDArray[np.bool_]
    Codes = tuple[npt.NDArray[np.int64], list[str]]

FACETS = ("backend", "model", "tag", "size", "day")
_MAX_VALUES_PER_FACET = 1000  # the most frequent (of days: the newest)
_CARD_FIELDS = ("prompt", "seed", "backend", "size", "day")
_OMITTED_FACTS = ("sidecar", "prompt", "owner_user_id", "prompt_hash")  # when enlarged


@dataclass(frozen=True, slots=True)
class GalleryFilters:
    """What a picture must be like.

    words: what must occur in its prompt.
    chosen: by facet, the values of which it must have one; none lets every value pass.
    """

    words: SearchWords = EVERY_PROMPT
    chosen: Mapping[str, Sequence[str]] = field(default_factory=dict)


class GalleryRows:
    """A frame's rows, by position.

    Invariant: the frame is never changed, and the tags are a copy. Raises `UsageError`
    when the frame has no pictures' columns.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        require_columns(frame, "id", "storage_path", "local_path")
        self._frame = frame
        self._tags = [_tags_of_cell(value) for value in self._column("tags")]

    def __len__(self) -> int:
        return len(self._frame)

    def frame(self, positions: Positions) -> pd.DataFrame:
        """Return these rows, in the frame's order, with the tags as they are by now."""
        ordered = np.sort(positions)
        rows = self._frame.iloc[ordered].copy(deep=False)
        if "tags" in rows.columns:
            tags = np.empty(len(ordered), dtype=object)
            for place, position in enumerate(ordered):
                tags[place] = [*self._tags[position]]
            rows["tags"] = tags
        return rows

    def places(self, positions: Sequence[int]) -> list[PictureLocation]:
        """Return where these pictures are."""
        return locate_pictures(self._frame.iloc[[*positions]])

    def card_facts(self, positions: Sequence[int]) -> dict[str, list[Any]]:
        """Return what is shown of these beside their thumbnails, by column."""
        columns: dict[str, list[Any]] = {
            name: [self._values[name][position] for position in positions]
            for name in _CARD_FIELDS
        }
        columns["prompt"] = [truncated(text) for text in columns["prompt"]]
        return columns | {"tags": [[*self._tags[position]] for position in positions]}

    def all_facts(self, position: int) -> dict[str, Any]:
        """Return the `prompt` and all other `facts`, for an enlarged picture."""
        row = self._frame.iloc[position].to_dict()
        row["tags"] = ", ".join(self._tags[position])
        record = parse_sidecar(row.get("sidecar")) or {}
        others = {name: value for name, value in record.items() if name not in row}
        facts: dict[Any, Any] = {**row, **others}
        lines = [
            [str(name), browser_text(value)]
            for name, value in facts.items()
            if name not in _OMITTED_FACTS
            and plain_value(value) not in (None, "", {}, [])
        ]
        return {"prompt": browser_text(row.get("prompt")), "facts": lines}

    def retag(
        self, positions: Iterable[int], change: TagChange
    ) -> dict[str, list[Any]]:
        """Change the tags of these, and return both: `at`, positions, and `tags`."""
        at = [*positions]
        for position in at:
            self._tags[position] = change.apply_to(self._tags[position])
        return {"at": at, "tags": [[*self._tags[position]] for position in at]}

    def passing(self, filters: GalleryFilters) -> Positions:
        """Return the positions of the rows that pass."""
        return np.flatnonzero(self._mask(filters)).astype(np.int32)

    def counts(self, filters: GalleryFilters) -> dict[str, list[tuple[str, int]]]:
        """Count, by facet, how many rows have each of its values.

        Rows count that pass the filters of the words and of all other facets: so many
        would be shown if that value was chosen.
        """
        counts = {}
        for name in FACETS:
            others = {n: values for n, values in filters.chosen.items() if n != name}
            mask = self._mask(GalleryFilters(filters.words, others))
            counts[name] = self._count(name, mask)[:_MAX_VALUES_PER_FACET]
        return counts

    def _count(self, name: str, mask: Mask) -> list[tuple[str, int]]:
        if name == "tag":
            by_tag = self._positions_by_tag().items()
            return sorted((tag, int(mask[at].sum())) for tag, at in by_tag)
        codes, values = self._codes(name)
        counts = np.bincount(codes[mask & (codes >= 0)], minlength=len(values))
        return [*zip(values, map(int, counts), strict=True)]

    def _mask(self, filters: GalleryFilters) -> Mask:
        mask = self._has_words(filters.words)
        for name, values in filters.chosen.items():
            if values and name in FACETS:
                mask &= self._has_value(name, values)
        return mask

    def _has_words(self, words: SearchWords) -> Mask:
        if not words:
            return np.ones(len(self), dtype=bool)
        prompts = self._values["prompt"]
        return np.fromiter(map(words.found_in, prompts), dtype=bool, count=len(prompts))

    def _has_value(self, name: str, chosen: Sequence[str]) -> Mask:
        if name == "tag":
            by_tag = self._positions_by_tag()
            mask = np.zeros(len(self), dtype=bool)
            for tag in chosen:
                mask[by_tag.get(tag, [])] = True
            return mask
        codes, values = self._codes(name)
        return np.isin(codes, [n for n, value in enumerate(values) if value in chosen])

    def _positions_by_tag(self) -> dict[str, list[int]]:
        positions: dict[str, list[int]] = {}
        for position, tags in enumerate(self._tags):
            for tag in tags:
                positions.setdefault(tag, []).append(position)
        return positions

    @functools.cached_property
    def _values(self) -> dict[str, list[Any]]:
        """Texts of all rows, by field; numbers are texts, as browsers round seeds."""
        values: dict[str, list[Any]] = {
            name: [*map(browser_text, self._column(name))]
            for name in ("prompt", "seed", "backend", "model")
        }
        sides = zip(self._column("width"), self._column("height"), strict=True)
        values["size"] = [
            "×".join(filter(None, map(browser_text, pair))) for pair in sides
        ]
        return values | {"day": self._days()}

    def _days(self) -> list[str]:
        import pandas as pd

        if "created_at" not in self._frame.columns:
            return [""] * len(self)
        times = pd.to_datetime(self._frame["created_at"], utc=True, errors="coerce")
        here = times.dt.tz_convert(datetime.now().astimezone().tzinfo)
        days = here.dt.tz_localize(None).to_numpy("datetime64[D]")
        return [*np.where(np.isnat(days), "", np.datetime_as_string(days)).tolist()]

    def _codes(self, name: str) -> Codes:
        """Return the number of each row's value, and the values in order of display."""
        if name not in self._codes_by_facet:
            self._codes_by_facet[name] = _encode_values(
                self._values[name], name == "day"
            )
        return self._codes_by_facet[name]

    @functools.cached_property
    def _codes_by_facet(self) -> dict[str, Codes]:
        return {}

    def _column(self, name: str) -> Sequence[Any]:
        if name not in self._frame.columns:
            return [None] * len(self)
        return self._frame[name].tolist()


def _encode_values(values: Sequence[str], newest_first: bool) -> Codes:
    """Return each value's number, and the values, most frequent or newest first."""
    counts = Counter(values)
    if newest_first:
        order = sorted(counts, reverse=True)
    else:
        order = sorted(counts, key=lambda value: (-counts[value], value))
    numbers = {value: number for number, value in enumerate(order)}
    codes = np.fromiter(map(numbers.__getitem__, values), np.int64, len(values))
    return codes, order


def browser_text(value: Any) -> str:
    """Return a value as a browser can have it: text, empty for what is missing."""
    if isinstance(value, str) and value.isascii():
        return value  # nearly all
    known = plain_value(value)
    if known is None:
        return ""
    if isinstance(known, float) and known.is_integer():
        known = int(known)
    text = ", ".join(map(str, known)) if isinstance(known, list) else str(known)
    return text.encode("utf-8", "replace").decode()  # half a surrogate pair is no text


def _tags_of_cell(value: Any) -> tuple[str, ...]:
    tags = plain_value(value)
    return tuple(map(browser_text, tags)) if isinstance(tags, list) else ()
