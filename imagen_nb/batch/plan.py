"""What a batch has to do: its jobs, and which of them an earlier run did not finish."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imagen_nb.batch.executed import DONE, Outcome
from imagen_nb.batch.folder import Folder
from imagen_nb.batch.jobs import Job, jobs
from imagen_nb.batch.template import Template
from imagen_nb.errors import UsageError

if TYPE_CHECKING:
    from imagen_nb.batch.tables import Source


@dataclass(frozen=True, slots=True)
class Plan:
    """All jobs, those to run now, and what became of jobs in earlier runs, by key."""

    jobs: Sequence[Job]
    todo: Sequence[Job]
    before: Mapping[str, Outcome]

    @property
    def summary(self) -> str:
        """In words."""
        done = sum(one.status == DONE for one in self.before.values())
        again = len(self.before) - done
        count = len(self.jobs)
        parts = [f"{count} job{'s' if count != 1 else ''}", f"{done} done before" if done else ""]
        parts += [f"{again} failed before" if again else "", f"{len(self.todo)} to run"]
        return ", ".join(filter(None, parts))


def plan(source: Source, made: Template, folder: Folder, limit: int | None = None) -> Plan:
    """The jobs, and which of them are still to run: those without a notebook that says done.

    Raises `UsageError` for jobs that the notebook cannot take.
    """
    if limit is not None and limit < 0:
        raise UsageError(f"limit must be 0 or more, not {limit}")
    listed = jobs(source, made)
    before = {job.key: found for job in listed if (found := folder.outcome(job))}
    missing = [job for job in listed if job.key not in before or before[job.key].status != DONE]
    return Plan(listed, missing[:limit], before)
