"""The line of pairs that a duel asks for: one is shown, the next one is loaded."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from imagen_nb.frames.judging.pairs import Pair
from imagen_nb.system.terminal import counted_pictures
from imagen_nb.widgets.duel_course import DuelCourse
from imagen_nb.widgets.duel_pictures import DuelPictures
from imagen_nb.widgets.facets import browser_text

_LINE_LENGTH = 2  # pairs: the one that is shown, and one that is loaded


@dataclass(frozen=True, slots=True)
class AskedPair:
    """A pair in the line. `key`: by which views name it, never the same one twice."""

    key: int
    pair: Pair


class DuelLine:
    """Chooses pairs, and sends them to the views, with their pictures.

    For one thread, but for `take`. Pictures that cannot be had are left out.

    Args:
        course: which chooses pairs.
        pictures: which loads their files.
        tell: sends a message: its kind, files, and facts by name.
    """

    def __init__(
        self, course: DuelCourse, pictures: DuelPictures, tell: Callable[..., None]
    ) -> None:
        self._course, self._pictures, self._tell = course, pictures, tell
        self._keys = itertools.count(1)
        self._pairs: list[AskedPair] = []
        self._open: dict[int, AskedPair] = {}  # those without an answer
        self._left_out: dict[str, str] | None = None  # why, by id; None: not looked yet

    def keys(self) -> list[int]:
        """Return the keys of the pairs, in their order."""
        return [asked.key for asked in self._pairs]

    def take(self, key: int) -> AskedPair | None:
        """Return the pair to answer; None if it was taken before, or is gone."""
        return self._open.pop(key, None)

    def remove(self, asked: AskedPair) -> None:
        """Ask for this one no longer."""
        self._pairs = [one for one in self._pairs if one is not asked]

    def send_all(self, view: str) -> None:
        """Send one view all pairs, and what is left out."""
        if self._left_out is None:
            self._left_out = {}
            self._leave_out(self._pictures.unavailable())
        for asked in [*self._pairs]:
            self._send(asked, view)
        self._tell_left_out()

    def fill(self) -> None:
        """Have as many pairs as there are to be, if there are any."""
        while len(self._pairs) < _LINE_LENGTH:
            pair = self._course.next_pair([one.pair for one in self._pairs])
            if pair is None:
                break
            self.ask(pair, len(self._pairs))

    def ask(self, pair: Pair, place: int) -> None:
        """Put a pair into the line, and send it; if it cannot be had, leave it out."""
        asked = AskedPair(next(self._keys), pair)
        self._pairs.insert(place, asked)
        self._open[asked.key] = asked
        self._send(asked, None)

    def _send(self, asked: AskedPair, view: str | None) -> None:
        pair = asked.pair
        files, lacking = self._pictures.load([pair.left, pair.right])
        if lacking:
            self._leave_out(lacking)
            return
        prompt = browser_text(self._course.shared_prompt(pair))
        self._tell("pair", files, view=view, key=asked.key, prompt=prompt)

    def _leave_out(self, lacking: Mapping[str, str]) -> None:
        if not lacking:
            return
        self._left_out = {**(self._left_out or {}), **lacking}
        self._course.leave_out(lacking)
        for asked in [*self._pairs]:
            if not self._course.compares(asked.pair):
                self.take(asked.key)
                self.remove(asked)
        self._tell_left_out()

    def _tell_left_out(self) -> None:
        if self._left_out:
            why = [*self._left_out.values()][-1]
            count = counted_pictures(len(self._left_out))
            self._tell("note", text=f"{count} left out: {why}")
