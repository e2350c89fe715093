"""The part of a session that searches settings and prompts."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagen_nb.backends import Progress
from imagen_nb.errors import UsageError
from imagen_nb.request.request import MAX_SEED
from imagen_nb.request.validation import short_repr, validated_int
from imagen_nb.storage.names import parse_destination
from imagen_nb.storage.picture import Picture
from imagen_nb.studio.arguments import note_single_seed, suggesting_arguments
from imagen_nb.studio.elsewhere.session import Elsewhere
from imagen_nb.studio.optimizing.goals import Goal, Measure, ScoreFunction, parse_goals
from imagen_nb.studio.optimizing.running import StudySearch, require_same_plan
from imagen_nb.studio.optimizing.space import (
    SearchSpace,
    parse_space,
    plain_setting,
    restored_space,
)
from imagen_nb.studio.optimizing.study import Study, require_columns_apart
from imagen_nb.studio.optimizing.study_file import (
    StudyFile,
    StudyPlan,
    require_optuna,
    validated_study_name,
)
from imagen_nb.studio.optimizing.trial_pictures import HowToDraw, TrialPictures
from imagen_nb.studio.optimizing.votes import Voter
from imagen_nb.studio.pictures import Pictures
from imagen_nb.system.secret_text import is_secret_name

if TYPE_CHECKING:
    from imagen_nb.frames.pictures.score import NamedScorer

_USUAL_TRIALS, _USUAL_SEEDS = 20, range(3)
_MAX_TRIALS, _MAX_AT_ONCE = 100_000, 100
_BACKEND = "backend"

Score = str | ScoreFunction | Sequence[str | ScoreFunction]


class Optimizing(Elsewhere):
    """A session that finds the settings and prompts with the best pictures."""

    @suggesting_arguments
    def optimize(
        self,
        space: Mapping[str, Any] | None = None,
        /,
        *,
        score: Score | None = None,
        trials: int | None = None,
        seeds: int | Iterable[int] | None = None,
        goals: str | Mapping[str, str] | None = None,
        name: str | None = None,
        at_once: int = 4,
        ask: Voter | None = None,
        backend: str | None = None,
        tags: Iterable[str] = (),
        cloud: bool | None = None,
        output: str | Path | None = None,
        progress: Progress | bool | None = None,
        **settings: Any,
    ) -> Study:
        """Search the settings and words whose pictures score best, by Optuna.

        Some trials are asked at once and drawn together, each with all seeds; their
        scores tell where to look next (a tree-structured Parzen estimator). All is kept
        beside the catalog: what was drawn and scored stays after Ctrl-C or a crash, and
        the same call, with the name, goes on from there.

        Args:
            space: what varies, by setting: a tuple (low, high) is a range, of whole
                numbers or of others; a list has choices; alternatives in braces of the
                prompt are choices, group by group. What is none of these is fixed.
                Settings are those of `sweep`, width, height, and options of the
                backend. None opens the study of this name as it is.
            score: what is to be high: a function of a `Picture`; the name of a scorer,
                as of `df.imagen.score`; "latency_ms", "bytes" or "cost_usd_estimate",
                which are to be low; or "votes", see `ask`. Several in a list are
                weighed against each other, see `Study.front`.
            trials: how many shall have a score in all, by default 20; 0 only opens the
                study.
            seeds: the same for all trials, by default 0, 1 and 2: a trial's score is the
                mean over them.
            goals: "max" or "min", for all scores or by name; None is as above.
            name: of the study, and in the tags of its pictures; None is a new one,
                the day and a number. With the name of one that is there it goes on: space,
                score, seeds and settings must be the same.
            at_once: how many trials are drawn together, 1 to 100: with more, less is
                known when they are chosen.
            ask: for "votes", who is asked: a function of some pictures of one seed, new
                ones and the best so far, that returns a number for each, the higher the
                better. Equal numbers, and None, say nothing.
            backend: see `generate`; "remote" draws on other machines.
            tags: added to those of the study.
            cloud: see `generate`.
            output: see `generate`; the study is kept in that folder.
            progress: see `generate`.
            **settings: what else is given to `generate` for every picture.

        Raises:
            UsageError: for a space, a score or settings that cannot be, and for another
                study of this name; nothing is drawn. Or where optuna is missing.
            StorageError: if another process is at work on the study.
            ImagenError: if trial after trial gets no score.
            BackendError: if a picture cannot be drawn; its trial has failed then, and
                the next call goes on with others.

        Example:
            >>> study = im.optimize(
            ...     {"prompt": "a {red|blue} boat, {flat|sketch}", "steps": (1, 6)},
            ...     score="clip:tiny", trials=4, seeds=[1, 2],
            ... )
            >>> study.best[["prompt", "steps", "clip:tiny"]]
        """
        require_optuna()
        if output is not None:
            parse_destination(output, _MAX_TRIALS)  # a folder, not one file
        folder = self._folders.catalog(output).folder
        file = StudyFile(folder, _name_in(folder, name))
        before = file.plan()
        settings = {name: one for name, one in settings.items() if one is not None}
        if before is None and space is None:
            raise UsageError(_explain_no_space(file, name))
        if before is not None:
            settings, backend, seeds = _as_before(before, settings, backend, seeds)
        labels = self._builder.tags(tags)
        how = HowToDraw(backend, settings, labels, cloud, output, progress)
        drawing = self._trial_pictures(file.name, _validated_seeds(seeds), how)
        search = StudySearch(
            file,
            self._space(space, before, drawing),
            self._goals(score, goals, before),
            drawing,
            ask,
            validated_int("at_once", at_once, 1, _MAX_AT_ONCE),
        )
        require_columns_apart(search.space, search.goals)
        _require_apart(search.space, settings)
        plan = search.plan(self._kept_settings(search, settings))
        if before is not None:
            require_same_plan(file.name, before, plan)
        if trials is not None:
            trials = validated_int("trials", trials, 0, _MAX_TRIALS)
        elif before is None:
            trials = _USUAL_TRIALS
        elif search.is_finished():
            trials = 0
        if trials != 0:
            search.run(plan, trials)
        return Study(search, plan)

    def _trial_pictures(
        self, study: str, seeds: tuple[int, ...], how: HowToDraw
    ) -> TrialPictures:
        return TrialPictures(
            study,
            seeds,
            how,
            self._builder,
            self._drawer,
            self._catalogs,
            self._ids_tagged,
        )

    def _space(
        self,
        given: Mapping[str, Any] | None,
        before: StudyPlan | None,
        drawing: TrialPictures,
    ) -> SearchSpace:
        if given is None and before is not None:
            return restored_space(before.space)

        def multiple() -> int:
            backend, _ = drawing.request({"prompt": "any"}, drawing.seeds[0])
            return backend.limits.multiple

        return parse_space(given, self.wildcards, multiple)

    def _goals(
        self,
        score: Score | None,
        goals: str | Mapping[str, str] | None,
        before: StudyPlan | None,
    ) -> tuple[Goal, ...]:
        if score is not None:
            found = parse_goals(score, goals, self._measure_by)
            if goals is None and before is not None:
                same = [goal.name for goal in found] == [*before.goals]
                if same:
                    return parse_goals(score, before.goals, self._measure_by)
            return found
        if before is None:
            raise UsageError(
                "say what is to be high: score= a function of a picture, or the name of"
                ' a scorer such as "clip"'
            )
        return tuple(
            Goal(name, direction, self._measure_if_known(name))
            for name, direction in before.goals.items()
        )

    def _measure_if_known(self, name: str) -> Measure | None:
        """Return what measures by this name; None for what was a function."""
        try:
            return parse_goals(name, None, self._measure_by)[0].measure
        except UsageError:
            return None

    def _measure_by(self, name: str) -> Measure:
        from imagen_nb.frames.pictures.score import find_scorer

        return partial(self._scored, find_scorer(name, self.settings))

    def _scored(self, scorer: NamedScorer, pictures: Sequence[Picture]) -> list[float]:
        from imagen_nb.frames.pictures.score import score_pictures

        frame = Pictures(pictures).frame()
        scored = score_pictures(frame, scorer, self._catalogs(), self.reader())
        numbers: list[float] = scored[scorer.name].tolist()
        return numbers

    def _ids_tagged(self, tag: str, since: datetime.datetime) -> list[str]:
        """Return the ids of pictures on this machine with a tag, drawn since then."""
        found = self.history(tags=tag, since=since, source="local")
        return [str(id) for id in found["id"]]

    def _kept_settings(
        self, search: StudySearch, settings: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return what is the same for all trials, as JSON values, and who draws."""
        first = next(iter(search.space.border()))
        backend, _ = search.pictures.request(first, search.pictures.seeds[0])
        kept = {
            name: plain_setting(name, value)
            for name, value in settings.items()
            if not is_secret_name(name)
        }
        return {**kept, _BACKEND: backend.name}


def _explain_no_space(file: StudyFile, name: str | None) -> str:
    if name is None:
        return 'give a space, such as {"prompt": "a {red|blue} boat"}'
    return f"there is no study {file.name} in {file.folder}: give it a space"


def _name_in(folder: Path, name: str | None) -> str:
    """Return the name of a study, by default a new one: the day and a number."""
    if name is not None:
        return validated_study_name(name)
    day = datetime.date.today().isoformat()
    number = 1
    while StudyFile(folder, f"{day}-{number}").path.exists():
        number += 1
    return f"{day}-{number}"


def _as_before(
    before: StudyPlan,
    settings: dict[str, Any],
    backend: str | None,
    seeds: int | Iterable[int] | None,
) -> tuple[dict[str, Any], str | None, int | Iterable[int] | None]:
    """Return settings, backend and seeds, as they were where they are not given."""
    kept = {name: value for name, value in before.settings.items() if name != _BACKEND}
    return (
        {**kept, **settings},
        backend or before.settings.get(_BACKEND),
        before.seeds if seeds is None else seeds,
    )


def _validated_seeds(seeds: int | Iterable[int] | None) -> tuple[int, ...]:
    note_single_seed(seeds)
    given = _USUAL_SEEDS if seeds is None else seeds
    numbers = [given] if isinstance(given, int) else [*given]
    found = tuple(validated_int("a seed", number, 0, MAX_SEED) for number in numbers)
    if not found or len({*found}) < len(found):
        raise UsageError(f"seeds are different numbers, not {short_repr(seeds)}")
    return found


def _require_apart(space: SearchSpace, settings: Mapping[str, Any]) -> None:
    """Raise `UsageError` if a setting both varies and is given."""
    asked = {one.name for one in space.dimensions} | {*space.fixed, "prompt"}
    for name in settings:
        if name in asked:
            raise UsageError(f"{name} is in the space already: leave {name}= out")
