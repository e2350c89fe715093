"""The rows of a frame as a gallery sees them: what is told of each, and which pass its filters."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from imagen_nb.frames.pictures.locate import Place, places
from imagen_nb.frames.schema import require
from imagen_nb.frames.values import plain, sidecar
from imagen_nb.frames.words import EVERY, Words
from imagen_nb.storage.tags import TagChange
from imagen_nb.system.markup import cut

if TYPE_CHECKING:
    import pandas as pd

    Positions = npt.NDArray[np.int32]
    Mask = npt.NDArray[np.bool_]

FACETS = ("backend", "model", "tag", "size", "day")
_VALUES = 1000  # of one facet, the most frequent (of days: the newest)
_TOLD = ("prompt", "seed", "backend", "size", "day")
_UNTOLD = ("sidecar", "prompt", "owner_user_id", "prompt_hash")  # when enlarged


@dataclass(frozen=True, slots=True)
class Filters:
    """What a picture must be like: of each facet one of the values, if there are any."""

    words: Words = EVERY
    chosen: Mapping[str, Sequence[str]] = field(default_factory=dict)


class Rows:
    """A frame's rows, by position. Invariant: the frame is never changed, tags are a copy."""

    def __init__(self, frame: pd.DataFrame) -> None:
        """Raises `UsageError` when the frame has no pictures' columns."""
        require(frame, "id", "storage_path", "local_path")
        self._frame = frame
        self._tags = [_tags(value) for value in self._column("tags")]

    def __len__(self) -> int:
        return len(self._frame)

    def frame(self, positions: Positions) -> pd.DataFrame:
        """These rows, in the frame's order, with the tags as they are by now."""
        ordered = np.sort(positions)
        found = self._frame.iloc[ordered].copy(deep=False)
        if "tags" in found.columns:
            tags = np.empty(len(ordered), dtype=object)
            for place, position in enumerate(ordered):
                tags[place] = [*self._tags[position]]
            found["tags"] = tags
        return found

    def places(self, positions: Sequence[int]) -> list[Place]:
        """Where these pictures are."""
        return places(self._frame.iloc[[*positions]])

    def told(self, positions: Sequence[int]) -> dict[str, list[Any]]:
        """What is shown of these with their thumbnails, by column."""
        columns: dict[str, list[Any]] = {
            name: [self._values[name][position] for position in positions]
            for name in _TOLD
        }
        columns["prompt"] = [cut(text) for text in columns["prompt"]]
        return columns | {"tags": [[*self._tags[position]] for position in positions]}

    def whole(self, position: int) -> dict[str, Any]:
        """All that an enlarged picture is shown with."""
        row = self._frame.iloc[position].to_dict()
        row["tags"] = ", ".join(self._tags[position])
        record = sidecar(row.get("sidecar")) or {}
        more = {name: value for name, value in record.items() if name not in row}
        facts: dict[Any, Any] = {**row, **more}
        lines = [
            [str(name), text_of(value)]
            for name, value in facts.items()
            if name not in _UNTOLD and plain(value) not in (None, "", {}, [])
        ]
        return {"prompt": text_of(row.get("prompt")), "facts": lines}

    def retag(
        self, positions: Iterable[int], change: TagChange
    ) -> dict[str, list[Any]]:
        """Change the tags of these; gives them."""
        at = [*positions]
        for position in at:
            self._tags[position] = change.apply_to(self._tags[position])
        return {"at": at, "tags": [[*self._tags[position]] for position in at]}

    def found(self, filters: Filters) -> Positions:
        """The positions of those that pass."""
        return np.flatnonzero(self._passing(filters)).astype(np.int32)

    def counts(self, filters: Filters) -> dict[str, list[tuple[str, int]]]:
        """By facet, how many have each of its values and pass the filters of all other facets."""
        found = {}
        for name in FACETS:
            others = {n: values for n, values in filters.chosen.items() if n != name}
            passing = self._passing(Filters(filters.words, others))
            found[name] = self._count(name, passing)
        return found

    def _count(self, name: str, passing: Mask) -> list[tuple[str, int]]:
        if name == "tag":
            pairs = [
                (value, int(passing[at].sum())) for value, at in self._tagged().items()
            ]
            return sorted(pairs)[:_VALUES]
        codes, values = self._codes(name)
        counts = np.bincount(codes[passing & (codes >= 0)], minlength=len(values))
        return [
            (value, int(count)) for value, count in zip(values, counts, strict=True)
        ][:_VALUES]

    def _passing(self, filters: Filters) -> Mask:
        mask = self._said(filters.words).copy()
        for name, wanted in filters.chosen.items():
            if wanted and name in FACETS:
                mask &= self._has(name, wanted)
        return mask

    def _said(self, words: Words) -> Mask:
        if not words:
            return np.ones(len(self), dtype=bool)
        prompts = self._values["prompt"]
        return np.fromiter(map(words.found_in, prompts), dtype=bool, count=len(prompts))

    def _has(self, name: str, wanted: Sequence[str]) -> Mask:
        if name == "tag":
            mask = np.zeros(len(self), dtype=bool)
            for value in wanted:
                mask[self._tagged().get(value, [])] = True
            return mask
        codes, values = self._codes(name)
        return np.isin(
            codes, [number for number, value in enumerate(values) if value in wanted]
        )

    def _tagged(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for position, tags in enumerate(self._tags):
            for tag in tags:
                found.setdefault(tag, []).append(position)
        return found

    @functools.cached_property
    def _values(self) -> dict[str, list[Any]]:
        """What is told of all rows; texts, and numbers as text: a browser would round a seed."""
        columns = {
            name: self._column(name) for name in ("prompt", "seed", "backend", "model")
        }
        found: dict[str, list[Any]] = {
            name: [*map(text_of, values)] for name, values in columns.items()
        }
        sides = zip(self._column("width"), self._column("height"), strict=True)
        found["size"] = ["×".join(filter(None, map(text_of, pair))) for pair in sides]
        return found | {"day": self._days()}

    def _days(self) -> list[str]:
        import pandas as pd

        if "created_at" not in self._frame.columns:
            return [""] * len(self)
        times = pd.to_datetime(self._frame["created_at"], utc=True, errors="coerce")
        local = times.dt.tz_convert(datetime.now().astimezone().tzinfo).dt.tz_localize(
            None
        )
        days = local.to_numpy("datetime64[D]")
        return [*np.where(np.isnat(days), "", np.datetime_as_string(days)).tolist()]

    def _codes(self, name: str) -> tuple[npt.NDArray[np.int64], list[str]]:
        """The number of each row's value, and the values: most frequent first, days newest."""
        if name not in self._known:
            self._known[name] = self._coded(name)
        return self._known[name]

    def _coded(self, name: str) -> tuple[npt.NDArray[np.int64], list[str]]:
        values = self._values[name]
        counted: dict[str, int] = {}
        for value in values:
            counted[value] = counted.get(value, 0) + 1
        order = (
            sorted(counted, reverse=True)
            if name == "day"
            else sorted(counted, key=lambda v: (-counted[v], v))
        )
        numbers = {value: number for number, value in enumerate(order)}
        return np.fromiter(
            (numbers[value] for value in values), np.int64, len(values)
        ), order

    @functools.cached_property
    def _known(self) -> dict[str, tuple[npt.NDArray[np.int64], list[str]]]:
        return {}

    def _column(self, name: str) -> Sequence[Any]:
        if name not in self._frame.columns:
            return [None] * len(self)
        return self._frame[name].tolist()


def text_of(value: Any) -> str:
    """A value as a browser can be told it: text, nothing for what is missing."""
    if isinstance(value, str) and value.isascii():
        return value  # nearly all
    found = plain(value)
    if found is None:
        return ""
    if isinstance(found, float) and found.is_integer():
        found = int(found)
    shown = ", ".join(map(str, found)) if isinstance(found, list) else str(found)
    return shown.encode(
        "utf-8", "replace"
    ).decode()  # half of a surrogate pair is no text


def _tags(value: Any) -> tuple[str, ...]:
    found = plain(value)
    return tuple(map(text_of, found)) if isinstance(found, list) else ()
