"""What a folder's votes have kept is there after a power loss, once, and as it was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from imagen_nb.storage.votes import VoteStore
from tests.powerloss.recording import record
from tests.powerloss.states import Promise, distinct_states
from tests.powerloss.stores import violations
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
    recording = record(tmp_path, (), scenario=SCENARIO)
    states = distinct_states(recording, random_states=12, seed=17)
    wrong = [*violations(recording, states, problems_of, capsys)]
    assert len(states) > 25
    assert not wrong, f"{len(wrong)} of {len(states)} states:\n\n" + "\n\n".join(wrong[:3])


@pytest.mark.parametrize("mutation", ["no file flush", "no folder flush"])
def test_votes_that_are_not_flushed_would_be_noticed(
    mutation: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = record(tmp_path, (), mutation, SCENARIO)
    states = distinct_states(recording, random_states=1, seed=17)
    assert any(violations(recording, states[::-1], problems_of, capsys))
