"""A study: what was tried, what is best, and going on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from imagen_nb.backends import Progress
from imagen_nb.errors import UsageError, printable
from imagen_nb.request.validation import validated_int
from imagen_nb.studio.optimizing.goals import Goal, mean_and_error
from imagen_nb.studio.optimizing.running import StudySearch
from imagen_nb.studio.optimizing.sampling import front_of, values_now
from imagen_nb.studio.optimizing.space import SearchSpace
from imagen_nb.studio.optimizing.study_file import KeptTrial, StudyPlan
from imagen_nb.studio.optimizing.votes import strengths_of
from imagen_nb.system.markup import NO_FORMULAS_CLASS, escaped_html, one_line
from imagen_nb.system.spelling import known_arguments

if TYPE_CHECKING:
    import pandas as pd

_SHOWN_TRIALS = 10  # in a notebook
_SHOWN_CHARS = 60  # of a prompt, on one line
_TRIAL, _ENDING = "trial", ("state", "error", "pictures")


class Study:
    """A search of settings: `Studio.optimize` gives it, and its file keeps it.

    Attributes:
        name: of the study, and in the tags of its pictures: `study:NAME`, and
            `trial:NAME/7` for those of trial 7.

    Example:
        >>> study = im.optimize(
        ...     {"prompt": "a {red|blue} boat", "steps": (1, 3)}, score="sharpness", trials=2
        ... )
        >>> study.frame()[["trial", "prompt", "steps", "sharpness", "state"]]
        >>> im.history(tags=f"study:{study.name}").imagen.gallery()
    """

    def __init__(self, search: StudySearch, plan: StudyPlan) -> None:
        self._search, self._plan = search, plan
        self.name = search.file.name

    @known_arguments
    def frame(self) -> pd.DataFrame:
        """Return one row a trial, as they were asked.

        The columns are `trial` (a number), the settings that vary, the prompt first;
        for each score its mean over the seeds and, ending in `_se`, the standard error
        of that (NaN with one seed); `state` (complete, failed, running), `error`, why it
        failed, and `pictures`, their ids in the order of the seeds. The score "votes" is
        a strength in log odds, which changes as more is asked.

        Example:
            >>> study.frame().nlargest(3, "sharpness")
        """
        import pandas as pd

        trials, goals = self._search.file.trials(), self._search.goals
        space = self._search.space
        scores = _mean_scores(goals, trials)
        rows = [_trial_row(trial, space, goals, scores) for trial in trials]
        of_goals = [name for goal in goals for name in (goal.name, f"{goal.name}_se")]
        columns = [_TRIAL, *space.names, *of_goals, *_ENDING]
        frame = pd.DataFrame(rows, columns=columns)
        types = dict.fromkeys(of_goals, "float64") | {"state": "str", "error": "str"}
        return frame.astype({**types, _TRIAL: "int64"})

    @property
    def best(self) -> pd.Series[Any]:
        """The row of the trial with the best score.

        Raise `UsageError` before any has one, and for several goals: see `front`.

        Example:
            >>> study.best["prompt"]
        """
        goals = self._search.goals
        if len(goals) > 1:
            names = ", ".join(goal.name for goal in goals)
            raise UsageError(f"no trial is best in {names}: see study.front()")
        front = self.front()
        if not len(front):
            raise UsageError(f"study {self.name}: no trial has a score yet")
        return front.iloc[0]

    def front(self) -> pd.DataFrame:
        """Return the rows of trials than which no other is better in every goal.

        The Pareto front, the best by the first goal first. Of a single goal: the best
        trial, and those equal to it.

        Example:
            >>> study.front()[["trial", "sharpness"]]
        """
        values = values_now(self._search.goals, self._search.file.trials())
        best = front_of(self._search.goals, values)
        frame = self.frame()
        return frame.loc[best].reset_index(drop=True)

    @known_arguments
    def resume(
        self,
        trials: int | None = None,
        *,
        progress: Progress | bool | None = None,
    ) -> Study:
        """Go on: finish what was interrupted, or try more.

        Args:
            trials: how many more shall have a score; None is as many as were asked for.
            progress: as of `Studio.sweep`.

        Raises:
            UsageError: where a score is a function, and the study was opened without it.
            StorageError: if another process is at work on it.

        Example:
            >>> len(study.resume(1).frame()) > 2
            True
        """
        how = replace(self._search.pictures.how, progress=progress)
        pictures = replace(self._search.pictures, how=how)
        more = 0 if trials is None else validated_int("trials", trials, 1, 100_000)
        replace(self._search, pictures=pictures).run(self._plan, None, more)
        return self

    def __repr__(self) -> str:
        return f"<Study {printable(self._summary())}>"

    def _summary(self) -> str:
        trials = self._search.file.trials()
        complete = sum(trial.state == "complete" for trial in trials)
        text = f"{self.name}: {complete} of {len(trials)} trials have a score"
        if not complete:
            return text
        best, goals = self.front().iloc[0], self._search.goals
        which = "best" if len(goals) == 1 else f"best {goals[0].name}"
        told = ", ".join(
            f"{name} {_short(best[name])}"
            for name in (goals[0].name, *self._search.space.names)
        )
        return f"{text}; {which}: trial {best[_TRIAL]}, {told}"

    def _repr_mimebundle_(
        self, include: Any = None, exclude: Any = None
    ) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._html()}

    def _html(self) -> str:
        """Return the best trials as a table, every text of it escaped."""
        frame, goal = self.frame(), self._search.goals[0]
        names = [_TRIAL, *self._search.space.names]
        names += [each.name for each in self._search.goals]
        best = frame[frame["state"] == "complete"].sort_values(
            goal.name, ascending=goal.direction == "min", kind="stable"
        )[names]
        head = "".join(f"<th>{escaped_html(name)}</th>" for name in names)
        rows = "".join(
            "<tr>" + "".join(_table_cell(value) for value in row) + "</tr>"
            for row in best.head(_SHOWN_TRIALS).itertuples(index=False)
        )
        caption = escaped_html(self._summary())
        table = f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody>"
        return (
            f"<div {NO_FORMULAS_CLASS}><div>{caption}</div><table>{table}</table></div>"
        )


def _table_cell(value: object) -> str:
    return f"<td>{escaped_html(_short(value))}</td>"


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else one_line(value, _SHOWN_CHARS)


def _trial_row(
    trial: KeptTrial,
    space: SearchSpace,
    goals: Sequence[Goal],
    scores: Mapping[int, Mapping[str, tuple[float, float]]],
) -> dict[str, Any]:
    settings = space.settings(trial.params)
    row: dict[str, Any] = {_TRIAL: trial.number}
    row |= {name: settings[name] for name in space.names}
    for goal in goals:
        found = scores.get(trial.number, {}).get(goal.name, (math.nan, math.nan))
        row[goal.name], row[f"{goal.name}_se"] = found
    return row | {
        "state": trial.state,
        "error": trial.error or None,
        "pictures": [*trial.pictures],
    }


def _mean_scores(
    goals: Sequence[Goal], trials: Sequence[KeptTrial]
) -> dict[int, dict[str, tuple[float, float]]]:
    """Return mean and standard error of complete trials, by number and goal."""
    complete = [trial for trial in trials if trial.state == "complete"]
    found = {
        trial.number: {
            name: mean_and_error(numbers) for name, numbers in trial.scores.items()
        }
        for trial in complete
    }
    for goal in goals:
        if goal.is_votes:
            ballots = [ballot for trial in trials for ballot in trial.ballots]
            of_votes = strengths_of(ballots, [*found])
            for number, strength in of_votes.items():
                found[number][goal.name] = strength
    return found


def require_columns_apart(space: SearchSpace, goals: Sequence[Goal]) -> None:
    """Raise `UsageError` if a goal has the name of another column of a study's frame."""
    taken = {_TRIAL, *space.names, *_ENDING}
    for goal in goals:
        if goal.name in taken:
            raise UsageError(
                f"a score cannot be named {goal.name}, as a setting or column is: give"
                " the function another name"
            )
