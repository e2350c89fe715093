"""Votes are kept: none that was acknowledged is lost, whoever dies when, and none is doubled."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from imagen_nb.errors import StorageError, UsageError
from imagen_nb.frames.votes import VOTE_COLUMNS, votes_frame
from imagen_nb.storage import votes as votes_module
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.outbox import Outbox
from imagen_nb.storage.sent_votes import mark_votes_sent, unsent_votes
from imagen_nb.storage.votes import (
    Vote,
    VotesPlace,
    VoteStore,
    checked_question,
    checked_voter,
    default_voter,
    merged_votes,
    standing,
)
from imagen_nb.storage.votes_csv import load_votes_text, parse_votes_csv
from imagen_nb.system.csv_text import frame_as_csv
from tests.fixtures.forks import forks
from tests.fixtures.kill_points import arm
from tests.fixtures.pictures import render

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
moments = st.datetimes(datetime(1970, 1, 2), datetime(9998, 12, 30), timezones=st.just(UTC))
any_votes = st.builds(
    Vote,
    id=st.uuids(),
    question=texts,
    voter=texts,
    left=st.just(UUID(int=1)),
    right=st.uuids().filter(lambda id: id != UUID(int=1)),
    outcome=st.sampled_from(["left", "right", "tie", "skip"]),
    created_at=moments,
    seconds=st.none() | st.floats(0, 1e300),
    takes_back=st.none() | st.uuids(),
)
batches = st.lists(st.lists(any_votes, max_size=4, unique_by=lambda v: v.id), max_size=5)


def vote(outcome: Any = "left", **values: Any) -> Vote:
    return Vote(left=uuid4(), right=uuid4(), outcome=outcome, **values)


def each_once(votes: list[Vote]) -> list[Vote]:
    """The first of each id."""
    return [*{one.id: one for one in reversed(votes)}.values()][::-1]


@pytest.fixture
def store(tmp_path: Path) -> VoteStore:
    return VoteStore(tmp_path)


@contextmanager
def new_store() -> Iterator[VoteStore]:
    """In a folder of its own, in memory where there is such a place: for one example."""
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield VoteStore(Path(folder))


# What is kept


@settings(max_examples=40)
@given(batches)
def test_what_was_kept_comes_back_as_it_was_in_order(kept: list[list[Vote]]) -> None:
    with new_store() as store:
        for votes in kept:
            store.add(votes)
        assert store.all() == each_once([one for votes in kept for one in votes])


def test_without_a_file_there_are_none_and_reading_makes_none(store: VoteStore) -> None:
    assert store.all() == []
    assert [*store.parts_after(VotesPlace(), 5)] == []
    store.add([])
    assert [*store.folder.iterdir()] == []


@settings(max_examples=15)
@given(st.lists(any_votes, min_size=1, max_size=3), st.lists(any_votes, min_size=1, max_size=3))
def test_a_line_torn_anywhere_takes_no_other_vote_with_it(
    kept: list[Vote], torn: list[Vote]
) -> None:
    """A crash leaves any part of what was being written; others go on after it."""
    with new_store() as store:
        store.add(kept)
        acknowledged = store.path.read_bytes()
        store.add(torn)
        written = store.path.read_bytes()[len(acknowledged) :]
        later = [vote(), vote("tie")]
        for length in range(0, len(written) + 1, max(1, len(written) // 60)):
            store.path.write_bytes(acknowledged + written[:length])
            assert store.all()[: len(each_once(kept))] == each_once(kept)
            store.add(later)
            found = store.all()
            assert found[-2:] == later
            assert {one.id for one in kept} <= {one.id for one in found}
            assert {one.id for one in found} <= {one.id for one in (*kept, *torn, *later)}
            assert len({one.id for one in found}) == len(found)


@pytest.mark.parametrize(
    "junk",
    [b"\0" * 500, b"\xff\xfe\n", b"{}\n[]\n\n\n", b"[" * 5000, b'{"id": "', b"\n\n", b"null"],
    ids=repr,
)
def test_what_is_no_vote_is_passed_over(store: VoteStore, junk: bytes) -> None:
    first, second = vote(), vote("skip")
    store.add([first])
    with open(store.path, "ab") as file:
        file.write(junk)
    store.add([second])
    assert store.all() == [first, second]


def test_a_later_versions_line_is_read_as_far_as_it_is_known(store: VoteStore) -> None:
    one = vote()
    store.add([one])
    known = store.path.read_text()
    store.path.write_text(known.replace('{"id"', '{"mood": "good", "id"'))
    assert store.all() == [one]


# What can go wrong


def test_a_full_disk_leaves_nothing_half(store: VoteStore) -> None:
    """The system takes the first bytes, and refuses the rest."""
    first = vote()
    store.add([first])
    before = store.path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 1000, hard))
    try:
        with pytest.raises(StorageError, match=r"^cannot keep votes in .*: choose a folder"):
            store.add([vote() for _ in range(20)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert store.path.read_bytes() == before
    store.add([second := vote()])
    assert store.all() == [first, second]


def test_a_folder_that_cannot_be_written_to_is_said(store: VoteStore) -> None:
    store.folder.joinpath(".imagen").write_text("a file")
    with pytest.raises(StorageError, match=r"^cannot keep votes in "):
        store.add([vote()])


def test_a_file_that_cannot_be_read_is_said(store: VoteStore) -> None:
    store.path.mkdir(parents=True)
    with pytest.raises(StorageError, match=r"^cannot read .*votes\.jsonl: "):
        store.all()


def test_who_keeps_others_waiting_is_named(
    store: VoteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add([vote()])
    monkeypatch.setattr(votes_module, "LOCK_TIMEOUT_S", 0.01)
    with (
        FileLock(store.path.with_name("votes.lock")),
        pytest.raises(StorageError, match=rf"^process {os.getpid()} .* has been keeping votes"),
    ):
        store.add([vote()])


# Many at once


def test_threads_lose_nothing_of_each_other(store: VoteStore) -> None:
    votes = [vote() for _ in range(48)]
    with ThreadPoolExecutor(8) as pool:
        for _ in pool.map(lambda one: VoteStore(store.folder).add([one]), votes):
            pass
    assert sorted(store.all(), key=lambda one: one.id) == sorted(votes, key=lambda one: one.id)


def voting_child(folder: Path, notes: Path, count: int, killed_at: str) -> int:
    """Fork a process that notes the id of each vote once it is kept; return its id."""
    child = os.fork()
    if child:
        return child
    try:
        if killed_at:
            arm(killed_at)
        store = VoteStore(folder)
        with notes.open("a", buffering=1) as told:
            for _ in range(count):
                one = vote(question="q" * 150)
                store.add([one])
                told.write(f"{one.id}\n")
    finally:
        os._exit(0)


class TestProcesses:
    pytestmark = forks

    def test_they_lose_nothing_of_each_other_though_some_are_killed(
        self, store: VoteStore, tmp_path: Path
    ) -> None:
        """Each of two dies between writing and flushing, two go on."""
        deaths = ["", "", "before-flush:4", "before-flush:9"]
        notes = [tmp_path / str(number) for number in range(4)]
        children = [
            voting_child(store.folder, note, 25, killed_at)
            for note, killed_at in zip(notes, deaths, strict=True)
        ]
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        assert codes == [0, 0, *[-signal.SIGKILL] * 2]
        told = [note.read_text().split() for note in notes]
        assert [len(ids) for ids in told] == [25, 25, 3, 8]
        found = [str(one.id) for one in store.all()]
        assert len(found) == len({*found})
        assert {id for ids in told for id in ids} <= {*found}
        assert len(found) - sum(map(len, told)) <= 2  # what was written at the deaths


# Up to where they were sent


@settings(max_examples=50)
@given(
    st.lists(any_votes, max_size=9, unique_by=lambda one: one.id),
    st.integers(0, 9),
    st.integers(1, 4),
)
def test_from_any_place_on_the_rest_is_given_once(
    votes: list[Vote], before: int, most: int
) -> None:
    with new_store() as store:
        store.add(votes[:before])
        ends = [end for _, end in store.parts_after(VotesPlace(), most)]
        place = ends[-1] if ends else VotesPlace()
        store.add(votes[before:])
        parts = [*store.parts_after(place, most)]
        assert [one for part, _ in parts for one in part] == votes[before:]
        assert all(len(part) <= most for part, _ in parts)
        end = parts[-1][1] if parts else place
        assert [*store.parts_after(end, most)] == []
        assert end.offset == (store.path.stat().st_size if votes else 0)


def test_in_another_file_all_are_given_again(store: VoteStore, tmp_path: Path) -> None:
    """Removed since, shorter, or put together with others'."""
    first, second = [vote() for _ in range(30)], [vote() for _ in range(40)]
    store.add(first)
    ((_, place),) = store.parts_after(VotesPlace(), 100)
    other = VoteStore(tmp_path / "other")
    other.add(second)
    assert [part for part, _ in other.parts_after(place, 100)] == [second]
    together = other.path.read_bytes() + store.path.read_bytes()
    store.path.write_bytes(together)
    assert [part for part, _ in store.parts_after(place, 100)] == [second + first]
    store.path.write_bytes(together[:300])
    assert [part for part, _ in store.parts_after(place, 100)] == [second[:1]]
    store.path.unlink()
    assert [*store.parts_after(place, 100)] == []


def unsent_in(catalog: Catalog) -> list[Vote]:
    """What is to be sent, and noted as sent."""
    found = []
    for votes, place in unsent_votes(catalog, 2):
        found += votes
        mark_votes_sent(catalog, place)
    return found


def test_votes_are_unsent_until_it_is_noted(folder: Path) -> None:
    store, catalog = VoteStore(folder), Catalog(folder)
    assert [*unsent_votes(catalog, 2)] == []
    votes = [vote() for _ in range(5)]
    store.add(votes)
    assert [one for part, _ in unsent_votes(catalog, 2) for one in part] == votes
    assert unsent_in(catalog) == votes
    assert unsent_in(catalog) == []
    store.add([later := vote()])
    assert unsent_in(catalog) == [later]
    catalog.close()
    shutil.rmtree(folder / ".imagen" / "leases", ignore_errors=True)
    catalog.path.unlink()  # a catalog lost is votes sent again
    assert unsent_in(Catalog(folder)) == [*votes, later]


def test_votes_on_private_pictures_wait_until_these_are_included(folder: Path) -> None:
    render(folder, 2)
    catalog = Catalog(folder)
    private, shared = (entry.record.id for entry in catalog.latest(2))
    with catalog.connection() as connection:
        connection.execute("UPDATE images SET cloud_state = 'off' WHERE id = ?", [str(private)])
    secret = Vote(left=shared, right=private, outcome="left")
    told = Vote(left=shared, right=uuid4(), outcome="left")
    VoteStore(folder).add([secret, told])
    assert unsent_in(catalog) == [told]
    assert Outbox(catalog).include([private]) == [str(private)]
    assert unsent_in(catalog) == [secret, told]


# What counts


def test_what_was_taken_back_does_not_count_nor_does_the_taking_back() -> None:
    first, second = vote(), vote("tie")
    back = first.model_copy(update={"id": uuid4(), "takes_back": first.id})
    again = first.model_copy(update={"id": uuid4(), "takes_back": first.id})
    of_another = second.model_copy(update={"id": uuid4(), "takes_back": uuid4()})
    assert standing([back, first, again, second, of_another]) == [second]


def test_several_places_are_merged_oldest_first() -> None:
    moments = [datetime(2026, 5, day, tzinfo=UTC) for day in (1, 2, 3)]
    a, b, c = (vote(created_at=moment) for moment in moments)
    assert merged_votes([[c, a], [b, a], []]) == [a, b, c]


# What a vote may say


def test_times_are_in_utc() -> None:
    one = vote(created_at=datetime.fromisoformat("2026-05-11T08:00:00+02:00"))
    assert one.created_at == datetime(2026, 5, 11, 6, tzinfo=UTC)
    assert one.created_at.tzinfo is UTC


WRONG: dict[str, dict[str, Any]] = {
    "a long question": {"question": "q" * 201},
    "a long name": {"voter": "v" * 101},
    "a NUL": {"question": "a\0b"},
    "half a character": {"voter": "\ud800"},
    "one picture": {"left": UUID(int=1), "right": UUID(int=1)},
    "no outcome": {"outcome": "both"},
    "no time": {"seconds": -0.1},
    "endless": {"seconds": float("inf")},
    "not a number": {"seconds": float("nan")},
    "no zone": {"created_at": datetime(2026, 5, 11)},
    "before computers": {"created_at": datetime(1969, 1, 1, tzinfo=UTC)},
    "beyond the calendar": {"created_at": datetime(9999, 1, 1, tzinfo=UTC)},
}


@pytest.mark.parametrize("values", WRONG.values(), ids=WRONG)
def test_what_no_table_would_take_is_no_vote(values: dict[str, Any]) -> None:
    usual = {"left": uuid4(), "right": uuid4(), "outcome": "left"}
    Vote.model_validate(usual)
    with pytest.raises(ValidationError):
        Vote.model_validate(usual | values)


@pytest.mark.parametrize("text", ["a\nb", "a\x1bb", "a\u2028b", "x" * 201, 5, "\ud800"], ids=repr)
def test_a_question_is_a_line_of_text(text: Any) -> None:
    with pytest.raises(UsageError, match=r"^question "):
        checked_question(text)


def test_questions_and_voters_are_stripped() -> None:
    assert checked_question(" Laquelle\u00a0? ") == "Laquelle\u00a0?"
    assert (checked_voter("  "), checked_voter(" Zoë ")) == ("", "Zoë")
    with pytest.raises(UsageError, match=r"^question is empty: "):
        checked_question("  ")
    with pytest.raises(UsageError, match=r"^voter must have at most 100 characters, not 101$"):
        checked_voter("v" * 101)


def test_the_voter_is_who_is_logged_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "anna\x1b[31m" + "x" * 200)
    assert default_voter() == ("anna[31m" + "x" * 200)[:100]
    assert vote(voter=default_voter()).voter.startswith("anna")


# CSV


def in_csv(*rows: str, head: str = "left,right,outcome") -> str:
    return "\n".join([head, *rows])


A, B = UUID(int=10), UUID(int=11)
PAIR = f"{A},{B}"


def _line(text: str) -> str:
    return "".join(filter(str.isprintable, text)).replace("'", "").strip()


@settings(max_examples=40)
@given(st.lists(any_votes, max_size=5, unique_by=lambda one: one.id), st.booleans())
def test_what_a_frame_writes_is_read_as_it_was(votes: list[Vote], raw: bool) -> None:
    lines = [
        one.model_copy(
            update={
                "question": _line(one.question) or "q",
                "voter": "".join(filter(str.isalnum, one.voter)),
                "takes_back": None,
            }
        )
        for one in votes
    ]
    assert parse_votes_csv(frame_as_csv(votes_frame(lines), raw=raw)) == lines


def test_a_few_columns_are_enough() -> None:
    first, second = parse_votes_csv(in_csv(f"{PAIR},left", "", f"{PAIR},left"))
    assert (first.left, first.right, first.outcome) == (A, B, "left")
    assert (first.question, first.voter, first.seconds) == ("which is better?", "", None)
    assert first.id != second.id  # two people may say the same
    again = parse_votes_csv(in_csv(f"{PAIR},left", f"{PAIR},left"))
    assert [one.id for one in again] == [first.id, second.id]


def test_columns_may_stand_in_any_order_beside_others() -> None:
    head = " outcome ,note,right,left,created_at,voter,seconds"
    row = f'tie,"a\nb",{B},{A},2026-05-11 08:00:00+02:00,\' me,1.5'
    (one,) = parse_votes_csv(in_csv(row, head=head))
    assert (one.left, one.outcome, one.seconds) == (A, "tie", 1.5)
    assert one.created_at == datetime(2026, 5, 11, 6, tzinfo=UTC)


BAD_LINES = {
    "an empty file": ("", r"line 1: no column left, right, outcome;"),
    "a column missing": (in_csv(head="left,outcome"), r"line 1: no column right;"),
    "no picture": (in_csv(f"{PAIR},left", f"x,{B},left"), r"line 3: left 'x': .*UUID.*;"),
    "one picture": (in_csv(f"{A},{A},left"), r"line 2: left and right are the same picture;"),
    "no outcome": (in_csv(f"{PAIR},up"), r"line 2: outcome 'up': .*'left', 'right'.*;"),
    "too few cells": (in_csv(f"{PAIR},tie", f"{A},{B}"), r"line 3: 2 cells, not 3;"),
    "after a cell of two lines": (
        in_csv(f'{PAIR},left,"a\nb"', f"{PAIR},up,", head="left,right,outcome,note"),
        r"line 4: outcome 'up'",
    ),
    "no time": (
        in_csv(f"{PAIR},tie,yesterday", head="left,right,outcome,created_at"),
        r"line 2: created_at must be a time like .* not 'yesterday';",
    ),
    "no seconds": (
        in_csv(f"{PAIR},tie,-1", head="left,right,outcome,seconds"),
        r"line 2: seconds '-1': ",
    ),
    "a long question": (
        in_csv(f"{PAIR},tie,{'q' * 201}", head="left,right,outcome,question"),
        r"line 2: question must have at most 200 characters, not 201;",
    ),
    "no id": (
        in_csv(f"{PAIR},tie,7", head="left,right,outcome,id"),
        r"line 2: id '7': ",
    ),
    "a quotation mark left open": (in_csv(f'{PAIR},"left'), r"line 2: this is no CSV"),
}


@pytest.mark.parametrize(("text", "said"), BAD_LINES.values(), ids=BAD_LINES)
def test_a_bad_line_is_named(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=f"^{said}") as error:
        parse_votes_csv(text)
    assert str(error.value).endswith("; no vote is imported")


def test_a_file_that_is_no_text_is_said(tmp_path: Path) -> None:
    file = tmp_path / "votes.csv"
    with pytest.raises(UsageError, match=r"^cannot read .*votes\.csv: No such file"):
        load_votes_text(file)
    file.write_bytes(b"left,right,outcome\n\xff")
    with pytest.raises(UsageError, match=r"is no text in UTF-8: no vote is imported$"):
        load_votes_text(file)
    file.write_bytes(b"\xef\xbb\xbfleft,right,outcome\r\n" + f"{PAIR},tie\r\n".encode())
    assert len(parse_votes_csv(load_votes_text(file))) == 1


# A frame


def test_a_frame_has_the_same_columns_and_types_with_votes_and_without() -> None:
    one, tie = vote("right", seconds=1.5, voter="me"), vote("tie")
    frame, empty = votes_frame([one, tie]), votes_frame([])
    assert tuple(frame.columns) == tuple(empty.columns) == VOTE_COLUMNS
    assert [*frame.dtypes] == [*empty.dtypes]
    assert {str(frame[name].dtype) for name in ("id", "winner", "voter", "outcome")} == {"str"}
    assert str(frame["created_at"].dtype) == "datetime64[us, UTC]"
    assert str(frame["seconds"].dtype) == "float64"
    assert (frame["winner"][0], frame["loser"][0]) == (str(one.right), str(one.left))
    assert frame[["winner", "loser", "seconds"]].iloc[1].isna().all()
    assert frame["created_at"][0] == one.created_at
