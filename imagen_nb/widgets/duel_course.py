"""The course of a duel: what was answered, what that tells, and what to ask next."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from imagen_nb.errors import UsageError
from imagen_nb.frames.judging.comparisons import ids_of_rows, with_distinct_ids
from imagen_nb.frames.judging.duel import DuelState, begin_duel
from imagen_nb.frames.judging.pairs import Pair, next_pair
from imagen_nb.frames.query import is_uuid
from imagen_nb.frames.schema import prompts_of, require_columns
from imagen_nb.widgets.duel_votes import Answer

if TYPE_CHECKING:
    import pandas as pd

_QUICK_UNDOS = 8  # states that are remembered, of up to 8 MB


class DuelCourse:
    """The pictures of a frame, the answers so far, and what these tell.

    For one thread; `state` is never changed, but replaced, and may be read by any.

    Attributes:
        frame: the pictures, each once.
        ids: theirs.
        state: what all answers tell.
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        votes: pd.DataFrame,
        first: int | None,
        within: str | None,
    ) -> None:
        """Begin after these votes.

        Raises:
            UsageError: as `begin_duel`, and where no two pictures can be compared.
        """
        import numpy as np

        self.frame = _judged_pictures(frame)
        self.ids = ids_of_rows(self.frame)
        self._prompts = dict(zip(self.ids, prompts_of(self.frame), strict=True))
        self._first, self._within = first, within
        columns = (votes["left"], votes["right"], votes["outcome"])
        self._before = [*zip(*columns, strict=True)]
        self._answers: list[Answer] = []
        self._earlier: deque[DuelState] = deque(maxlen=_QUICK_UNDOS)
        self._left_out: set[str] = set()
        self._rng = np.random.default_rng()
        self.state = self._begin()
        if not len(self.state.pairs[0]):
            raise UsageError(self.describe_nothing())

    def _begin(self) -> DuelState:
        import numpy as np
        import pandas as pd

        stays = np.array([id not in self._left_out for id in self.ids], dtype=bool)
        answered = [(a.pair.left, a.pair.right, a.outcome) for a in self._answers]
        votes = pd.DataFrame(
            [*self._before, *answered],
            columns=["left", "right", "outcome"],
            dtype=object,
        )
        return begin_duel(
            self.frame[stays], votes, first=self._first, within=self._within
        )

    def answer(self, answer: Answer) -> None:
        """Take an answer into account."""
        self._answers.append(answer)
        self._earlier.append(self.state)
        pair = answer.pair
        if self.compares(pair):
            self.state = self.state.after(pair.left, pair.right, answer.outcome)

    def undo(self, answer: Answer) -> None:
        """Take an answer into account no longer."""
        is_last = self._answers[-1] is answer
        self._answers.remove(answer)
        if is_last and self._earlier:
            self.state = self._earlier.pop()
        else:  # all answers are fitted anew
            self._earlier.clear()
            self.state = self._begin()

    def leave_out(self, ids: Iterable[str]) -> None:
        """Compare these no longer."""
        self._left_out |= set(ids)
        self._earlier.clear()
        self.state = self._begin()

    def compares(self, pair: Pair) -> bool:
        """Return whether neither of the two is left out."""
        return not self._left_out & {pair.left, pair.right}

    def next_pair(self, pending: Sequence[Pair]) -> Pair | None:
        """Return what to ask after these; None where nothing can be compared."""
        return next_pair(self.state, self._rng, pending)

    def shared_prompt(self, pair: Pair) -> str:
        """Return the prompt of both; "" where they have different ones."""
        left, right = self._prompts[pair.left], self._prompts[pair.right]
        return left if left == right else ""

    def leaders(self) -> list[list[str]]:
        """Return the first ones of each group, the best first, by what is known."""
        import numpy as np

        state = self.state
        best = []
        for number in np.unique(state.group):
            members = np.flatnonzero(state.group == number)
            order = members[np.argsort(-state.mean[members], kind="stable")]
            if len(order) > 1:
                chosen = order[: state.first].tolist()
                best.append([state.items[place] for place in chosen])
        return best

    def describe_progress(self, sure: float | None) -> str:
        """Return one line: how many votes there are, and how sure the order is."""
        import numpy as np

        count = int((~np.isnan(self.state.outcome)).sum())
        said = f"{count:,} vote{'s' if count != 1 else ''}"
        if sure is None:
            return said
        percent = min(99, int(100 * sure))  # nobody is quite sure
        return f"{said} · {percent} % sure of {self._order_in_words()}"

    def _order_in_words(self) -> str:
        first = self._first
        several = self._within and len(set(self.state.group.tolist())) > 1
        where = f" of each {self._within}" if several else ""
        if first is None:
            return f"the order{where}"
        return f"{'the best one' if first == 1 else f'the order of the first {first}'}{where}"

    def describe_nothing(self) -> str:
        """Return one line: why no two pictures can be compared."""
        if len(self.state.items) < 2:
            return "a duel needs two pictures or more"
        return (
            f"no two of these pictures have the same {self._within}: within=None compares"
            " all with all"
        )


def _judged_pictures(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows whose pictures can have votes: by UUIDs, each once."""
    import numpy as np

    require_columns(frame, "id", "storage_path", "local_path")
    rows = with_distinct_ids(frame)
    return rows[np.array([is_uuid(id) for id in ids_of_rows(rows)], dtype=bool)]
