"""Which rows of a frame a gallery shows: by words, by facets, in some order."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from imagen_nb.frames.prompt_search import PromptSearch
from imagen_nb.frames.words import EVERY_PROMPT, SearchWords
from imagen_nb.storage.tags import RATINGS, REJECT
from imagen_nb.widgets.facets import (
    Facet,
    MultiFacet,
    SingleFacet,
    facet_of_column,
    facet_of_lists,
    facet_of_pairs,
    single_facet,
    texts_of_column,
    with_rows_replaced,
)
from imagen_nb.widgets.ordering import (
    DATE,
    RATING,
    GalleryOrder,
    facet_of_days,
    moments_of,
    order_as_given,
    order_of,
    runs_of,
)

if TYPE_CHECKING:
    import pandas as pd

    Positions = npt.NDArray[np.int32]
    Mask = npt.NDArray[np.bool_]

FACETS = (
    "backend",
    "model",
    "tag",
    "rating",
    "size",
    "steps",
    "guidance",
    "scheduler",
    "lora",
    "day",
)
_DETAILED = ("guidance", "scheduler", "lora")  # facets of what only records have
_MAX_VALUES_PER_FACET = 1000  # the most frequent


@dataclass(frozen=True, slots=True)
class GalleryFilters:
    """What a picture must be like.

    words: what must occur in its prompt.
    chosen: by facet, the values of which it must have one; none lets every value pass.
    hides_rejects: whether one that is tagged `reject` does not pass.
    """

    words: SearchWords = EVERY_PROMPT
    chosen: Mapping[str, Sequence[str]] = field(default_factory=dict)
    hides_rejects: bool = False


class RowSearch:
    """Finds and counts the rows of a frame, by position.

    Args:
        frame: it is never changed.
        details: of the first rows, what only records have; None if it is not known.
        changed_tags: of rows whose tags are no longer those of the frame.
        gone: rows that are no longer found.
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        details: pd.DataFrame | None = None,
        changed_tags: Mapping[int, tuple[str, ...]] | None = None,
        gone: Collection[int] = (),
    ) -> None:
        self._frame = frame
        self._details = details
        self._changed_tags = dict(changed_tags or {})
        self._gone = [*gone]
        self._facets: dict[str, Facet] = {}
        self._prompts: PromptSearch | None = None
        self._last_words: tuple[SearchWords, Mask] | None = None
        self._last_order: tuple[GalleryOrder, Positions | None] | None = None

    def order_as_given(self) -> GalleryOrder:
        """Return the order that the frame has."""
        if DATE not in self._frame.columns:
            return GalleryOrder()
        return order_as_given(moments_of(self._frame[DATE]))

    def take_details(self, details: pd.DataFrame) -> None:
        """Use these from now on."""
        self._details = details
        self._facets = {n: f for n, f in self._facets.items() if n not in _DETAILED}

    def retag(self, at: Sequence[int], tags: Sequence[tuple[str, ...]]) -> None:
        """Take over what the tags of these rows are now."""
        self._changed_tags |= dict(zip(at, tags, strict=True))
        known = self._facets.get("tag")
        if isinstance(known, MultiFacet):
            self._facets["tag"] = with_rows_replaced(known, at, tags)
        self._facets.pop("rating", None)
        self._last_order = None

    def forget(self, gone: Collection[int]) -> None:
        """Find these rows no longer, and those that were gone before, again."""
        self._gone = [*gone]

    def find(
        self,
        filters: GalleryFilters,
        order: GalleryOrder,
        go_on: Callable[[], bool] = lambda: True,
    ) -> Positions | None:
        """Return what passes, in order; None if `go_on`, asked now and then, said no."""
        mask = self._base(filters, go_on)
        if mask is None:
            return None
        for name, values in filters.chosen.items():
            mask = mask & self._facet(name).having(values)
        ordered = self._ordered(order)
        if ordered is None:
            return np.flatnonzero(mask).astype(np.int32)
        return ordered[mask[ordered]]

    def days(self, positions: Positions, order: GalleryOrder) -> list[tuple[str, int]]:
        """Return the days that head these rows, each with how many rows it has.

        Nothing if they are not in the order of their dates.
        """
        days = self._facet("day")
        if order.by != DATE or not isinstance(days, SingleFacet):
            return []
        return runs_of(days, positions)

    @property
    def is_counted(self) -> bool:
        """Whether all facets are known, so that `counts` is quick."""
        return len(self._facets) == len(FACETS)

    def counts(self, filters: GalleryFilters) -> dict[str, list[tuple[str, int]]]:
        """Count, by facet, how many rows have each of its values.

        Rows count that pass the filters of the words and of all other facets: so many
        would be shown if that value was chosen.
        """
        base = self._base(filters)
        assert base is not None
        masks = {
            name: self._facet(name).having(values)
            for name, values in filters.chosen.items()
        }
        every = np.logical_and.reduce([base, *masks.values()])
        counts = {}
        for name in FACETS:
            facet = self._facet(name)
            others = [mask for other, mask in masks.items() if other != name]
            mask = np.logical_and.reduce([base, *others]) if name in masks else every
            pairs = [*zip(facet.values, facet.count(mask), strict=True)]
            shown = [pair for pair in pairs if name != "tag" or pair[0] not in RATINGS]
            is_telling = name in masks or [value for value, _ in shown] != [""]
            counts[name] = shown[:_MAX_VALUES_PER_FACET] if is_telling else []
        return counts

    def _base(
        self, filters: GalleryFilters, go_on: Callable[[], bool] = lambda: True
    ) -> Mask | None:
        """Return what passes but for the chosen facets; None if `go_on` said no."""
        mask = self._with_words(filters.words, go_on)
        if mask is None:
            return None
        if filters.hides_rejects:
            mask = mask & ~self._facet("tag").having([REJECT])
        if self._gone:
            mask = mask.copy()
            mask[self._gone] = False
        return mask

    def _with_words(self, words: SearchWords, go_on: Callable[[], bool]) -> Mask | None:
        if not words:
            return np.ones(len(self._frame), dtype=bool)
        if self._last_words is None or self._last_words[0] != words:
            if self._prompts is None:
                self._prompts = PromptSearch(texts_of_column(self._column("prompt")))
            mask = self._prompts.find(words, go_on)
            if mask is None:
                return None
            self._last_words = (words, mask)
        return self._last_words[1]

    def _ordered(self, order: GalleryOrder) -> Positions | None:
        if self._last_order is None or self._last_order[0] != order:
            is_given = order == self.order_as_given()
            ratings = self._ratings() if order.by == RATING else np.zeros(0, np.int8)
            ordered = None if is_given else order_of(self._frame, ratings, order)
            self._last_order = (order, ordered)
        return self._last_order[1]

    def _facet(self, name: str) -> Facet:
        if name not in self._facets:
            self._facets[name] = self._new_facet(name)
        return self._facets[name]

    def _new_facet(self, name: str) -> Facet:
        match name:
            case "tag":
                return self._new_tags()
            case "rating":
                stars = [str(stars or "") for stars in range(6)]
                return single_facet(self._ratings().astype(np.int32), stars, _downwards)
            case "size":
                sides = (self._column("width"), self._column("height"))
                return facet_of_pairs(*sides, "×", str)
            case "day":
                return facet_of_days(self._column(DATE))
            case "lora" if self._has("loras"):
                return facet_of_lists(self._column("loras"), len(self._frame))
            case _ if self._has(name):
                return facet_of_column(self._column(name), _number_or_text)
            case _:
                return SingleFacet(np.zeros(len(self._frame), np.int32), [""])

    def _new_tags(self) -> MultiFacet:
        facet = facet_of_lists(self._column("tags"), len(self._frame))
        changed = self._changed_tags
        if not changed:
            return facet
        return with_rows_replaced(facet, [*changed], [*changed.values()])

    def _ratings(self) -> npt.NDArray[np.int8]:
        """Return the stars of each row; 0 of one without a rating."""
        tags = self._facet("tag")
        ratings = np.zeros(len(self._frame), np.int8)
        for stars, tag in enumerate(RATINGS, 1):
            ratings[tags.having([tag])] = stars
        return ratings

    def _has(self, name: str) -> bool:
        return any(name in frame.columns for frame in self._frames())

    def _column(self, name: str) -> pd.Series[Any]:
        import pandas as pd

        for frame in self._frames():
            if name in frame.columns:
                return frame[name]
        return pd.Series([None] * len(self._frame), dtype=object)

    def _frames(self) -> list[pd.DataFrame]:
        details = self._details
        if details is None or len(details) < len(self._frame):  # of some rows only
            return [self._frame]
        return [self._frame, details]


def _downwards(stars: str) -> int:
    return -int(stars or 0)


def _number_or_text(value: str) -> tuple[float, str]:
    try:
        return float(value), value
    except ValueError:
        return float("inf"), value
