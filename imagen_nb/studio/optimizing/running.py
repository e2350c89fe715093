"""The search itself: ask for some trials, draw them together, score them, keep all."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imagen_nb.errors import BackendError, Cancelled, ImagenError, UsageError
from imagen_nb.request.validation import short_repr
from imagen_nb.storage.picture import Picture
from imagen_nb.studio.optimizing.goals import Goal, mean_and_error
from imagen_nb.studio.optimizing.sampling import propose, values_now
from imagen_nb.studio.optimizing.space import SearchSpace, describe_other_space
from imagen_nb.studio.optimizing.study_file import (
    KeptTrial,
    StudyFile,
    StudyPlan,
    plan_goals,
)
from imagen_nb.studio.optimizing.trial_pictures import TrialPictures, first_undrawn
from imagen_nb.studio.optimizing.votes import (
    Ballot,
    Voter,
    ask_voter,
    require_voter,
    strengths_of,
)
from imagen_nb.system.terminal import print_notice

_MAX_FAILED_IN_A_ROW = 8  # then something is wrong that no other settings cure
_NO_NUMBER = "its score is not a number"


@dataclass(frozen=True, slots=True, eq=False)
class StudySearch:
    """One study's search, which goes on wherever it was interrupted.

    Invariant: what was drawn and scored is kept; a trial without all its scores is asked
    again, with the same settings and under the same number.

    Attributes:
        file: where it is kept.
        space: what may vary.
        goals: what is to be high or low.
        pictures: draws.
        voter: who is asked, where people decide.
        at_once: how many trials are drawn together.
    """

    file: StudyFile
    space: SearchSpace
    goals: tuple[Goal, ...]
    pictures: TrialPictures
    voter: Voter | None = None
    at_once: int = 4

    def plan(self, settings: Mapping[str, Any]) -> StudyPlan:
        """Return what the study is. `settings`: those in common, as JSON values."""
        return StudyPlan(
            space=self.space.as_json(),
            goals=plan_goals(self.goals),
            seeds=tuple(self.pictures.seeds),
            settings={**settings},
        )

    def run(self, plan: StudyPlan, trials: int | None, more: int = 0) -> None:
        """Search until so many trials have a score.

        Args:
            plan: what the study is; makes it, if there is none of this name.
            trials: how many; None is what was asked for before.
            more: how many beyond those that have a score.

        Raises:
            UsageError: if the study of this name is another one.
            StorageError: if another process searches in it, or it cannot be written.
            ImagenError: if nothing gets a score.
        """
        self._require_possible()
        with self.file.held():
            before = self.file.plan()
            if before is not None:
                require_same_plan(self.file.name, before, plan)
            self.file.begin(plan)
            done = _count_complete(self.file.trials())
            wanted = self.file.wanted() if trials is None else trials
            self.file.want(max(wanted, done + more))
            try:
                self._search(max(wanted, done + more))
            except (KeyboardInterrupt, Cancelled):
                self._tell_how_far()
                raise

    def is_finished(self) -> bool:
        """Return whether as many trials have a score as were asked for, and none runs."""
        trials = self.file.trials()
        is_running = any(trial.state == "running" for trial in trials)
        return not is_running and _count_complete(trials) >= self.file.wanted()

    def _require_possible(self) -> None:
        """Raise `UsageError` for settings that cannot be drawn; draws nothing."""
        for goal in self.goals:
            if goal.is_votes:
                require_voter(self.voter)
            elif goal.measure is None:
                raise UsageError(
                    f"the study {self.file.name} has the score {goal.name}, a function"
                    " of yours: give score= to go on"
                )
        for settings in self.space.border():
            self.pictures.request(settings, self.pictures.seeds[0])

    def _search(self, wanted: int) -> None:
        while True:
            trials = self.file.trials()
            _require_hope(self.file.name, trials)
            left = [trial for trial in trials if trial.state == "running"]
            interrupted = {trial.number for trial in left}
            new = min(self.at_once, wanted - _count_complete(trials)) - len(left)
            if new > 0:
                name = self.file.name
                asked = propose(name, self.space, self.goals, trials, new)
                left += self.file.add(asked, self.space.distributions())
                if not left:
                    print_notice(
                        f"study {name}: all {self.space.size:.0f} settings of its space"
                        " were tried"
                    )
            if not left:
                return
            self._round(left, interrupted)

    def _round(self, trials: Sequence[KeptTrial], interrupted: Container[int]) -> None:
        """Draw trials together, and score them. `interrupted`: those begun before."""
        drawable = self._drawable(trials)
        try:
            drawn = self.pictures.draw(drawable, interrupted)
        except BackendError as error:  # of one trial: the others are asked again
            failed = first_undrawn(self.pictures, drawable)
            if failed is not None:
                self.file.fail(failed, str(error))
            raise
        for number, pictures in drawn.items():
            ids = [str(picture.record.id) for picture in pictures]
            self.file.note_pictures(number, ids)
        if any(goal.is_votes for goal in self.goals):
            self._vote(drawn)
        for number, pictures in drawn.items():
            self._score(number, pictures)

    def _drawable(
        self, trials: Sequence[KeptTrial]
    ) -> dict[int, tuple[KeptTrial, dict[str, Any]]]:
        """Return the trials by number, with their settings; those that cannot be fail."""
        found = {}
        for trial in trials:
            settings = self.space.settings(trial.params)
            try:
                self.pictures.request(settings, self.pictures.seeds[0])
            except UsageError as error:  # settings that do not go together
                self.file.fail(trial.number, str(error))
                continue
            found[trial.number] = trial, settings
        return found

    def _score(self, number: int, pictures: Sequence[Picture]) -> None:
        values: list[float] = []
        scores: dict[str, list[float]] = {}
        for goal in self.goals:
            if goal.is_votes:
                values.append(self._strength(number))
            elif goal.measure:
                scores[goal.name] = [*goal.measure(pictures)]
                values.append(mean_and_error(scores[goal.name])[0])
        if all(map(math.isfinite, values)):
            self.file.complete(number, values, scores)
        else:
            self.file.fail(number, _NO_NUMBER)

    def _vote(self, drawn: Mapping[int, Sequence[Picture]]) -> None:
        """Ask about the new trials and the best one so far, seed by seed."""
        voter = require_voter(self.voter)
        shown = {**self._best_by_votes(), **drawn}
        if len(shown) < 2:
            return
        asked = {(ballot.seed, frozenset(ballot.trials)) for ballot in self._ballots()}
        for place, seed in enumerate(self.pictures.seeds):
            if (seed, frozenset(shown)) not in asked:
                pictures = {number: each[place] for number, each in shown.items()}
                ballot = ask_voter(voter, seed, pictures)
                self.file.note_ballots(max(drawn), [ballot])

    def _best_by_votes(self) -> dict[int, list[Picture]]:
        """Return the strongest trial with its pictures, if these are there."""
        trials = self.file.trials()
        place = [goal.is_votes for goal in self.goals].index(True)
        values = values_now(self.goals, trials)
        for number in sorted(values, key=lambda each: -values[each][place]):
            pictures = self.pictures.pictures(trials[number].pictures)
            if len(pictures) == len(self.pictures.seeds):
                return {number: pictures}
        return {}

    def _strength(self, number: int) -> float:
        numbers = [trial.number for trial in self.file.trials()]
        return strengths_of(self._ballots(), numbers)[number][0]

    def _ballots(self) -> list[Ballot]:
        return [ballot for trial in self.file.trials() for ballot in trial.ballots]

    def _tell_how_far(self) -> None:
        name, done = self.file.name, _count_complete(self.file.trials())
        print_notice(
            f"study {name}: {done} of {self.file.wanted()} trials have a score;"
            f' im.optimize(name="{name}", …) goes on'
        )


def _count_complete(trials: Sequence[KeptTrial]) -> int:
    return sum(trial.state == "complete" for trial in trials)


def _require_hope(name: str, trials: Sequence[KeptTrial]) -> None:
    """Raise `ImagenError` if the last trials all failed."""
    last = [trial for trial in trials if trial.state != "running"]
    last = last[-_MAX_FAILED_IN_A_ROW:]
    if len(last) == _MAX_FAILED_IN_A_ROW and not _count_complete(last):
        raise ImagenError(
            f"study {name}: the last {len(last)} trials have no score"
            f" ({last[-1].error}): see study.frame(), and try another space or score"
        )


def require_same_plan(name: str, before: StudyPlan, now: StudyPlan) -> None:
    """Raise `UsageError`, in one line, if a study of this name is another one."""
    if other := describe_other_space(before.space, now.space):
        raise UsageError(
            f"the study {name} is there, with another space: {other}; give another name="
        )
    for what in ("goals", "seeds", "settings"):
        was, is_now = (getattr(plan, what) for plan in (before, now))
        if was != is_now:
            raise UsageError(
                f"the study {name} is there, with other {what}: {_in_words(was)}, not"
                f" {_in_words(is_now)}; give another name="
            )


def _in_words(value: Any) -> str:
    return short_repr([*value] if isinstance(value, tuple) else value)
