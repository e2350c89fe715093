"""Keeps the answers of a duel as votes, in their order, and takes them back."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from imagen_nb.errors import UsageError
from imagen_nb.frames.judging.pairs import Pair
from imagen_nb.storage.votes import Vote, VoteOutcome
from imagen_nb.studio.default import studio


@dataclass(slots=True, eq=False)
class Answer:
    """What somebody answered to a pair.

    `seconds`: between showing the pair and the answer, if it is known. `vote`: once it
    is kept.
    """

    pair: Pair
    outcome: VoteOutcome
    seconds: float | None = None
    vote: Vote | None = None


class VoteKeeper:
    """Keeps answers to one question, by one voter, through the default session.

    Invariant: what cannot be done now is done, in its order, before what comes next.
    For one thread.
    """

    def __init__(self, question: str, voter: str) -> None:
        self._question, self._voter = question, voter
        self._waiting: deque[tuple[Callable[[Answer], None], Answer]] = deque()

    def __len__(self) -> int:
        """How many are not done yet."""
        return len(self._waiting)

    def keep(self, answer: Answer) -> None:
        """Keep it. Raises `StorageError` if that cannot be done now."""
        self._waiting.append((self._keep, answer))
        self.catch_up()

    def take_back(self, answer: Answer) -> None:
        """Take it back. Raises `StorageError` if that cannot be done now."""
        self._waiting.append((self._take_back, answer))
        self.catch_up()

    def catch_up(self) -> None:
        """Do what is waiting, as far as that can be done. Raises `StorageError`."""
        while self._waiting:
            do, answer = self._waiting[0]
            try:
                do(answer)
            except UsageError:  # which will not pass
                self._waiting.popleft()
                raise
            self._waiting.popleft()

    def _keep(self, answer: Answer) -> None:
        answer.vote = studio().vote(
            answer.pair.left,
            answer.pair.right,
            answer.outcome,
            question=self._question,
            voter=self._voter,
            seconds=answer.seconds,
        )

    def _take_back(self, answer: Answer) -> None:
        if answer.vote is not None:
            studio().unvote(answer.vote)
