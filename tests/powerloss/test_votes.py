"""What a folder's votes have kept is there after a power loss, once, and as it was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from imagen_nb.storage.votes import VoteStore
from tests.powerloss.states import Promise
from tests.powerloss.stores import is_noticed, survive
from tests.powerloss.vote_scenario import FOLDER, numbered_votes

SCENARIO = "tests.powerloss.vote_scenario"


def problems_of(root: Path, promises: Sequence[Promise]) -> Iterator[str]:
    store = VoteStore(root / FOLDER)
    kept = max((promise.get("kept", 0) for promise in promises), default=0)
    found = store.all()
    if found[:kept] != numbered_votes(range(kept)):
        yield f"some of {kept} votes are lost, or others"
    if len({*found}) < len(found) or not {*found} <= {*numbered_votes(range(40))}:
        yield "what was not promised is there twice, or otherwise"
    later = numbered_votes(range(100, 103))
    store.add(later)
    after = store.all()
    if after[-3:] != later or not {*found} <= {*after}:
        yield "what is added afterwards is not there, or takes others away"


def test_votes_survive_a_power_loss(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert survive(SCENARIO, tmp_path, problems_of, capsys) > 25


@pytest.mark.parametrize("mutation", ["no file flush", "no folder flush"])
def test_votes_that_are_not_flushed_would_be_noticed(
    mutation: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert is_noticed(mutation, SCENARIO, tmp_path, problems_of, capsys)
