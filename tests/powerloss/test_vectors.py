"""What a store of vectors has kept is there after a power loss, and nothing else is found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from imagen_nb.storage.vectors import VectorStore, stores_in
from tests.fixtures.vectors import DIMENSIONS, ROUNDING, add_numbered, numbered_ids, units_of
from tests.powerloss.states import Promise
from tests.powerloss.stores import is_noticed, survive
from tests.powerloss.vector_scenario import FOLDER

SCENARIO = "tests.powerloss.vector_scenario"


def problems_of(root: Path, promises: Sequence[Promise]) -> Iterator[str]:
    folder = root / FOLDER
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


def test_vectors_survive_a_power_loss(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert survive(SCENARIO, tmp_path, problems_of, capsys) > 150


@pytest.mark.parametrize("mutation", ["no file flush", "no folder flush"])
def test_vectors_that_are_not_flushed_would_be_noticed(
    mutation: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert is_noticed(mutation, SCENARIO, tmp_path, problems_of, capsys)
