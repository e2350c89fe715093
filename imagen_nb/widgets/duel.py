"""Two pictures side by side, blind: which is better? Until the order is sure.

Each view (a copy of the widget on a page) shows the first pair of the line and has the next
one decoded. It says what was answered and shows the next pair at once; the kernel keeps the
vote, chooses another pair, and tells all views by a `turn` which pairs come now.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from imagen_nb.errors import StorageError
from imagen_nb.frames.judging.certainty import SURE, certainty, is_certain
from imagen_nb.frames.judging.pairs import Pair
from imagen_nb.frames.judging.ranking import rank
from imagen_nb.storage.votes import (
    QUESTION,
    VoteOutcome,
    checked_question,
    checked_voter,
    default_voter,
)
from imagen_nb.studio.default import studio
from imagen_nb.system.spelling import known_arguments
from imagen_nb.system.terminal import counted_pictures, print_notice
from imagen_nb.widgets.base import PageWidget
from imagen_nb.widgets.duel_course import DuelCourse
from imagen_nb.widgets.duel_line import AskedPair, DuelLine
from imagen_nb.widgets.duel_pictures import DuelPictures
from imagen_nb.widgets.duel_votes import Answer, VoteKeeper
from imagen_nb.widgets.facets import browser_text
from imagen_nb.widgets.rows import GalleryRows
from imagen_nb.widgets.saved_gallery import SavedGallery
from imagen_nb.widgets.script import script, style
from imagen_nb.widgets.work import BackgroundWork

if TYPE_CHECKING:
    import pandas as pd

    from imagen_nb.frames.judging.duel import DuelState

_MOST_LEADERS = 12  # pictures that are shown at the end
_SAVED_SIDE = 112  # pixels of a thumbnail in the saved notebook


class Duel(PageWidget):
    """Asks which of two pictures is better, until the order of the best ones is sure.

    Two pictures of one prompt stand side by side, without their settings, in an order left
    to chance; those are asked for that teach most. Each answer is kept at once, as
    `im.vote` does. It ends by itself when the order of the first ones is right with a
    probability of 90 %, and may go on then. Votes that there are already on this
    question, by this voter, count: a duel goes on where the last one was left. Pictures
    that cannot be had are left out, and a line says so. A saved notebook keeps the first
    24 thumbnails.

    Keys: Left and Right say which is better, Down or = that neither is, Space or s skips,
    u or Backspace takes the last answer back.

    Args:
        frame: a history, or some of its rows: 2 to 1,000 pictures.
        question: what is asked, at most 200 characters.
        voter: who answers; None is who is logged in, "" is nobody in particular.
        first: how many pictures of each prompt are to be in order; None for all.
        within: pictures with the same value in this column are compared with each other;
            None compares all with all.

    Raises:
        UsageError: when the frame has no pictures' columns, or no two that can be
            compared, or for another argument that is none.

    Example:
        >>> duel = im.Duel(df, first=1)
        >>> duel  # in a cell of its own
        >>> duel.votes[["left", "right", "outcome"]].tail()
        >>> duel.ranking()[["prompt", "seed", "strength", "low", "high"]].head()
        >>> duel.close()
    """

    _esm = script("dom", "wire", "duel")
    _css = style("comparison", "duel")

    @known_arguments
    def __init__(
        self,
        frame: pd.DataFrame,
        question: str = QUESTION,
        *,
        voter: str | None = None,
        first: int | None = 3,
        within: str | None = "prompt",
    ) -> None:
        self._question = checked_question(question)
        self._voter = default_voter() if voter is None else checked_voter(voter)
        votes = studio().votes(self._question, self._voter)
        self._course = DuelCourse(frame, votes, first, within)
        self._rows = GalleryRows(self._course.frame)
        self._pictures = DuelPictures(self._rows, self._course.ids)
        self._keeper = VoteKeeper(self._question, self._voter)
        self._work = BackgroundWork(lambda text: self._tell("trouble", text=text))
        super().__init__()
        self._closed = False
        self._views: set[str] = set()
        self._lock = threading.Lock()  # no view comes up while the threads are ended
        self._line = DuelLine(self._course, self._pictures, self._tell)
        self._answers: list[Answer] = []  # that can be taken back
        self._kept: Future[Any] | None = None  # when the last of them is kept
        self._sure: float | None = None
        self._is_over = self._goes_on = False
        layout = {"size": _SAVED_SIDE, "columns": None}
        self._saved = SavedGallery(self._rows, layout, self._pictures.answered)
        self.on_msg(self._on_message)

    @property
    def votes(self) -> pd.DataFrame:
        """The votes on these pictures, this question, by this voter: as `im.votes`."""
        self._wait_for_votes()
        votes = studio().votes(self._question, self._voter)
        ids = self._course.ids
        chosen = votes["left"].isin(ids) & votes["right"].isin(ids)
        return votes[chosen].reset_index(drop=True)

    def ranking(self) -> pd.DataFrame:
        """Return the pictures, the best first, by these votes: as `im.ranking`.

        Example:
            >>> im.Duel(df, first=1).ranking()[["seed", "strength"]].head()
        """
        return rank(self._course.frame, self.votes)

    def close(self) -> None:
        """End the widget and its threads, once all votes are kept."""
        if self._closed:
            return
        self._closed = True
        if len(self._keeper):
            self._kept = self._work.aside(self._keep, self._keeper.catch_up)
        self._wait_for_votes()
        if len(self._keeper):
            print_notice(f"votes that could not be kept: {len(self._keeper)}")
        self._pictures.answered.set()
        self._work.stop()
        super().close()

    def _wait_for_votes(self) -> None:
        if self._kept is not None:
            self._kept.result()

    def __repr__(self) -> str:
        return f"<Duel of {counted_pictures(len(self._rows))}>"

    def _on_message(self, _: Any, message: Any, __: Any) -> None:
        """Act on a message of a view.

        It comes on a thread of the kernel's: what takes time is done by ours. Votes are
        kept beside the others, so that none waits for a picture.
        """
        if self._closed:
            return
        match message:
            case {"kind": "open", "view": str(view)}:
                with self._lock:
                    self._views.add(view)
                    self._work.in_turn(self._welcome, view)
            case {
                "kind": "vote",
                "key": int(key),
                "outcome": ("left" | "right" | "tie" | "skip") as outcome,
            }:
                self._vote(message, key, outcome)
            case {"kind": "undo"}:
                self._undo(message)
            case {"kind": "go on"}:
                self._work.in_turn(self._go_on, message)
            case {"kind": "left", "view": str(view)}:
                self._views.discard(view)
                self._work.in_turn(self._rest)  # once all that was said is done

    def _vote(self, message: Any, key: int, outcome: VoteOutcome) -> None:
        asked = self._line.take(key)
        if asked is None:  # answered in another view, or left out
            self._work.in_turn(self._send_turn, message)
            return
        answer = Answer(asked.pair, outcome, _seconds_in(message))
        self._answers.append(answer)
        self._kept = self._work.aside(self._keep, self._keeper.keep, answer)
        self._work.in_turn(self._take_answer, message, asked, answer)

    def _undo(self, message: Any) -> None:
        if not self._answers:
            self._work.in_turn(self._send_turn, message)
            return
        answer = self._answers.pop()
        self._kept = self._work.aside(self._keep, self._keeper.take_back, answer)
        self._work.in_turn(self._take_back, message, answer)

    def _keep(self, keep: Callable[..., None], *answers: Answer) -> None:
        """Do what the keeper is to do; say what cannot be done, and when it is."""
        were_waiting = len(self._keeper)
        try:
            keep(*answers)
        except StorageError as error:
            count = len(self._keeper)
            text = f"{error}; not kept yet, and tried again with the next vote: {count}"
            self._tell("trouble", text=text)
        else:
            if were_waiting:
                self._tell("trouble", text="")

    def _welcome(self, view: str) -> None:
        """Send a view that has just come up all that it shows."""
        self._line.send_all(view)
        self._line.fill()
        self._send_turn({"view": view})
        if self._is_over:
            self._send_end()
        self._weigh_soon()

    def _rest(self) -> None:
        """End the threads, unless somebody looks."""
        self._wait_for_votes()
        with self._lock:
            if not self._views:
                self._work.stop()

    def _take_answer(self, message: Any, asked: AskedPair, answer: Answer) -> None:
        self._line.remove(asked)
        self._course.answer(answer)
        self._move_on(message)

    def _take_back(self, message: Any, answer: Answer) -> None:
        """Ask again for the pair whose answer was taken back."""
        self._course.undo(answer)
        self._is_over = False
        if self._course.compares(answer.pair):
            self._line.ask(answer.pair, 0)
        self._move_on(message)

    def _go_on(self, message: Any) -> None:
        self._goes_on, self._is_over = True, False
        self._move_on(message)

    def _move_on(self, message: Any) -> None:
        self._line.fill()
        self._send_turn(message)
        self._weigh_soon()

    def _send_turn(self, message: Any) -> None:
        """Send all views which pairs come now.

        The view that said something is told which of its messages that answers.
        """
        self._tell(
            "turn",
            view=message.get("view"),
            sent=message.get("sent", 0),
            line=self._line.keys(),
            over=self._is_over,
            question=self._question,
            text=self._progress(),
        )

    def _progress(self) -> str:
        if not self._line.keys():
            return self._course.describe_nothing()
        return self._course.describe_progress(self._sure)

    def _weigh_soon(self) -> None:
        self._work.looking(self._weigh, self._course.state)

    def _weigh(self, state: DuelState) -> None:
        """Find out how sure the order is, beside what keys do."""
        if state is not self._course.state:  # another answer has come
            return
        sure = certainty(state)
        is_over = sure >= SURE and is_certain(state)
        if self._views and not self._closed:  # else nobody would end that thread
            self._work.in_turn(self._take_certainty, state, sure, is_over)

    def _take_certainty(self, state: DuelState, sure: float, is_over: bool) -> None:
        if state is not self._course.state:
            return
        self._sure = sure
        self._tell("said", text=self._progress())
        if is_over and not self._goes_on and not self._is_over:
            self._is_over = True
            self._send_end()

    def _send_end(self) -> None:
        """Send the best pictures of some groups."""
        groups: list[list[str]] = []
        for leaders in self._course.leaders():
            if groups and sum(map(len, groups)) + len(leaders) > _MOST_LEADERS:
                break
            groups.append(leaders[:_MOST_LEADERS])
        ids = [*itertools.chain(*groups)]
        prompts = [
            browser_text(self._course.shared_prompt(Pair(group[0], group[-1])))
            for group in groups
        ]
        self._tell(
            "end",
            self._pictures.thumbnails(ids),
            text=self._progress(),
            groups=[*map(len, groups)],
            prompts=prompts,
        )

    def _tell(self, kind: str, buffers: Sequence[bytes] = (), **facts: Any) -> None:
        self.send({"kind": kind, **facts}, [*buffers])

    def _repr_html_(self) -> str:
        return self._saved.page()

    def _ipython_display_(self, **_: Any) -> None:
        self._saved.show(self, self._work)


def _seconds_in(message: Any) -> float | None:
    """Return how long an answer took; None where a page says nothing sensible."""
    seconds = message.get("seconds")
    if isinstance(seconds, int | float) and math.isfinite(seconds) and seconds >= 0:
        return round(float(seconds), 3)
    return None
