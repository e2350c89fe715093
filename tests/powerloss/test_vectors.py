"""What a store of vectors has kept is there after a power loss, and nothing else is found."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from imagen_nb.storage.vectors import VectorStore, stores_in
from tests.fixtures.vectors import DIMENSIONS, ROUNDING, add_numbered, numbered_ids, units_of
from tests.powerloss.recording import record
from tests.powerloss.states import Promise, Recording, State, distinct_states, write_tree
from tests.powerloss.vector_scenario import FOLDER

SCENARIO = "tests.powerloss.vector_scenario"


@pytest.fixture
def disk() -> Iterator[Path]:
    """A folder for the states: in memory, if there is such a place."""
    memory = Path("/dev/shm")
    usable = memory.is_dir() and os.access(memory, os.W_OK)
    with TemporaryDirectory(dir=memory if usable else None) as folder:
        yield Path(folder)


def problems_of(folder: Path, promises: Sequence[Promise]) -> Iterator[str]:
    stores_in(folder)
    store = VectorStore(folder, "m", DIMENSIONS)
    yield from _unkept(store, promises)
    add_numbered(store, range(1000, 1040))
    if store.missing(numbered_ids(range(1000, 1040))):
        yield "what is added afterwards is not there"
    yield from _unkept(store, promises)


def _unkept(store: VectorStore, promises: Sequence[Promise]) -> Iterator[str]:
    found, _ = store.cosines(np.ones(DIMENSIONS, np.float32))
    if len({*found}) < len(found):
        yield "an id has several rows"
    if found and np.abs(store.vectors(found) - units_of(found)).max() > ROUNDING:
        yield "a vector is another one's"
    unsent = {*store.unsent()}
    for promise in promises:
        if lost := {*promise.get("kept", ())} - {*found}:
            yield f"{len(lost)} are lost (promised: {promise['what']})"
        elif not {*promise.get("unsent", ())} <= unsent:
            yield f"some are never sent (promised: {promise['what']})"


def violations(
    recording: Recording, states: Sequence[State], disk: Path, capsys: pytest.CaptureFixture[str]
) -> Iterator[str]:
    for state in states:
        root = disk / secrets.token_hex(8)
        root.mkdir()
        write_tree(state.tree, root)
        promises = [recording.promises[number] for number in state.places]
        problems = [*problems_of(root / FOLDER, promises)]
        if told := capsys.readouterr().err:
            problems.append(f"what no crash leaves is told to be damaged: {told}")
        shutil.rmtree(root)
        if problems:
            place = recording.explain(state.places[max(state.places)])
            yield "\n".join([place, *(f"- {text}" for text in problems)])


def test_vectors_survive_a_power_loss(
    tmp_path: Path, disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = record(tmp_path, (), scenario=SCENARIO)
    states = distinct_states(recording, random_states=12, seed=17)
    wrong = [*violations(recording, states, disk, capsys)]
    assert len(states) > 150
    assert not wrong, f"{len(wrong)} of {len(states)} states:\n\n" + "\n\n".join(wrong[:3])


@pytest.mark.parametrize("mutation", ["no file flush", "no folder flush"])
def test_vectors_that_are_not_flushed_would_be_noticed(
    mutation: str, tmp_path: Path, disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = record(tmp_path, (), mutation, SCENARIO)
    states = distinct_states(recording, random_states=1, seed=17)
    assert any(violations(recording, states[::-1], disk, capsys))
