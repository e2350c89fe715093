"""Whatever a user was told is kept is there after a power loss at any moment.

One process uses the product under strace; each state that a power loss may leave of its
operations is made, and opened by the product.
"""

from __future__ import annotations

import random
import secrets
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from imagen_nb.storage import catalog as cataloging
from imagen_nb.storage import reindex as reindexing
from tests.powerloss.checks import problems_of
from tests.powerloss.recording import record
from tests.powerloss.states import Recording, State, choose, distinct_states, write_tree
from tests.powerloss.stores import folder_for_states

# In the order of the day. Those of MUTANT need no model, and so no torch.
ACTS = (
    "draw",
    "sweep",
    "again",
    "tag",
    "include",
    "elsewhere",
    "settle",
    "company",
    "queue",
    "adopt",
    "library",
    "edit",
    "amend",
    "settle",
    "sync",
    "tag_synced",
    "at_once",
    "delete",
    "import_tags",
    "restore",
    "library_by_copy",
    "adopt",
    "reindex",
    "notebook",
)
ADOPTING_ACTS = ("library", "tag", "library_by_copy", "settle", "delete", "restore", "adopt")
MUTANT_ACTS = ("adopt", "tag", "queue")
MAX_SHOWN = 5  # violations in a message


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else waits to change a sidecar here."""
    monkeypatch.setattr(reindexing, "_PAUSE_S", 0.0)


@pytest.fixture
def disk() -> Iterator[Path]:
    """A folder for the states."""
    with folder_for_states() as folder:
        yield folder


def violations(
    recording: Recording, states: Sequence[State], disk: Path
) -> Iterator[tuple[str, str]]:
    """Gives the digest of each state, and what is wrong with it, or nothing."""
    for state in states:
        root = disk / secrets.token_hex(8)
        root.mkdir()
        digest = write_tree(state.tree, root)
        promises = {number: recording.promises[number] for number in state.places}
        problems = problems_of(root, promises)
        shutil.rmtree(root)
        if problems:
            place = recording.explain(state.places[problems[0][0]])
            yield digest, "\n".join([place, *(f"- {text}" for _, text in problems)])
        else:
            yield digest, ""


def check(recording: Recording, states: Sequence[State], disk: Path) -> int:
    """Fails if a state breaks a promise; returns how many different ones there were."""
    digests: set[str] = set()
    wrong: list[str] = []
    for digest, problem in violations(recording, states, disk):
        digests.add(digest)
        if problem:
            wrong.append(problem)
    # Of those that say the same, the first.
    distinct = {problem.partition("\n- ")[2]: problem for problem in reversed(wrong)}
    shown = "\n\n".join([*reversed(distinct.values())][:MAX_SHOWN])
    assert not wrong, f"{len(wrong)} of {len(digests)} states break a promise:\n\n{shown}"
    return len(digests)


def test_what_was_acknowledged_survives_a_power_loss(tmp_path: Path, disk: Path) -> None:
    recording = record(tmp_path, ACTS)
    states = distinct_states(recording, random_states=2, seed=17)
    assert check(recording, choose(states, 1100), disk) >= 1000


@pytest.mark.soak
def test_adopted_files_survive_every_power_loss(tmp_path: Path, disk: Path) -> None:
    seed = secrets.randbelow(1_000_000)
    recording = record(tmp_path, ADOPTING_ACTS * 2)
    states = distinct_states(recording, random_states=12, seed=seed, every_sector=True)
    found = check(recording, choose(states, 12_000), disk)
    print(f"seed {seed}: {found} states")
    assert found >= 5_000


@pytest.mark.soak
def test_what_was_acknowledged_survives_every_power_loss(tmp_path: Path, disk: Path) -> None:
    seed = secrets.randbelow(1_000_000)
    print(f"seed {seed}")
    recording = record(tmp_path, ACTS * 2)
    states = distinct_states(recording, random_states=8, seed=seed, every_sector=True)
    assert check(recording, choose(states, 12_000), disk) >= 10_000


@pytest.mark.parametrize(
    "mutation", ["no file flush", "no folder flush", "early name", "no durable commit"]
)
def test_a_mistake_would_be_noticed(mutation: str, tmp_path: Path, disk: Path) -> None:
    recording = record(tmp_path, MUTANT_ACTS, mutation)
    states = distinct_states(recording, random_states=1, seed=17)
    random.Random(17).shuffle(states)  # a mistake shows itself at one time of the day
    assert any(problem for _, problem in violations(recording, states, disk))


def test_rows_that_are_not_mended_would_be_noticed(
    tmp_path: Path, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = record(tmp_path, MUTANT_ACTS)
    states = choose(distinct_states(recording, random_states=0, seed=17), 0)
    assert check(recording, states, disk) > 10
    monkeypatch.setattr(cataloging, "enter_missing", lambda connection, folder: None)
    assert any("not in the history" in one for _, one in violations(recording, states, disk))


def test_deletions_that_are_not_finished_would_be_noticed(
    tmp_path: Path, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = record(tmp_path, ("adopt", "delete"))
    states = distinct_states(recording, random_states=0, seed=17)
    assert check(recording, choose(states, 40), disk) > 10
    monkeypatch.setattr(cataloging, "tend_trash", lambda connection, folder: None)
    latest_first = violations(recording, states[::-1], disk)
    assert any("of the deleted" in one for _, one in latest_first)
