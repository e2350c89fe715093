"""What a view of a gallery asks to be shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from imagen_nb.frames.words import parse_search_words
from imagen_nb.widgets.filtering import FACETS, GalleryFilters
from imagen_nb.widgets.ordering import LIKENESS, GalleryOrder


@dataclass(frozen=True, slots=True)
class GalleryQuestion:
    """Which pictures a view wants, in which order.

    Attributes:
        words: as they were typed.
        is_meant: whether the words are looked for by their meaning, not as words.
        like: the position of the picture that others shall be like; None for none.
        chosen: by facet, the values that may hold.
        hides_rejects: whether pictures that are tagged `reject` are left out.
        order: by a column or the like; None for the order of before, or by score.
        keep: whether what one looks at stays where it is.
    """

    words: str = ""
    is_meant: bool = False
    like: int | None = None
    chosen: Mapping[str, Sequence[str]] = field(default_factory=dict)
    hides_rejects: bool = False
    order: GalleryOrder | None = None
    keep: bool = False

    @property
    def is_ranked(self) -> bool:
        """Whether pictures are looked for that are like something."""
        return self.like is not None or (self.is_meant and bool(self.words.strip()))

    @property
    def filters(self) -> GalleryFilters:
        """What a picture must be like, besides."""
        words = parse_search_words("" if self.is_meant else self.words)
        return GalleryFilters(words, self.chosen, self.hides_rejects)


def question_of(message: Mapping[str, Any], count: int) -> GalleryQuestion:
    """Return what a view's message asks of `count` rows."""
    like = message.get("like")
    is_row = type(like) is int and 0 <= like < count
    return GalleryQuestion(
        words=str(message.get("words", "")),
        is_meant=message.get("meant") is True,
        like=like if is_row else None,
        chosen=_requested_facets(message.get("chosen")),
        hides_rejects=message.get("hides_rejects") is True,
        order=_requested_order(message),
        keep=message.get("keep") is True,
    )


def _requested_order(message: Mapping[str, Any]) -> GalleryOrder | None:
    by = message.get("sort", LIKENESS)
    if by == LIKENESS:
        return None
    return GalleryOrder(str(by), message.get("descending") is True)


def _requested_facets(chosen: Any) -> dict[str, list[str]]:
    """Return the values of facets that a view's message asks for."""
    if not isinstance(chosen, dict):
        return {}
    return {name: [*map(str, chosen[name])] for name in FACETS if chosen.get(name)}
