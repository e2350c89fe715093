"""Which rows of a gallery are shown, and what its views are told of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from imagen_nb.storage.record import short_id
from imagen_nb.widgets.filtering import GalleryFilters
from imagen_nb.widgets.ordering import LIKENESS, GalleryOrder
from imagen_nb.widgets.question import GalleryQuestion
from imagen_nb.widgets.ranking import Ranking
from imagen_nb.widgets.rows import MANY_ROWS, GalleryRows, packed_positions

if TYPE_CHECKING:
    from imagen_nb.widgets.filtering import Positions

_BY_SCORE = GalleryOrder(LIKENESS, descending=True)


class ShownRows:
    """The rows that are shown, by the question that was answered last.

    Nothing but a question changes them: what is rated stays in view.

    Attributes:
        positions: of the rows, in the order in which they are shown.
    """

    def __init__(self, rows: GalleryRows, order: GalleryOrder) -> None:
        """`order`: of the first question, and after what is ranked."""
        self._rows = rows
        self._question = GalleryQuestion()
        self._ranking: Ranking | None = None
        self._order = order  # while there is no ranking
        self.positions: Positions = np.arange(len(rows), dtype=np.int32)

    @property
    def filters(self) -> GalleryFilters:
        """What the shown rows are like."""
        return self._question.filters

    def answer(
        self,
        question: GalleryQuestion,
        ranking: Ranking | None,
        go_on: Callable[[], bool],
    ) -> bool:
        """Show what is asked for; return False, and change nothing, if `go_on` said no."""
        order = question.order or self._order
        found = self._find(question, ranking, order, go_on)
        if found is None:
            return False
        self._question, self._ranking, self._order = question, ranking, order
        self.positions = found
        return True

    def find_again(self) -> Positions:
        """Return what the last question would find now."""
        found = self._find(self._question, self._ranking, self._order, lambda: True)
        assert found is not None
        return found

    def _find(
        self,
        question: GalleryQuestion,
        ranking: Ranking | None,
        order: GalleryOrder,
        go_on: Callable[[], bool],
    ) -> Positions | None:
        found = self._rows.search.find(question.filters, order, go_on)
        if found is None or ranking is None:
            return found
        best = ranking.best_of(found)
        return best if question.order is None else found[np.isin(found, best)]

    def facts(self) -> tuple[dict[str, Any], list[bytes], bool]:
        """Return what views are told: facts, positions, scores if any; and if facets lack.

        Those of very many rows, which take longer than the first screen, come after it.
        """
        search, question = self._rows.search, self._question
        later = len(self._rows) > MANY_ROWS and not search.is_counted
        rows, is_packed = packed_positions(self.positions, len(self._rows))
        order = self._shown_order()
        facts = {
            "packed": is_packed,
            "count": len(self.positions),
            "total": self._rows.total,
            "facets": {} if later else search.counts(self.filters),
            "chosen": dict(question.chosen),
            "words": question.words,
            "meant": question.is_meant,
            "like": self._like(),
            "note": self._ranking.note if self._ranking else "",
            "hides_rejects": question.hides_rejects,
            "sorts": self._sorts(),
            "sort": order.by,
            "descending": order.descending,
            "days": search.days(self.positions, order),
        }
        return facts, [rows, *self._scores()], later

    def _shown_order(self) -> GalleryOrder:
        is_by_score = self._ranking is not None and self._question.order is None
        return _BY_SCORE if is_by_score else self._order

    def _sorts(self) -> list[tuple[str, str]]:
        return [*([(LIKENESS, "score")] if self._ranking else []), *self._rows.sorts]

    def _scores(self) -> list[bytes]:
        ranking = self._ranking
        return [] if ranking is None else [ranking.scores[self.positions].tobytes()]

    def _like(self) -> dict[str, Any] | None:
        at = self._question.like
        return None if at is None else {"at": at, "id": short_id(self._rows.id_of(at))}
