"""States that a power loss leaves of a folder of one store, each opened and looked at."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.powerloss.recording import record
from tests.powerloss.states import Promise, Recording, State, distinct_states, write_tree

ProblemsOf = Callable[[Path, Sequence[Promise]], Iterator[str]]


@contextmanager
def folder_for_states() -> Iterator[Path]:
    """In memory, if there is such a place."""
    memory = Path("/dev/shm")
    usable = memory.is_dir() and os.access(memory, os.W_OK)
    with TemporaryDirectory(dir=memory if usable else None) as folder:
        yield Path(folder)


def violations(
    recording: Recording,
    states: Sequence[State],
    problems_of: ProblemsOf,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[str]:
    """Yield what is wrong in each state in which something is.

    `problems_of` is called with a state's root, and with what was promised before it.
    """
    with folder_for_states() as disk:
        for state in states:
            root = disk / secrets.token_hex(8)
            root.mkdir()
            write_tree(state.tree, root)
            promises = [recording.promises[number] for number in state.places]
            problems = [*problems_of(root, promises)]
            if told := capsys.readouterr().err:
                problems.append(f"what no crash leaves is told to be damaged: {told}")
            shutil.rmtree(root)
            if problems:
                place = recording.explain(state.places[max(state.places)])
                yield "\n".join([place, *(f"- {text}" for text in problems)])


def survive(
    scenario: str, folder: Path, problems_of: ProblemsOf, capsys: pytest.CaptureFixture[str]
) -> int:
    """Fail if a state breaks a promise of the scenario; return how many states there were."""
    recording = record(folder, (), scenario=scenario)
    states = distinct_states(recording, random_states=12, seed=17)
    wrong = [*violations(recording, states, problems_of, capsys)]
    assert not wrong, f"{len(wrong)} of {len(states)} states:\n\n" + "\n\n".join(wrong[:3])
    return len(states)


def is_noticed(
    mutation: str,
    scenario: str,
    folder: Path,
    problems_of: ProblemsOf,
    capsys: pytest.CaptureFixture[str],
) -> bool:
    """Whether a state breaks a promise where the product has this mistake."""
    recording = record(folder, (), mutation, scenario)
    states = distinct_states(recording, random_states=1, seed=17)
    return any(violations(recording, states[::-1], problems_of, capsys))
