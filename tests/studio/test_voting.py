"""Votes of a session: on pictures in any form, taken back, listed and imported."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from imagen_nb.errors import UsageError
from imagen_nb.storage.votes import Vote, VoteStore
from imagen_nb.studio.studio import Studio
from tests.fixtures.pictures import render


@pytest.fixture
def studio(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Studio]:
    monkeypatch.setenv("LOGNAME", "anna")
    render(folder, 3)
    with Studio({"output": {"dir": str(folder)}}, background=False) as studio:
        yield studio


@pytest.fixture
def ids(studio: Studio) -> list[str]:
    return [*studio.history()["id"]]


def test_a_vote_says_what_was_said_and_is_on_the_disk(studio: Studio, ids: list[str]) -> None:
    vote = studio.vote(ids[0], ids[1], "right", question=" which is calmer? ", seconds=2)
    assert (str(vote.left), str(vote.right), vote.outcome) == (ids[0], ids[1], "right")
    assert (vote.question, vote.voter, vote.seconds) == ("which is calmer?", "anna", 2.0)
    assert VoteStore(studio.catalog().folder).all() == [vote]


def test_pictures_are_named_in_any_form(studio: Studio, ids: list[str]) -> None:
    frame = studio.history()
    picture = studio.lookup.original(ids[0])
    forms = [frame.iloc[0], UUID(ids[0]), ids[0][:8], frame["local_path"][0], picture.record]
    for form in forms:
        assert str(studio.vote(form, ids[1], "tie").left) == ids[0]
    unknown = uuid4()
    assert studio.vote(ids[0], unknown, "left").right == unknown


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no outcome": (
        {"outcome": "lefty"},
        r"^outcome must be one of left, right, tie, skip, not 'lefty'; did you mean left\?$",
    ),
    "another thing": ({"outcome": 3}, r"^outcome must be one of .*, not 3$"),
    "one picture": ({"right": "LEFT"}, r"^left and right are the same picture, "),
    "several": ({"left": "FRAME"}, r"^left must be one picture, not 3$"),
    "none": ({"left": "00000000"}, r"^there is no picture 00000000 in this machine's catalog$"),
    "no question": ({"question": " "}, r"^question is empty"),
    "two lines": ({"question": "a\nb"}, r"^question must be one line"),
    "a long name": ({"voter": "v" * 101}, r"^voter must have at most 100 characters"),
    "before": ({"seconds": -1}, r"^seconds must be from 0 to "),
    "a misspelt name": ({"qestion": "?"}, r"^unknown argument qestion; did you mean question\?$"),
}


@pytest.mark.parametrize(("given", "said"), WRONG.values(), ids=WRONG)
def test_what_is_no_vote_is_refused_and_nothing_kept(
    given: dict[str, Any], said: str, studio: Studio, ids: list[str]
) -> None:
    places = {"LEFT": ids[0], "FRAME": studio.history()}
    values = {name: places.get(v, v) if isinstance(v, str) else v for name, v in given.items()}
    with pytest.raises(UsageError, match=said):
        studio.vote(**{"left": ids[0], "right": ids[1], "outcome": "left"} | values)
    assert not VoteStore(studio.catalog().folder).path.exists()


def test_a_vote_is_taken_back_once(studio: Studio, ids: list[str]) -> None:
    wrong, right = studio.vote(*ids[:2], "left"), studio.vote(*ids[:2], "right")
    taken = studio.unvote(wrong)
    assert taken.takes_back == wrong.id
    assert (taken.left, taken.right, taken.outcome) == (wrong.left, wrong.right, "left")
    assert studio.unvote(str(wrong.id)) == studio.unvote(wrong.id) == taken
    assert [*studio.votes()["id"]] == [str(right.id)]
    studio.unvote(studio.votes().iloc[0])
    assert studio.votes().empty
    for what in (uuid4(), "no vote", "", str(right.id)[:7], None):
        with pytest.raises(UsageError, match=r"^there is no vote "):
            studio.unvote(what)


def test_questions_and_voters_are_kept_apart(studio: Studio, ids: list[str]) -> None:
    for question in ("a?", "b?"):
        for voter in ("me", "you", ""):
            studio.vote(*ids[:2], "left", question=question, voter=voter)
    assert len(studio.votes()) == 6
    assert [*studio.votes("a?")["voter"]] == ["me", "you", ""]
    assert [*studio.votes(voter=["me", ""])["question"]] == ["a?", "a?", "b?", "b?"]
    assert len(studio.votes("b?", "you")) == 1
    assert studio.votes("c?").empty


@pytest.mark.parametrize("source", ["cloud", "merged"])
def test_without_a_supabase_there_is_no_cloud_to_read(
    source: str, studio: Studio, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError, match=r"^no votes in the cloud: "):
        studio.votes(source=source)
    assert studio.votes().empty
    with pytest.raises(UsageError, match=r"did you mean local\?$"):
        studio.votes(source="locl")
    assert capsys.readouterr().err == ""


def test_a_file_of_votes_is_imported_once_and_whole_or_not_at_all(
    studio: Studio, ids: list[str], tmp_path: Path
) -> None:
    studio.vote(*ids[:2], "left", voter="me")
    gone = studio.vote(*ids[:2], "right")
    file = tmp_path / "votes.csv"
    studio.votes().to_csv(file)
    assert studio.import_votes(file) == 0
    studio.unvote(gone)
    assert studio.import_votes(file) == 0  # what was taken back stays so
    with Studio({"output": {"dir": str(tmp_path / "there")}}, background=False) as there:
        assert there.import_votes(str(file)) == 2
        assert there.import_votes(file) == 0
        assert there.votes().iloc[0].equals(studio.votes().iloc[0])
        file.write_text(f"{file.read_text()}9,x\n")
        with pytest.raises(UsageError, match=r"^line 4: 2 cells, not 11; no vote is imported$"):
            there.import_votes(file)
        assert len(there.votes()) == 2


def test_votes_on_a_private_picture_are_kept_where_it_is(
    studio: Studio, ids: list[str], tmp_path: Path
) -> None:
    """As there it is known that they are not to go up."""
    private = tmp_path / "private"
    render(private, 1, first=7)
    catalog = studio.catalog(private)
    with catalog.connection() as connection:
        connection.execute("UPDATE images SET cloud_state = 'off'")
    (entry,) = catalog.latest(1)
    vote = studio.vote(ids[0], entry.record.id, "left")
    taken = studio.unvote(vote)
    assert VoteStore(private).all() == [vote, taken]
    studio.vote(ids[0], ids[1], "left")
    assert len(studio.votes()) == 1


def test_a_vote_is_a_fact_that_can_be_told(studio: Studio, ids: list[str]) -> None:
    vote = studio.vote(*ids[:2], "skip")
    assert Vote.model_validate_json(vote.model_dump_json()) == vote
    assert hash(vote) == hash(vote.model_copy())
