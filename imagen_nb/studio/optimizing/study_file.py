"""The file of a study: each trial as it is asked, and what became of it, by Optuna.

A study lies in `<output>/.imagen/studies/<name>.jsonl`, a line for each fact (Optuna's
journal), flushed before it counts. One process at a time searches, which `<name>.held`
tells, so that a trial that still runs when another begins belongs to one that died: it is
asked again. Reading needs no lock.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError

from imagen_nb.errors import StorageError, UsageError
from imagen_nb.request.validation import short_repr
from imagen_nb.studio.optimizing.goals import Direction, Goal
from imagen_nb.studio.optimizing.votes import Ballot
from imagen_nb.system.atomic import explain_folder_errors, flush_folder, make_folder
from imagen_nb.system.installed import pip_install
from imagen_nb.system.locks import describe_holder

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.storages import JournalStorage
    from optuna.study import Study as OptunaStudy

KeptState = Literal["running", "complete", "failed"]
_STUDY_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,58}[A-Za-z0-9])?")
_PLAN, _WANTED = "imagen_nb", "trials"  # attributes of the study
_STARTED, _PICTURES, _SCORES, _BALLOTS, _ERROR = (
    "started",
    "pictures",
    "scores",
    "ballots",
    "error",
)  # of a trial


class StudyPlan(BaseModel):
    """What a study is: equal for all its trials.

    `space`: as `SearchSpace.as_json`; `goals`: directions by name; `settings`: what else is
    given to `Studio.generate`, as JSON values.
    """

    model_config = ConfigDict(frozen=True)

    version: Literal[1] = 1
    space: dict[str, Any]
    goals: dict[str, Direction]
    seeds: tuple[int, ...]
    settings: dict[str, Any]


@dataclass(frozen=True, slots=True)
class KeptTrial:
    """One trial as it is kept.

    Attributes:
        number: from 0 on.
        params: what Optuna chose, by dimension.
        state: running, complete, or failed: it has no score.
        started: when it was asked.
        values: its scores, in the order of the goals; empty unless it is complete.
        pictures: their ids, in the order of the seeds, once all are drawn.
        scores: those of each picture, by goal.
        ballots: of votes, those that were asked when it was new.
        error: why it failed.
    """

    number: int
    params: Mapping[str, Any]
    state: KeptState
    started: datetime
    values: tuple[float, ...] = ()
    pictures: tuple[str, ...] = ()
    scores: Mapping[str, Sequence[float]] = field(default_factory=dict)
    ballots: tuple[Ballot, ...] = ()
    error: str = ""


def require_optuna() -> None:
    """Raise `UsageError` where optuna is not installed."""
    try:
        with quiet_optuna():
            pass
    except ImportError:
        line = pip_install(["imagen_nb[optimize]"])
        raise UsageError(f"im.optimize needs optuna: {line}") from None


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Keep Optuna from telling of each trial, and of what is experimental in it."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)


def validated_study_name(name: object) -> str:
    """Return the name, a part of tags and of files. Raise `UsageError` if it is none."""
    if not isinstance(name, str) or not _STUDY_NAME.fullmatch(name):
        raise UsageError(
            "a study's name has up to 60 letters without accents, digits, and . _ or -"
            f" between them, not {short_repr(name)}"
        )
    return name


class StudyFile:
    """The file of one study. Only within `held` may anything be written.

    Example:
        >>> file = StudyFile(Path("pictures"), "boats")
        >>> file.plan() is None
        True
    """

    def __init__(self, folder: Path, name: str) -> None:
        """Open nothing yet. `folder`: the output folder."""
        self.name, self.folder = name, folder / ".imagen" / "studies"
        self.path = self.folder / f"{name}.jsonl"
        self._storage: JournalStorage | None = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes from searching in this study.

        Raise `StorageError` if one does, or the folder cannot be written to.
        """
        with explain_folder_errors(self.folder):
            make_folder(self.folder)
            lock = FileLock(self.folder / f"{self.name}.held")
            try:
                lock.acquire(timeout=0)
            except Timeout:
                raise StorageError(
                    f"{describe_holder(Path(lock.lock_file))} is at work on the study"
                    f" {self.name}: wait for it, end it, or give another name="
                ) from None
            try:
                self._mend()
                yield
            finally:
                self._storage = None
                lock.release()

    def plan(self) -> StudyPlan | None:
        """Return what the study is; None if there is none of this name.

        Raise `StorageError` if it cannot be read, or another program made it.
        """
        if not self.path.exists():
            return None
        attributes = self._attributes()
        if not attributes:
            return None  # it was interrupted before it began
        try:
            return StudyPlan.model_validate(attributes.get(_PLAN))
        except ValidationError:
            raise StorageError(
                f"{self.path} is no study of this version: give another name="
            ) from None

    def wanted(self) -> int:
        """Return how many trials were asked for."""
        return int(self._attributes().get(_WANTED, 0))

    def begin(self, plan: StudyPlan) -> None:
        """Make the study, unless it is there."""
        import optuna

        with quiet_optuna(), explain_folder_errors(self.folder):
            study = optuna.create_study(
                storage=self._opened(),
                study_name=self.name,
                directions=directions_of(plan.goals),
                load_if_exists=True,
            )
            study.set_user_attr(_PLAN, plan.model_dump(mode="json"))
            flush_folder(self.folder)

    def want(self, trials: int) -> None:
        """Note how many trials are asked for."""
        self._loaded().set_user_attr(_WANTED, trials)

    def trials(self) -> list[KeptTrial]:
        """Return all trials, by their numbers."""
        if not self._attributes():
            return []
        return [*map(_kept_trial, self._loaded().get_trials(deepcopy=False))]

    def add(
        self,
        asked: Sequence[Mapping[str, Any]],
        distributions: Mapping[str, BaseDistribution],
    ) -> list[KeptTrial]:
        """Note trials that are to be drawn now, and return them."""
        from optuna.trial import TrialState, create_trial

        study = self._loaded()
        first = len(study.get_trials(deepcopy=False))
        for params in asked:
            study.add_trial(
                create_trial(
                    state=TrialState.RUNNING,
                    params={**params},
                    distributions={**distributions},
                    user_attrs={_STARTED: datetime.now(UTC).isoformat()},
                )
            )
        return self.trials()[first:]

    def note_pictures(self, number: int, ids: Sequence[str]) -> None:
        """Note the pictures of a trial, once all are drawn."""
        self._set(number, _PICTURES, [*ids])

    def note_ballots(self, number: int, ballots: Sequence[Ballot]) -> None:
        """Note how people voted when this trial was new, beside all before."""
        kept = self.trials()[number].ballots
        self._set(number, _BALLOTS, [one.model_dump() for one in (*kept, *ballots)])

    def complete(
        self,
        number: int,
        values: Sequence[float],
        scores: Mapping[str, Sequence[float]],
    ) -> None:
        """Note a trial's scores: of its pictures by goal, and all in all."""
        self._set(number, _SCORES, {name: [*found] for name, found in scores.items()})
        self._loaded().tell(number, [*values])

    def fail(self, number: int, reason: str) -> None:
        """Note that a trial has no score."""
        from optuna.trial import TrialState

        self._set(number, _ERROR, reason)
        self._loaded().tell(number, state=TrialState.FAIL)

    def _set(self, number: int, name: str, value: Any) -> None:
        storage = self._opened()
        study = storage.get_study_id_from_name(self.name)
        trial = storage.get_trial_id_from_study_id_trial_number(study, number)
        storage.set_trial_user_attr(trial, name, value)

    def _attributes(self) -> dict[str, Any]:
        """Return those of the study; none where it is not there."""
        if not self.path.exists():
            return {}
        storage = self._opened()
        try:
            study = storage.get_study_id_from_name(self.name)
        except KeyError:
            return {}
        found: dict[str, Any] = storage.get_study_user_attrs(study)
        return found

    def _loaded(self) -> OptunaStudy:
        import optuna

        with quiet_optuna():
            return optuna.load_study(study_name=self.name, storage=self._opened())

    def _opened(self) -> JournalStorage:
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

        if self._storage is None:
            path = str(self.path)
            with quiet_optuna():
                backend = JournalFileBackend(path, JournalFileOpenLock(path))
                try:
                    self._storage = JournalStorage(backend)
                except ValueError:  # a line that is no JSON
                    raise StorageError(
                        f"{self.path} is damaged: restore it, or give another name="
                    ) from None
        return self._storage

    def _mend(self) -> None:
        """Take off what a process that died has left: half a line, and Optuna's lock."""
        self._storage = None
        Path(f"{self.path}.lock").unlink(missing_ok=True)
        with suppress(FileNotFoundError), self.path.open("r+b") as file:
            content = file.read()
            whole = content.rfind(b"\n") + 1
            if whole < len(content):
                file.truncate(whole)
                os.fsync(file.fileno())


def directions_of(
    goals: Mapping[str, Direction],
) -> list[Literal["maximize", "minimize"]]:
    """Return the directions as Optuna names them."""
    return [
        "maximize" if direction == "max" else "minimize" for direction in goals.values()
    ]


def plan_goals(goals: Sequence[Goal]) -> dict[str, Direction]:
    """Return the directions of goals, by name."""
    return {goal.name: goal.direction for goal in goals}


def _kept_trial(trial: Any) -> KeptTrial:
    from optuna.trial import TrialState

    states: dict[TrialState, KeptState] = {
        TrialState.COMPLETE: "complete",
        TrialState.RUNNING: "running",
    }
    attributes = trial.user_attrs
    return KeptTrial(
        trial.number,
        trial.params,
        states.get(trial.state, "failed"),
        datetime.fromisoformat(attributes[_STARTED]),
        tuple(trial.values or ()),
        tuple(attributes.get(_PICTURES, ())),
        attributes.get(_SCORES, {}),
        tuple(map(Ballot.model_validate, attributes.get(_BALLOTS, ()))),
        attributes.get(_ERROR, ""),
    )
