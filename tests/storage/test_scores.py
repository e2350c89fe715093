"""The store of scores: for several processes, after deaths and damage, in any folder."""

from __future__ import annotations

import math
import os
import signal
import sqlite3
from pathlib import Path

import pytest

from imagen_nb.errors import StorageError
from imagen_nb.storage.scores import ScoredPicture, ScoreStore
from tests.fixtures.forks import forks


def picture(number: int, prompt: str = "") -> ScoredPicture:
    return ScoredPicture(f"{number:064x}", prompt)


@pytest.fixture
def store(tmp_path: Path) -> ScoreStore:
    return ScoreStore(tmp_path)


def test_what_was_added_is_found_by_scorer_picture_and_prompt(store: ScoreStore) -> None:
    store.add("sharpness 1", {picture(1): 2.5, picture(2): math.nan})
    store.add("clip x", {picture(1, "ab"): 0.25})
    found = store.load("sharpness 1", [picture(1), picture(2), picture(3)])
    assert found[picture(1)] == 2.5
    assert math.isnan(found[picture(2)])
    assert picture(3) not in found
    assert store.load("clip x", [picture(1, "ab"), picture(1, "cd")]) == {picture(1, "ab"): 0.25}
    assert store.load("sharpness 2", [picture(1)]) == {}


def test_what_is_there_stays(store: ScoreStore) -> None:
    store.add("s 1", {picture(1): 1.0})
    store.add("s 1", {picture(1): 2.0, picture(2): 3.0})
    assert store.load("s 1", [picture(1), picture(2)]) == {picture(1): 1.0, picture(2): 3.0}


def test_many_are_asked_for_at_once(store: ScoreStore) -> None:
    scores = {picture(number): float(number) for number in range(1500)}
    store.add("s 1", scores)
    assert store.load("s 1", [*scores]) == scores
    assert store.load("s 1", [picture(7)]) == {picture(7): 7.0}


def test_nothing_is_made_by_looking(store: ScoreStore, tmp_path: Path) -> None:
    assert store.load("s 1", [picture(1)]) == {}
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("damage", [b"no database at all, but long enough" * 99, b"", None])
def test_a_damaged_file_is_made_anew(store: ScoreStore, damage: bytes | None) -> None:
    store.add("s 1", {picture(number): 1.0 for number in range(500)})
    whole = store.path.read_bytes()
    torn = whole[:2000] + bytes(6000) + whole[8000:]
    store.path.write_bytes(torn if damage is None else damage)
    assert store.load("s 1", [picture(1)]) in ({}, {picture(1): 1.0})
    store.add("s 1", {picture(7000): 7.0})
    assert store.load("s 1", [picture(7000)]) == {picture(7000): 7.0}


def test_where_nothing_can_be_written_the_reason_is_told(store: ScoreStore) -> None:
    store.path.mkdir(parents=True)
    with pytest.raises(StorageError, match="cannot write"):
        store.add("s 1", {picture(1): 1.0})
    assert store.load("s 1", [picture(1)]) == {}


class TestProcesses:
    pytestmark = forks

    def test_several_add_at_the_same_time(self, store: ScoreStore) -> None:
        children = []
        for child in range(4):
            children.append(os.fork())
            if children[-1] == 0:
                for number in range(25):
                    store.add("s 1", {picture(100 * child + number): float(number)})
                os._exit(0)
        codes = [os.waitstatus_to_exitcode(os.waitpid(each, 0)[1]) for each in children]
        assert codes == [0] * 4
        wanted = [picture(100 * child + number) for child in range(4) for number in range(25)]
        assert len(store.load("s 1", wanted)) == 100

    def test_one_that_is_killed_leaves_what_was_added(self, store: ScoreStore) -> None:
        child = os.fork()
        if child == 0:
            store.add("s 1", {picture(1): 1.0})
            with sqlite3.connect(store.path) as connection:
                connection.execute("INSERT INTO scores VALUES ('s 1', 'x', '', 1.0)")
                os.kill(os.getpid(), signal.SIGKILL)  # before it is committed
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        store.add("s 1", {picture(2): 2.0})
        wanted = [picture(1), picture(2), ScoredPicture("x")]
        assert store.load("s 1", wanted) == {picture(1): 1.0, picture(2): 2.0}
