"""Votes as numbers: who was compared with whom, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imagen_nb.errors import UsageError
from imagen_nb.system.spelling import describe_meant

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from imagen_nb.frames.judging.outcomes import Floats, Integers

OUTCOMES = {"left": 1.0, "tie": 0.5, "right": 0.0, "skip": float("nan")}
_MOST_NAMED = 5  # questions, in an error


@dataclass(frozen=True, slots=True, eq=False)
class Comparisons:
    """Votes on pictures, in the order in which they were given.

    `items`: the pictures' ids. `left`, `right`: places in `items`; `outcome`: 1 where the
    left one is better, 0 the right one, 0.5 for a tie, NaN where it was skipped;
    `voter`: names. All (votes,). `outside`: how many votes were left out because a
    picture of theirs is not among the items.
    """

    items: tuple[str, ...]
    left: Integers
    right: Integers
    outcome: Floats
    voter: NDArray[np.object_]
    outside: int

    def where(self, chosen: NDArray[np.bool_]) -> Comparisons:
        """Return some of the votes."""
        return Comparisons(
            self.items,
            self.left[chosen],
            self.right[chosen],
            self.outcome[chosen],
            self.voter[chosen],
            self.outside,
        )

    def decided(self) -> Comparisons:
        """Return the votes that were not skipped."""
        import numpy as np

        return self.where(~np.isnan(self.outcome))

    def voters(self) -> list[str]:
        """Return who voted, those with most votes first."""
        import pandas as pd

        counts = pd.Series(self.voter, dtype=object).value_counts(sort=False)
        return sorted(counts.index, key=lambda voter: (-counts[voter], str(voter)))


def ids_of_rows(frame: pd.DataFrame) -> list[str]:
    """Return the id of each row as text; "" where there is none."""
    return _id_texts(frame["id"])


def with_distinct_ids(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that have an id, the first of each id."""
    import pandas as pd

    ids = pd.Series(ids_of_rows(frame), dtype=object)
    return frame[((ids != "") & ~ids.duplicated()).to_numpy()]


def compare(items: Iterable[str], votes: pd.DataFrame) -> Comparisons:
    """Return votes on these pictures; those on others are counted and left out.

    A vote of an id that was there before, one on a picture and itself, and one that lacks
    a picture are left out too.

    Args:
        items: ids; "" and repeated ones are left out.
        votes: as of `im.votes()`: needs `left`, `right` and `outcome`; `id`, `voter` and
            `question` may be missing.

    Raises:
        UsageError: for a frame that is none of votes, or of votes on several questions.
    """
    import numpy as np
    import pandas as pd

    _require_votes(votes)
    known = tuple(dict.fromkeys(item for item in items if item))
    if "id" in votes.columns:
        votes = votes[votes["id"].isna() | ~votes["id"].astype(str).duplicated()]
    index = pd.Index(known, dtype=object)
    left = index.get_indexer(pd.Index(_id_texts(votes["left"]), dtype=object))
    right = index.get_indexer(pd.Index(_id_texts(votes["right"]), dtype=object))
    outcome = _outcomes(votes["outcome"])
    complete = (votes["left"].notna() & votes["right"].notna()).to_numpy()
    inside = (left >= 0) & (right >= 0)
    chosen = complete & inside & (left != right)
    return Comparisons(
        known,
        left[chosen].astype(np.int64),
        right[chosen].astype(np.int64),
        outcome[chosen],
        _voters(votes)[chosen],
        int((complete & ~inside).sum()),
    )


def _require_votes(votes: Any) -> None:
    import pandas as pd

    if not isinstance(votes, pd.DataFrame):
        raise UsageError(f"votes is a frame of im.votes(), not {type(votes).__name__}")
    lacking = [name for name in ("left", "right", "outcome") if name not in votes]
    if lacking:
        raise UsageError(
            f"these votes lack {', '.join(lacking)}: give a frame of im.votes()"
        )
    if "question" not in votes.columns:
        return
    questions = votes["question"].dropna().unique().tolist()
    if len(questions) > 1:
        named = ", ".join(repr(question) for question in questions[:_MOST_NAMED])
        raise UsageError(
            f"these votes answer {len(questions)} questions ({named}): choose one by"
            " question="
        )


def _outcomes(outcomes: pd.Series[Any]) -> Floats:
    import numpy as np

    values = outcomes.astype(object).tolist()
    wrong = [one for one in dict.fromkeys(map(str, values)) if one not in OUTCOMES]
    if wrong:
        raise UsageError(
            f"an outcome is one of {', '.join(OUTCOMES)}, not {wrong[0][:40]!r}"
            f"{describe_meant(wrong[0], OUTCOMES)}"
        )
    return np.array([OUTCOMES[value] for value in values], dtype=np.float64)


def _voters(votes: pd.DataFrame) -> NDArray[np.object_]:
    import numpy as np

    if "voter" not in votes.columns:
        return np.full(len(votes), "", dtype=object)
    return np.array(_id_texts(votes["voter"]), dtype=object)


def _id_texts(values: Sequence[Any] | pd.Series[Any]) -> list[str]:
    """Return values as text: ids are UUIDs here, texts there; "" for what is missing."""
    import pandas as pd

    missing = pd.isna(pd.Series(values, dtype=object)).tolist()
    return ["" if gone else str(one) for one, gone in zip(values, missing, strict=True)]
