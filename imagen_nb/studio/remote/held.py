"""The jobs that a worker has claimed: how far each is, and whether it is still wanted."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID


@dataclass(slots=True)
class _Held:
    """One job. `confirmed_at`: when the queue was last asked and said it is ours."""

    claimed_at: float
    confirmed_at: float
    unwanted: str = ""
    progress: dict[str, Any] = field(default_factory=dict)
    has_news: bool = False
    was_told: bool = False  # of a step that has ended


class HeldJobs:
    """What this worker has: from the claim until the queue knows what became of it.

    Invariant: whatever is not here is not this worker's to draw or to send, but for what
    an earlier one left.
    """

    def __init__(self) -> None:
        self._jobs: dict[UUID, _Held] = {}
        self._closed = False
        self._changed = threading.Condition()

    def add(self, ids: Iterable[UUID], claimed_at: float) -> None:
        """Take jobs; `claimed_at`: when the queue was asked, on the monotonic clock."""
        with self._changed:
            self._jobs |= {id: _Held(claimed_at, claimed_at) for id in ids}
            self._changed.notify_all()

    def remove(self, ids: Iterable[UUID]) -> None:
        """Forget jobs: the queue knows what became of them."""
        with self._changed:
            for id in ids:
                self._jobs.pop(id, None)
            self._changed.notify_all()

    def claimed_at(self, id: UUID) -> float | None:
        """Return when a job was claimed, as `add` was told; None if it is not here."""
        with self._changed:
            held = self._jobs.get(id)
            return held.claimed_at if held else None

    def remove_claim(self, id: UUID, claimed_at: float | None) -> None:
        """Forget a job, unless it was claimed again since then."""
        with self._changed:
            held = self._jobs.get(id)
            if held and held.claimed_at == claimed_at:
                del self._jobs[id]
                self._changed.notify_all()

    def __contains__(self, id: UUID) -> bool:
        with self._changed:
            return id in self._jobs

    def ids(self) -> list[UUID]:
        """Return all that this worker has."""
        with self._changed:
            return [*self._jobs]

    def confirm(self, states: Mapping[UUID, str], asked_at: float) -> None:
        """Note what the queue said of jobs when it was asked."""
        with self._changed:
            for id, state in states.items():
                if (held := self._jobs.get(id)) is None:
                    continue
                if state == "drawing":
                    held.confirmed_at = asked_at
                else:
                    held.unwanted = state
            self._changed.notify_all()

    def confirmed(self, id: UUID, seconds: float) -> bool:
        """Return whether the queue said within so many seconds that the job is ours."""
        with self._changed:
            held = self._jobs.get(id)
            if held is None or held.unwanted:
                return False
            return time.monotonic() - held.confirmed_at < seconds

    def why_unwanted(self, id: UUID) -> str:
        """Return why nobody wants this worker's picture; empty while it is wanted."""
        with self._changed:
            held = self._jobs.get(id)
            return held.unwanted if held else "lost"

    def note(self, ids: Iterable[UUID], facts: Mapping[str, Any]) -> None:
        """Note progress of jobs, to be told with the next renewal.

        The first of a job counts as an attempt at drawing it.
        """
        with self._changed:
            for id in ids:
                if held := self._jobs.get(id):
                    held.progress |= facts
                    held.has_news = True
            self._changed.notify_all()

    def take_news(self) -> dict[UUID, dict[str, Any]]:
        """Return what was noted since it was last asked for, by id."""
        with self._changed:
            news = {}
            for id, held in self._jobs.items():
                if held.has_news:
                    news[id] = dict(held.progress)
                    held.has_news = False
                    held.was_told = bool(held.progress.get("step"))
                    held.progress.pop("preview", None)  # told once
            return news

    def wait_for_news(self, seconds: float) -> None:
        """Wait, for so long, until something was noted or nobody waits any more."""
        with self._changed:
            self._changed.wait_for(self._has_news, seconds)

    def wait_for_first_news(self, seconds: float) -> None:
        """Wait, for so long, until something was noted of a job for the first time."""
        with self._changed:
            self._changed.wait_for(self._has_first_news, seconds)

    def wait_until_empty(self, seconds: float) -> None:
        """Wait, for so long, until this worker has nothing."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not self._jobs, seconds)

    def stop_waiting(self) -> None:
        """Let nobody wait for news any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _has_first_news(self) -> bool:
        jobs = self._jobs.values()
        return self._closed or any(one.has_news and not one.was_told for one in jobs)

    def _has_news(self) -> bool:
        return self._closed or any(held.has_news for held in self._jobs.values())
