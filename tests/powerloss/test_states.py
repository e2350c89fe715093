"""States of a recording: each once, with every promise under which it may be left."""

from __future__ import annotations

import json
from pathlib import Path

from tests.powerloss.states import (
    Recording,
    choose,
    distinct_states,
    make_recording,
    write_tree,
)
from tests.powerloss.trace import Operation


def promised(what: str) -> Operation:
    return Operation("mark", data=json.dumps({"what": what}).encode())


def recording() -> Recording:
    """A file is written, flushed, promised; then its folder is flushed, too late."""
    operations = [
        Operation("open", "a", handle=1, creates=True, begin=1, end=1),
        Operation("write", "a", handle=1, data=b"x", begin=2, end=2),
        Operation("sync", "a", handle=1, begin=3, end=3),
        promised("too early"),
        Operation("open", handle=2, begin=4, end=4),
        Operation("sync", handle=2, begin=5, end=5),
        promised("in time"),
    ]
    return make_recording(operations)


def contents(recording: Recording, promise: int) -> list[dict[str, bytes]]:
    """What may be left while this promise is the last."""
    states = distinct_states(recording, random_states=2, seed=1)
    return [
        {path: one.bytes() for path, one in state.tree.files.items() if one}
        for state in states
        if promise in state.places
    ]


def test_a_promise_that_comes_too_early_is_left_without_its_file() -> None:
    assert {} in contents(recording(), 1)
    assert contents(recording(), 2) == [{"a": b"x"}]


def test_each_state_is_there_once_with_the_first_place_of_each_promise() -> None:
    states = distinct_states(recording(), random_states=5, seed=1)
    assert len(states) == 4  # nothing; empty, without data; a zero; all
    (whole,) = (state for state in states if 2 in state.places)
    assert whole.places == {
        0: (1, "all of it on the disk"),
        1: (3, "all of it on the disk"),
        2: (6, "all of it on the disk"),
    }


def test_those_just_after_a_promise_are_chosen_first() -> None:
    states = distinct_states(recording(), random_states=0, seed=1)
    telling = [state for state in states if len(state.places) > 1]
    assert choose(states, 0) == telling
    assert choose(states, 99) == states


def test_a_message_names_model_and_last_operations() -> None:
    text = recording().explain((3, "names without data"))
    assert text.splitlines() == [
        "power lost after operation 3, names without data:",
        "  0 open a",
        "  1 write a 0+1 …",
        "  2 sync a",
        "  3 promised: too early",
    ]


def test_a_tree_is_made_and_known_by_its_contents(tmp_path: Path) -> None:
    digests = []
    for number, state in enumerate(distinct_states(recording(), 0, 1)):
        root = tmp_path / str(number)
        root.mkdir()
        digests.append(write_tree(state.tree, root))
    assert len(set(digests)) == len(digests)
    assert {path.read_bytes() for path in tmp_path.glob("*/a")} == {b"", b"\0", b"x"}
