"""Deleted pictures leave the cloud too, object and row, where the rights allow; or one is told."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from imagen_nb.cloud.removal import push_removals
from imagen_nb.errors import UsageError
from imagen_nb.storage.removals import load_removals
from imagen_nb.storage.trash import (
    move_to_trash,
    restore_from_trash,
    trashed_pictures,
)
from imagen_nb.studio.studio import Studio
from tests.fixtures.fault_proxy import FAULTS, Fault, FaultProxy
from tests.fixtures.pictures import render
from tests.fixtures.server_state import ServerState, assert_nothing_lost
from tests.fixtures.supabase_fixtures import TwoUsers, settings
from tests.simulation.machine import Machine, synced_machine
from tests.simulation.network import Fault as SimulatedFault


def with_secret_key(folder: Path, supabase: TwoUsers, url: str | None = None) -> dict[str, Any]:
    """The settings of the first user's pictures, sent with the secret key."""
    return {
        "output": {"dir": str(folder)},
        "owner_user_id": supabase.user_id,
        "supabase": {"url": url or supabase.url, "key": supabase.service_key},
    }


HOW = {"session": settings, "secret key": with_secret_key}


@pytest.fixture(params=HOW)
def how(request: pytest.FixtureRequest) -> Callable[..., dict[str, Any]]:
    return HOW[request.param]


@pytest.fixture
def here(
    how: Callable[..., dict[str, Any]],
    folder: Path,
    local_supabase: TwoUsers,
    server: ServerState,
    proxy: FaultProxy,
) -> Iterator[Studio]:
    """A machine with four pictures, which the cloud has too."""
    render(folder, 4)
    with Studio(how(folder, local_supabase, proxy.url), background=False) as studio:
        assert studio.sync().synced == 4
        yield studio


session_only = pytest.mark.parametrize("how", ["session"], indirect=True)


def seeds(server: ServerState) -> list[int]:
    return sorted(row["seed"] for row in server.rows())


def test_object_and_row_go_and_come_back_to_the_same_place(
    here: Studio, folder: Path, server: ServerState
) -> None:
    before, objects = server.rows(), sorted(server.objects())
    frame = here.history(source="local")
    two = frame[frame["seed"] < 2]
    assert here.delete(two) == 2
    assert sorted(here.history(source="cloud")["seed"]) == [2, 3]  # at once, here
    assert here.history(source="auto", limit=1)["seed"].tolist() == [3]
    assert seeds(server) == [0, 1, 2, 3]
    report = here.sync()
    assert (report.removed, report.unremoved, report.trouble) == (2, (), None)
    assert ", 2 removed" in report.summary
    assert seeds(server) == [2, 3]
    assert len([*server.objects()]) == 2
    assert here.sync().removed == 0
    assert_nothing_lost([folder], server, 2)
    assert here.restore(two) == 2
    assert here.sync().synced == 2
    after = {row["id"]: row["storage_path"] for row in server.rows()}
    assert after == {row["id"]: row["storage_path"] for row in before}
    assert sorted(server.objects()) == objects
    assert_nothing_lost([folder], server, 4)


def test_restored_before_the_sync_nothing_is_asked_of_the_cloud(
    here: Studio, folder: Path, server: ServerState
) -> None:
    frame = here.history(source="local")
    assert here.delete(frame, cloud_after=10) == 4
    assert here.sync().removed == 0  # not yet due
    assert here.restore(frame) == 4
    report = here.sync()
    assert (report.removed, report.synced) == (0, 4)
    assert_nothing_lost([folder], server, 4)


@pytest.mark.parametrize("fault", ["503", "cut before", "cut after", "502 with HTML"])
@pytest.mark.parametrize("where", ["/object/", "/images"])
@session_only
def test_what_a_fault_interrupts_is_done_by_the_next_sync(
    where: str,
    fault: str,
    here: Studio,
    folder: Path,
    proxy: FaultProxy,
    server: ServerState,
    short_waits: None,
) -> None:
    here.delete(here.history(source="local").iloc[:2])
    proxy.choose = lambda method, path: (
        FAULTS[fault] if method == "DELETE" and where in path else None
    )
    report = here.sync()
    assert report.trouble
    assert report.removed == 0
    assert len(load_removals(here.catalog())) == 2
    assert here.history(source="cloud")["seed"].tolist() == [1, 0]
    proxy.choose = lambda method, path: None
    report = here.sync()
    assert (report.removed, report.trouble) == (2, None)
    assert load_removals(here.catalog()) == []
    assert_nothing_lost([folder], server, 2)


def test_a_fault_that_passes_is_not_seen(
    here: Studio, folder: Path, proxy: FaultProxy, server: ServerState, short_waits: None
) -> None:
    here.delete(here.history(source="local").iloc[:2])
    tried: list[str] = []

    def first(method: str, path: str) -> Any:
        if method != "DELETE":
            return None
        tried.append(path)
        return FAULTS["cut after"] if tried.count(path) == 1 else None

    proxy.choose = first
    assert here.sync().removed == 2
    assert len(tried) == 4
    assert_nothing_lost([folder], server, 2)


# As Storage and the database answer before the migration was run: see test_check_online.py.
NOT_ALLOWED = {
    "/object/": Fault("no policy", 200, b"[]"),
    "/images": Fault(
        "no grant",
        403,
        b'{"code":"42501","details":null,"hint":null,'
        b'"message":"permission denied for table images"}',
    ),
}


@session_only
def test_where_the_migration_was_not_run_one_line_says_what_to_do(
    here: Studio, folder: Path, proxy: FaultProxy, server: ServerState
) -> None:
    proxy.choose = lambda method, path: next(
        (fault for part, fault in NOT_ALLOWED.items() if method == "DELETE" and part in path), None
    )
    frame = here.history(source="local")
    here.delete(frame.iloc[:2])
    report = here.sync()
    assert (report.removed, report.trouble, len(report.unremoved)) == (0, None, 2)
    (reason,) = {why for _, why in report.unremoved}
    assert reason.startswith("no right to remove ")
    assert reason.endswith(": run `imagen db migrate`")
    assert {one.error for one in load_removals(here.catalog())} == {reason}
    assert seeds(server) == [0, 1, 2, 3]  # whole there
    assert len([*server.objects()]) == 4
    assert len(here.history(source="cloud")) == 2
    catalog, cloud = here.catalog(), here.reader()
    assert cloud
    assert push_removals(catalog, cloud, refused_too=False).refused == ()  # as the worker does
    assert here.restore(frame.iloc[:1]) == 1
    assert here.sync().synced == 1
    proxy.choose = lambda method, path: None
    assert here.sync().removed == 1
    assert_nothing_lost([folder], server, 3)


def test_what_a_secret_key_uploaded_a_session_leaves(
    folder: Path, local_supabase: TwoUsers, server: ServerState
) -> None:
    render(folder, 2)
    with Studio(with_secret_key(folder, local_supabase), background=False) as studio:
        assert studio.sync().synced == 2
    with Studio(settings(folder, local_supabase), background=False) as studio:
        assert studio.delete(studio.history(source="local").iloc[:1]) == 1
        ((_, reason),) = studio.sync().unremoved
        assert "was uploaded with a secret key, which has to remove it" in reason
        assert seeds(server) == [0, 1]
        assert len([*server.objects()]) == 2
    with Studio(with_secret_key(folder, local_supabase), background=False) as studio:
        assert studio.sync().removed == 1
    assert_nothing_lost([folder], server, 1)


def test_a_picture_that_was_never_sent_asks_nothing_of_the_cloud(
    folder: Path, local_supabase: TwoUsers, server: ServerState, proxy: FaultProxy
) -> None:
    render(folder, 2)
    with Studio(settings(folder, local_supabase, proxy.url), background=False) as studio:
        assert studio.delete(studio.history(source="local").iloc[:1]) == 1
        assert load_removals(studio.catalog()) == []
        report = studio.sync()
        assert (report.synced, report.removed) == (1, 0)
    assert "DELETE" not in {method for method, _ in proxy.requests}
    assert seeds(server) == [0]


@session_only
def test_a_picture_of_another_machine_leaves_the_cloud_and_stays_there(
    here: Studio, folder: Path, tmp_path: Path, local_supabase: TwoUsers, server: ServerState
) -> None:
    with Studio(settings(tmp_path / "there", local_supabase), background=False) as there:
        frame = there.history(source="cloud")
        assert there.delete(frame[frame["seed"] == 0]) == 1
        assert there.delete(frame[frame["seed"] == 0]) == 0
        assert there.restore(frame[frame["seed"] == 0]) == 1
        assert there.sync().removed == 0
        assert there.delete(frame[frame["seed"] < 2]) == 2
        assert there.sync().removed == 2
        with pytest.raises(UsageError, match="in the trash"):
            there.restore(frame[frame["seed"] == 0])
        with pytest.raises(UsageError, match="there is no picture"):
            there.delete("00000000-0000-4000-8000-000000000000")
    assert seeds(server) == [2, 3]
    assert len([*server.objects()]) == 2
    assert len(here.history(source="local")) == 4
    assert here.sync().synced == 0  # it does not send them again by itself


def test_nothing_of_a_stranger_is_removed(
    here: Studio, folder: Path, local_supabase: TwoUsers, server: ServerState
) -> None:
    """A row by hand of another picture names the object, and another owner has an id."""
    first, second, *_ = here.catalog().select("ORDER BY path")
    row = next(row for row in server.rows() if row["id"] == str(first.record.id))
    other = row | {
        "id": "00000000-0000-4000-8000-000000000001",
        "owner_user_id": local_supabase.other.id,
    }
    table = server.client.schema("imagen").from_("images")
    table.insert(other).execute()
    table = server.client.schema("imagen").from_("images")
    changed = {"owner_user_id": local_supabase.other.id}
    table.update(changed).eq("id", str(second.record.id)).execute()
    here.delete([first.record.id, second.record.id])
    here.sync()
    left = {row["id"]: row["owner_user_id"] for row in server.rows()}
    assert str(first.record.id) not in left
    assert left[other["id"]] == left[str(second.record.id)] == local_supabase.other.id
    if here.settings.owner_user_id:  # a session sees no such row, and removes what is its own
        assert first.record.storage_path in [*server.objects()]


@session_only
def test_the_worker_removes_when_it_is_due(
    here: Studio, folder: Path, local_supabase: TwoUsers, server: ServerState
) -> None:
    with Studio(settings(folder, local_supabase)) as studio:
        frame = studio.history(source="local")
        began = time.monotonic()
        studio.delete(frame.iloc[:1], cloud_after=1.5)
        studio.delete(frame.iloc[1:2])
        until = began + 30
        while len(server.rows()) > 3 and time.monotonic() < until:
            time.sleep(0.05)
        assert seeds(server) in ([0, 1, 3], [0, 1])
        while len(server.rows()) > 2 and time.monotonic() < until:
            time.sleep(0.05)
        assert time.monotonic() - began >= 1.5
        assert seeds(server) == [0, 1]


class TestRequests:
    """Against a server within this process: every request may fail, and every step be the last."""

    @pytest.fixture
    def machine(self, tmp_path: Path) -> Iterator[Machine]:
        with synced_machine(tmp_path, 3) as machine:
            yield machine

    ANSWERS = ("cut", "503", "429", "empty", "foreign", "silence", "death")

    @pytest.mark.parametrize("done", ["now", "never"])
    @pytest.mark.parametrize("answer", ANSWERS)
    def test_after_any_fault_the_next_sync_does_the_rest(
        self, answer: Any, done: Any, machine: Machine
    ) -> None:
        for number in range(8):
            ids = [str(UUID(int=0)), str(UUID(int=1))]
            machine.survives(lambda ids=ids: move_to_trash(machine.catalog, ids))
            plan = {number: SimulatedFault(answer, done), number + 1: SimulatedFault(answer, done)}
            with machine.network.with_faults(plan):
                machine.survives(machine.sync)
            assert_whole_or_gone(machine)
            machine.sync()
            assert load_removals(machine.catalog) == []
            assert [*machine.server.images] == [str(UUID(int=2))]
            assert len(machine.server.objects) == 1
            assert sorted(restore_from_trash(machine.catalog, ids)) == ids
            assert machine.sync().synced == 2
            assert machine.verify() == set()

    @pytest.mark.parametrize("act", ["delete", "sync", "restore", "sync again"])
    def test_after_a_death_at_any_step_everything_agrees(self, act: str, machine: Machine) -> None:
        ids = [str(UUID(int=0)), str(UUID(int=1))]
        acts: dict[str, Callable[[], object]] = {
            "delete": lambda: move_to_trash(machine.catalog, ids),
            "sync": lambda: machine.sync(),
            "restore": lambda: restore_from_trash(machine.catalog, ids),
            "sync again": lambda: machine.sync(),
        }
        for steps in range(0, 60, 3):
            lived = True
            for name, work in acts.items():
                lived = machine.survives(work, steps if name == act else None) and lived
                assert len(trashed_pictures(machine.catalog)) + len(machine.entries()) == 3
            for work in acts.values():
                machine.survives(work)
            assert machine.verify() == set()
            assert {entry.cloud_state for entry in machine.entries()} == {"synced"}
            assert len(machine.server.images) == len(machine.server.objects) == 3
            assert sorted(path.name for path in machine.folder.glob("*.png")) == sorted(
                machine.drawn
            )
            if lived:
                return

    def test_deleted_while_it_is_sent_it_leaves_the_cloud_again(self, machine: Machine) -> None:
        """By another process, during each of the requests that send it."""
        for number in range(8):
            id = UUID(int=100 + number)
            machine.draw(id, "a barge", number, 1, ())

            def delete(id: UUID = id) -> None:
                catalog = machine.open_catalog()
                move_to_trash(catalog, [str(id)])
                catalog.close()

            with machine.network.with_faults({}, meanwhile=(number, delete)):
                report = machine.sync()
            assert (report.failed, report.trouble) == ((), None)
            move_to_trash(machine.catalog, [str(id)])  # where it took fewer requests
            machine.sync()
            assert str(id) not in machine.server.images
            assert len(machine.server.objects) == 3
            assert load_removals(machine.catalog) == []


def assert_whole_or_gone(machine: Machine) -> None:
    """No row names an object that another picture took; a row may be the last to go."""
    for row in machine.server.images.values():
        claim = machine.server.claims[row["storage_path"]]
        assert claim["image_id"] == row["id"]
    paths = {row["storage_path"] for row in machine.server.images.values()}
    assert {*machine.server.objects} <= paths
