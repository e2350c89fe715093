"""Tags reach their rows and are merged there: from machines that are offline, at the same time."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from imagen_nb.cloud.errors import UnreachableError
from imagen_nb.cloud.tags import push_tags
from imagen_nb.errors import UsageError
from imagen_nb.storage.output import load_record, load_sidecar
from imagen_nb.storage.tags import (
    TagChange,
    load_queued_tags,
    make_tag_change,
    queue_tag_change,
)
from imagen_nb.studio.studio import Studio
from tests.fixtures.fault_proxy import FAULTS, FaultProxy
from tests.fixtures.kill_points import arm
from tests.fixtures.pictures import render
from tests.fixtures.server_state import ServerState
from tests.fixtures.supabase_fixtures import TwoUsers
from tests.simulation.machine import Machine, synced_machine
from tests.simulation.server import Row


def settings(folder: Path, supabase: TwoUsers, url: str | None = None) -> dict[str, Any]:
    key = {"url": url or supabase.url, "key": supabase.anon_key}
    user = {"email": supabase.email, "password": supabase.password}
    return {"output": {"dir": str(folder)}, "supabase": key | user}


@pytest.fixture
def here(folder: Path, local_supabase: TwoUsers, server: ServerState) -> Iterator[Studio]:
    """A machine with four pictures, which the cloud has too."""
    render(folder, 4)
    with Studio(settings(folder, local_supabase), background=False) as studio:
        assert studio.sync().synced == 4
        yield studio


@pytest.fixture
def there(here: Studio, tmp_path: Path, local_supabase: TwoUsers) -> Iterator[Studio]:
    """Another machine of the same user, without any picture."""
    with Studio(settings(tmp_path / "there", local_supabase), background=False) as studio:
        yield studio


def in_cloud(server: ServerState) -> dict[int, list[str]]:
    return {row["seed"]: row["tags"] for row in server.rows()}


def test_tags_reach_the_row_at_the_next_sync(here: Studio, server: ServerState) -> None:
    frame = here.history(source="local")
    odd = ['a,"b"', "x{y}", "back\\slash", "naïve ☃", "null", "NULL", ""][:-1]
    here.tag(frame, *odd)
    here.rate(frame[frame["seed"] == 1], 5)
    assert in_cloud(server) == {seed: [] for seed in range(4)}
    report = here.sync()
    assert (report.tagged, report.trouble) == (4, None)
    assert in_cloud(server)[0] == odd
    assert in_cloud(server)[1] == [*odd, "rating:5"]
    assert load_queued_tags(here.catalog()) == {}
    here.untag(frame, *odd)
    assert here.sync().tagged == 4
    assert in_cloud(server) == {0: [], 1: ["rating:5"], 2: [], 3: []}
    assert here.sync().tagged == 0


def test_two_machines_lose_nothing_of_each_other(
    here: Studio, there: Studio, server: ServerState
) -> None:
    frame = there.history(source="cloud")
    here.tag(here.history(source="local"), "mine", "both", "rating:2")
    there.tag(frame, "yours", "both", "rating:4")
    there.sync()
    here.sync()
    assert set(in_cloud(server)[0]) == {"mine", "yours", "both", "rating:2"}
    sidecar = load_record(here.history(source="local", seed=0)["local_path"].iloc[0])
    assert set(sidecar.tags) == {"mine", "yours", "both", "rating:2"}
    there.untag(frame, "both")
    there.sync()
    assert set(in_cloud(server)[3]) == {"mine", "yours", "rating:2"}


def test_a_row_that_changes_between_reading_and_writing_is_read_again(
    here: Studio,
    there: Studio,
    server: ServerState,
    proxy: FaultProxy,
    local_supabase: TwoUsers,
) -> None:
    """The other machine writes at the worst moment: just before our write arrives."""
    there.tag(there.history(source="cloud"), "theirs")
    meanwhile = [lambda: there.sync().tagged]

    def choose(method: str, path: str) -> None:
        if method == "PATCH" and meanwhile:
            assert meanwhile.pop()() == 4

    proxy.choose = choose
    folder = here.settings.output.dir
    with Studio(settings(folder, local_supabase, proxy.url), background=False) as mine:
        mine.tag(mine.history(source="local"), "ours")
        assert mine.sync().tagged == 4
    assert not meanwhile
    assert {seed: set(tags) for seed, tags in in_cloud(server).items()} == {
        seed: {"ours", "theirs"} for seed in range(4)
    }


def test_offline_tags_wait_and_are_not_lost(
    here: Studio,
    server: ServerState,
    proxy: FaultProxy,
    local_supabase: TwoUsers,
    short_waits: None,
) -> None:
    folder = here.settings.output.dir
    with Studio(settings(folder, local_supabase, proxy.url), background=False) as mine:
        frame = mine.history(source="local")
        proxy.down = True
        mine.tag(frame, "offline")
        assert mine.sync().trouble is not None
        assert len(load_queued_tags(mine.catalog())) == 4
        proxy.down = False
        faults = iter([*FAULTS.values()] * 3)
        proxy.choose = lambda method, path: (
            next(faults, None) if "/rest/" in path and method == "PATCH" else None
        )
        for _ in range(60):
            if mine.sync().tagged and not load_queued_tags(mine.catalog()):
                break
    assert in_cloud(server) == {seed: ["offline"] for seed in range(4)}


def test_a_picture_tagged_before_it_went_up_has_its_tags_there(
    folder: Path, local_supabase: TwoUsers, server: ServerState
) -> None:
    render(folder, 2)
    with Studio(settings(folder, local_supabase), background=False) as studio:
        studio.tag(studio.history(source="local"), "early")
        assert studio.sync().synced == 2
        assert in_cloud(server) == {0: ["early"], 1: ["early"]}
        studio.sync()
        assert load_queued_tags(studio.catalog()) == {}


def test_ids_are_looked_up_before_they_are_tagged(
    there: Studio, server: ServerState, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError, match="here or in the cloud"):
        there.tag("00000000-0000-4000-8000-000000000000", "sea")
    row = there.history(source="cloud").iloc[0]
    there.tag(row["id"][:8], "sea")
    table = server.client.schema("imagen").from_("images")
    table.delete().eq("id", row["id"]).execute()
    there.sync()
    assert f"no row {row['id']} to tag" in capsys.readouterr().err
    assert load_queued_tags(there.catalog()) == {}


def test_a_notebook_sends_tags_in_the_background(
    here: Studio, local_supabase: TwoUsers, server: ServerState
) -> None:
    with Studio(settings(here.settings.output.dir, local_supabase)) as notebook:
        notebook.tag(notebook.history(source="local"), "soon")
    assert in_cloud(server)[0] == ["soon"]


def test_a_kill_after_writing_the_row_loses_nothing(
    here: Studio, local_supabase: TwoUsers, server: ServerState, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.tag(here.history(source="local"), "killed")
    process = os.fork()
    if process == 0:
        arm("after-tags")
        with Studio(settings(here.settings.output.dir, local_supabase), background=False) as one:
            one.sync()
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(process, 0)[1]) == signal.SIGKILL
    assert len(load_queued_tags(here.catalog())) == 4
    assert here.sync().tagged == 4
    assert in_cloud(server) == {seed: ["killed"] for seed in range(4)}
    assert load_queued_tags(here.catalog()) == {}


class TestRequests:
    """What is asked of the server, and when, on a simulated one."""

    SEA = make_tag_change(add=["sea"])

    @pytest.fixture
    def machine(self, tmp_path: Path) -> Iterator[Machine]:
        with synced_machine(tmp_path, 4) as machine:
            yield machine

    @pytest.fixture
    def rows(self, machine: Machine) -> list[Row]:
        return [machine.server.images[str(UUID(int=number))] for number in range(4)]

    @pytest.fixture
    def asked(self, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """The method of each request, in order."""
        methods: list[str] = []
        original = machine.network.handle_request

        def handle(request: httpx.Request) -> httpx.Response:
            methods.append(request.method)
            return original(request)

        monkeypatch.setattr(machine.network, "handle_request", handle)
        return methods

    @pytest.fixture
    def answer(self, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
        """Has the server give these rows, whatever it is asked for."""

        def give(rows: Any) -> None:
            response = httpx.Response(200, json=rows)
            monkeypatch.setattr(machine.network, "handle_request", lambda request: response)

        return give

    def tag(self, machine: Machine, *numbers: int, change: TagChange = SEA) -> None:
        for number in numbers:
            machine.tag(str(UUID(int=number)), change)

    def push(self, machine: Machine) -> int:
        return push_tags(machine.catalog, machine.cloud)

    def queued(self, machine: Machine) -> set[int]:
        return {UUID(id).int for id in load_queued_tags(machine.catalog)}

    def test_without_queued_tags_nothing_is_asked(self, machine: Machine, asked: list[str]) -> None:
        assert self.push(machine) == 0
        assert asked == []

    def test_equal_changes_go_in_one_request(
        self, machine: Machine, rows: list[Row], asked: list[str]
    ) -> None:
        rows[2]["tags"] = ["theirs"]
        self.tag(machine, 0, 1, 2)
        assert self.push(machine) == 3
        assert asked == ["GET", "PATCH", "PATCH"]
        assert [row["tags"] for row in rows] == [["sea"], ["sea"], ["theirs", "sea"], []]
        assert self.queued(machine) == set()
        entry = machine.catalog.get(UUID(int=2))
        assert entry
        assert entry.record == load_sidecar(entry.sidecar_path)
        assert (set(entry.record.tags), entry.record.unsent_tags) == ({"theirs", "sea"}, ())

    def test_rows_that_have_them_already_are_not_written(
        self, machine: Machine, rows: list[Row], asked: list[str]
    ) -> None:
        rows[0]["tags"] = ["sea"]
        rows[2]["tags"] = ["storm"]
        self.tag(machine, 0, 1)
        self.tag(machine, 2, change=make_tag_change(remove=["storm"]))
        assert self.push(machine) == 3
        assert asked == ["GET", "PATCH", "PATCH"]
        assert [row["tags"] for row in rows] == [["sea"], ["sea"], [], []]
        assert self.queued(machine) == set()

    def test_a_row_without_an_array_gets_one(self, machine: Machine, rows: list[Row]) -> None:
        rows[0]["tags"] = None
        self.tag(machine, 0, 1)
        assert self.push(machine) == 2
        assert [row["tags"] for row in rows[:2]] == [["sea"], ["sea"]]
        assert self.queued(machine) == set()

    def test_pictures_that_wait_themselves_keep_theirs(
        self, machine: Machine, asked: list[str]
    ) -> None:
        machine.draw(UUID(int=4), "a boat", 4, 0, ())
        self.tag(machine, 0, 4)
        assert self.push(machine) == 1
        assert self.queued(machine) == {4}
        assert self.push(machine) == 0
        assert asked == ["GET", "PATCH"]

    def test_tags_of_rows_that_are_gone_are_dropped_and_no_others(
        self, machine: Machine, rows: list[Row], capsys: pytest.CaptureFixture[str]
    ) -> None:
        del machine.server.images[str(UUID(int=1))]
        self.tag(machine, 0, 1)
        queue_tag_change(machine.catalog, [str(UUID(int=9))], self.SEA)
        assert self.push(machine) == 3
        assert sorted(capsys.readouterr().err.splitlines()) == [
            f"imagen: cloud sync: no row {UUID(int=number)} to tag: its tags are dropped"
            for number in (1, 9)
        ]
        assert rows[0]["tags"] == ["sea"]
        assert self.queued(machine) == set()

    @pytest.mark.parametrize("times", [1, 4, 5])
    def test_a_row_that_others_write_is_read_again_five_times_at_most(
        self, machine: Machine, rows: list[Row], asked: list[str], times: int
    ) -> None:
        self.tag(machine, 0, 1)
        handle, left = machine.network.handle_request, times

        def interfere(request: httpx.Request) -> httpx.Response:
            nonlocal left
            if request.method == "PATCH" and left:
                left -= 1
                rows[0]["tags"] = [*rows[0]["tags"], f"theirs{left}"]
            return handle(request)

        machine.network.handle_request = interfere  # type: ignore[method-assign]
        assert self.push(machine) == 2
        assert asked.count("GET") == min(times + 1, 5)
        assert rows[1]["tags"] == ["sea"]
        assert self.queued(machine) == ({0} if times == 5 else set())
        assert ("sea" in rows[0]["tags"]) is (times < 5)

    def test_many_are_asked_for_in_parts(self, machine: Machine, asked: list[str]) -> None:
        ids = [str(UUID(int=number)) for number in range(100, 300)]
        queue_tag_change(machine.catalog, ids, self.SEA)
        assert self.push(machine) == 200
        assert asked == ["GET", "GET"]

    @pytest.mark.parametrize(
        "tags",
        ["sea", 7, {"sea": 1}, ["sea", 7], [None]],
        ids=["text", "int", "dict", "mix", "null"],
    )
    def test_what_is_no_array_of_texts_is_refused_and_stays_queued(
        self, machine: Machine, answer: Callable[[Any], None], tags: Any
    ) -> None:
        self.tag(machine, 0)
        answer([{"id": str(UUID(int=0)), "tags": tags}])
        with pytest.raises(UnreachableError, match="not Supabase's"):
            self.push(machine)
        assert self.queued(machine) == {0}

    @pytest.mark.parametrize("wanted_too", [True, False])
    def test_so_are_rows_that_were_not_asked_for(
        self, machine: Machine, answer: Callable[[Any], None], wanted_too: bool
    ) -> None:
        self.tag(machine, 0, 1)
        given = [1, 7] if wanted_too else [7]
        answer([{"id": str(UUID(int=number)), "tags": []} for number in given])
        with pytest.raises(UnreachableError, match="not Supabase's"):
            self.push(machine)
        assert self.queued(machine) == {0, 1}
