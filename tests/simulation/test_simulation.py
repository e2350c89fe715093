"""Every history of draws, tags, syncs, faults and deaths ends with everything where it belongs."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from imagen_nb.storage import reindex as reindexing
from imagen_nb.storage import tags as tagging
from imagen_nb.studio import adopting
from tests.simulation.adopting import AdoptingHistories
from tests.simulation.histories import DeletingHistories, Histories

SEED = 17
BASIC = settings(
    deadline=None,
    database=None,
    print_blob=True,
    stateful_step_count=14,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, Phase.shrink],
)


@pytest.fixture(autouse=True)
def one_thing_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a history is the same each time; and nothing waits."""
    monkeypatch.setattr(tagging, "_SIDECARS_AT_ONCE", 1)
    monkeypatch.setattr(adopting, "_READERS", 1)
    monkeypatch.setattr(adopting, "_PLACERS", 1)
    monkeypatch.setattr(reindexing, "_PAUSE_S", 0.0)


def run_histories(number: int, count: int, kind: type[Histories] = Histories) -> None:
    """Run so many; what fails is printed, shrunk, with the seed that finds it again."""
    print(f"histories with seed {number}")
    run_state_machine_as_test(seed(number)(kind), settings=settings(BASIC, max_examples=count))


def test_a_hundred_histories() -> None:
    run_histories(SEED, 100)


def test_twenty_histories_with_deletions() -> None:
    run_histories(SEED, 20, DeletingHistories)


def test_fifteen_histories_with_files_of_other_programs() -> None:
    run_histories(SEED, 15, AdoptingHistories)


@pytest.mark.soak
@pytest.mark.parametrize("kind", [DeletingHistories, AdoptingHistories])
@pytest.mark.parametrize("part", range(5))
def test_a_thousand_histories_of_each_kind(part: int, kind: type[Histories]) -> None:
    """A fifth of them; with seeds that nobody has tried before."""
    run_histories(random.SystemRandom().randrange(2**32), 200, kind)


@pytest.mark.soak
@pytest.mark.parametrize("part", range(10))
def test_ten_thousand_histories(part: int) -> None:
    """A tenth of them; with seeds that nobody has tried before."""
    run_histories(random.SystemRandom().randrange(2**32), 1000)
