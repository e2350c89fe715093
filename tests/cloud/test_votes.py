"""Votes reach the cloud once, whatever breaks on the way, and other machines see them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from imagen_nb.cloud import votes as cloud_votes
from imagen_nb.cloud.account import Account
from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.errors import RejectedError, UnreachableError
from imagen_nb.cloud.votes import load_cloud_votes, push_votes
from imagen_nb.errors import CloudError, UsageError
from imagen_nb.storage.votes import Vote, VoteStore
from imagen_nb.studio.studio import Studio
from tests.fixtures.fault_proxy import FAULTS, FaultProxy
from tests.fixtures.pictures import render
from tests.fixtures.server_state import ServerState
from tests.fixtures.supabase_fixtures import TwoUsers, settings

A, B, C = (str(UUID(int=number)) for number in (10, 11, 12))  # pictures of no machine here


@pytest.fixture
def here(folder: Path, local_supabase: TwoUsers, server: ServerState) -> Iterator[Studio]:
    with Studio(settings(folder, local_supabase), background=False) as studio:
        yield studio


@pytest.fixture
def there(here: Studio, tmp_path: Path, local_supabase: TwoUsers) -> Iterator[Studio]:
    """Another machine of the same user."""
    with Studio(settings(tmp_path / "there", local_supabase), background=False) as studio:
        yield studio


@pytest.fixture
def stranger(here: Studio, tmp_path: Path, local_supabase: TwoUsers) -> Iterator[Studio]:
    """A machine of somebody else's."""
    values = settings(tmp_path / "strange", local_supabase)
    other = {"email": local_supabase.other.email, "password": local_supabase.other.password}
    values["supabase"] |= other
    with Studio(values, background=False) as studio:
        yield studio


@pytest.fixture
def mine(here: Studio, local_supabase: TwoUsers, proxy: FaultProxy) -> Iterator[Studio]:
    """The first machine, whose way to the cloud breaks when it is told to."""
    folder = here.settings.output.dir
    with Studio(settings(folder, local_supabase, proxy.url), background=False) as studio:
        yield studio


def in_cloud(server: ServerState) -> list[dict[str, Any]]:
    rows: Any = server.client.schema("imagen").from_("votes").select("*").execute().data
    return sorted(rows, key=lambda row: (row["created_at"], row["id"]))


def seen(studio: Studio, **conditions: Any) -> list[str]:
    return [*studio.votes(**conditions)["id"]]


def test_votes_go_up_with_a_sync_once_and_come_back_on_other_machines(
    here: Studio, there: Studio, server: ServerState, local_supabase: TwoUsers
) -> None:
    first = here.vote(A, B, "left", question='which, "really"? ☃', voter="Zoë", seconds=1.25)
    second = here.vote(B, C, "skip", voter="")
    assert in_cloud(server) == []
    report = here.sync()
    assert (report.votes, report.trouble) == (2, None)
    assert report.summary.startswith("0 synced, 0 failed, 0 pending, 2 votes (")
    row = in_cloud(server)[0]
    assert (row["id"], row["owner_user_id"]) == (str(first.id), local_supabase.user_id)
    assert (row["left_id"], row["right_id"], row["outcome"]) == (A, B, "left")
    assert (row["question"], row["voter"]) == ('which, "really"? ☃', "Zoë")
    assert (row["seconds"], row["takes_back"]) == (1.25, None)
    assert here.sync().votes == 0
    third = there.vote(A, C, "tie")
    assert seen(there, source="local") == [str(third.id)]
    assert seen(there) == [str(one.id) for one in (first, second, third)]
    assert seen(there, source="cloud") == [str(first.id), str(second.id)]
    assert there.votes().iloc[:2].equals(here.votes())
    there.sync()
    assert seen(here) == seen(there) == seen(here, source="merged")


def test_one_machine_takes_back_what_the_other_said(
    here: Studio, there: Studio, server: ServerState
) -> None:
    wrong, right = here.vote(A, B, "left"), here.vote(A, B, "right")
    here.sync()
    taken = there.unvote(str(wrong.id)[:8])
    assert (taken.takes_back, taken.left, taken.outcome) == (wrong.id, wrong.left, "left")
    assert seen(there) == [str(right.id)]
    there.sync()
    assert seen(here) == [str(right.id)]
    assert seen(here, source="local") == [str(wrong.id), str(right.id)]
    assert len(in_cloud(server)) == 3  # facts, of which nothing is taken away
    with pytest.raises(UsageError, match=f"^{taken.id} takes a vote back, which stays so"):
        here.unvote(str(taken.id))


def test_offline_votes_wait_and_nothing_is_lost_or_doubled(
    mine: Studio,
    server: ServerState,
    proxy: FaultProxy,
    capsys: pytest.CaptureFixture[str],
    short_waits: None,
) -> None:
    proxy.down = True
    votes = [mine.vote(A, B, "left") for _ in range(3)]
    assert mine.sync().trouble is not None
    assert seen(mine) == seen(mine) == [str(one.id) for one in votes]
    told = capsys.readouterr().err
    assert told.count("votes: this machine's alone, as the cloud's cannot be read: ") == 1
    with pytest.raises(UnreachableError):
        mine.votes(source="merged")
    proxy.down = False
    assert mine.sync().votes == 3
    assert [row["id"] for row in in_cloud(server)] == [str(one.id) for one in votes]
    assert seen(mine) == [str(one.id) for one in votes]


def test_an_answer_that_was_lost_doubles_nothing(
    mine: Studio,
    server: ServerState,
    signed_in: Account,
    proxy: FaultProxy,
    monkeypatch: pytest.MonkeyPatch,
    short_waits: None,
) -> None:
    """Each part is sent again from where it is known to be there; with other votes since."""
    monkeypatch.setattr(cloud_votes, "_VOTES_PER_REQUEST", 2)
    catalog = mine.catalog()
    names = ("cut after", "cut before", "500", "cut during", "429", "401", "cut after")
    faults = iter([None, *(FAULTS[name] for name in names)])
    proxy.choose = lambda method, path: next(faults, None) if "/votes" in path else None
    kept = []
    with closing(Cloud(signed_in, attempts=1)) as cloud:
        for _ in names:
            kept += [mine.vote(A, B, "left"), mine.vote(B, C, "tie")]
            with suppress(CloudError):
                push_votes(catalog, cloud)
    with closing(Cloud(signed_in)) as cloud:
        push_votes(catalog, cloud)
        assert [row["id"] for row in in_cloud(server)] == [str(one.id) for one in kept]
        catalog.close()
        catalog.path.unlink()  # with the note of what was sent
        assert push_votes(catalog, cloud) == len(kept)
    assert len(in_cloud(server)) == len(kept)


def test_a_notebook_sends_votes_in_the_background(
    here: Studio, local_supabase: TwoUsers, server: ServerState
) -> None:
    with Studio(settings(here.settings.output.dir, local_supabase)) as notebook:
        vote = notebook.vote(A, B, "left")
        taken = notebook.unvote(vote)
    assert [row["id"] for row in in_cloud(server)] == [str(vote.id), str(taken.id)]
    assert seen(here, source="cloud") == []


def test_strangers_see_nothing_and_are_in_nobodys_way(
    here: Studio, stranger: Studio, server: ServerState, local_supabase: TwoUsers
) -> None:
    vote = here.vote(A, B, "left")
    theirs = vote.model_copy(update={"outcome": "right", "voter": "a stranger"})
    assert stranger.add_votes([theirs]) == 1  # under the id of a vote that is not sent yet
    assert stranger.sync().votes == 1
    assert here.sync().votes == 1
    here.vote(A, B, "tie")
    here.sync()
    assert [*here.votes(source="cloud")["outcome"]] == ["left", "tie"]
    assert [*stranger.votes(source="cloud")["outcome"]] == ["right"]
    assert len(in_cloud(server)) == 3


def test_a_secret_key_reads_and_sends_its_owners(
    here: Studio, stranger: Studio, account: Account, server: ServerState, tmp_path: Path
) -> None:
    ours, others = here.vote(A, B, "left"), stranger.vote(A, B, "right")
    here.sync()
    stranger.sync()
    assert others.id != ours.id
    with closing(Cloud(account)) as cloud, Studio({"output": {"dir": str(tmp_path / "x")}}) as box:
        more = box.vote(B, C, "left")
        assert push_votes(box.catalog(), cloud) == 1
        assert {one.id for one in load_cloud_votes(cloud)} == {ours.id, more.id}
    assert seen(here) == [str(ours.id), str(more.id)]


def test_all_pages_are_read_however_few_rows_one_has(
    here: Studio, signed_in: Account, server: ServerState, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = datetime(2026, 5, 11, tzinfo=UTC)
    votes = [
        Vote(left=A, right=B, outcome="left", created_at=moment.replace(hour=number // 4))
        for number in range(10)
    ]
    here.add_votes(votes)
    here.sync()
    monkeypatch.setattr(cloud_votes, "_VOTES_PER_PAGE", 3)
    with closing(Cloud(signed_in)) as cloud:
        found = load_cloud_votes(cloud)
    assert found == sorted(votes, key=lambda one: (one.created_at, one.id), reverse=True)


def test_one_that_the_database_rejects_keeps_no_other_back(
    here: Studio,
    server: ServerState,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    votes = [here.vote(A, B, "left") for _ in range(5)]
    add = Cloud.add

    def picky(self: Cloud, rows: Any, *arguments: str) -> Any:
        """As a database whose admin has added a rule; the local one says 500 then."""
        if str(votes[3].id) in {row["id"] for row in rows}:
            raise RejectedError("the database says 23514 it breaks a rule")
        return add(self, rows, *arguments)

    monkeypatch.setattr(Cloud, "add", picky)
    report = here.sync()
    assert (report.votes, report.trouble) == (4, None)
    said = capsys.readouterr().err
    assert said.count(f"the vote {votes[3].id} stays here: the database says 23514") == 1
    assert {row["id"] for row in in_cloud(server)} == {
        str(one.id) for one in votes if one is not votes[3]
    }
    assert here.sync().votes == 0


def test_votes_stay_when_their_pictures_are_deleted(here: Studio, server: ServerState) -> None:
    render(here.settings.output.dir, 2)
    first, second = here.history(source="local")["id"]
    vote = here.vote(first, second, "left")
    assert (here.sync().synced, len(in_cloud(server))) == (2, 1)
    here.delete([first, second])
    assert here.sync().removed == 2
    assert seen(here) == seen(here, source="cloud") == [str(vote.id)]


def test_votes_on_private_pictures_go_up_when_these_do(here: Studio, server: ServerState) -> None:
    render(here.settings.output.dir, 2)
    private, shared = here.history(source="local")["id"]
    with here.catalog().connection() as connection:
        connection.execute("UPDATE images SET cloud_state = 'off' WHERE id = ?", [private])
    here.vote(private, shared, "left")
    assert (here.sync().votes, in_cloud(server)) == (0, [])
    assert len(here.votes()) == 1
    assert here.sync(include_private=[private]).votes == 1


def test_it_stops_where_it_is_told_to(here: Studio, signed_in: Account) -> None:
    here.vote(A, B, "left")
    with closing(Cloud(signed_in)) as cloud:
        assert push_votes(here.catalog(), cloud, lambda: False) == 0
        assert push_votes(here.catalog(), cloud) == 1


def test_an_answer_that_is_none_is_said(
    here: Studio, signed_in: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {"question": "q", "voter": "", "left": A, "right": B, "outcome": "both"}
    rows = [row | {"id": str(uuid4()), "created_at": "2026-05-11T08:00:00Z"}]
    monkeypatch.setattr(Cloud, "rows", lambda *arguments: rows)
    with (
        closing(Cloud(signed_in)) as cloud,
        pytest.raises(UnreachableError, match="the answer is not Supabase's"),
    ):
        load_cloud_votes(cloud)


def test_nobody_is_asked_without_votes(here: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(Cloud(Account("http://127.0.0.1:9", SecretStr("x"), owner=uuid4()))) as cloud:
        assert push_votes(here.catalog(), cloud) == 0
    assert not VoteStore(here.catalog().folder).path.exists()
