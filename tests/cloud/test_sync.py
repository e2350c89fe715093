"""A drain: what it sends, counts, gives back and leaves, in what parts and by how many threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from imagen_nb.cloud import sync
from imagen_nb.cloud.claims import MAX_IDS, next_id
from imagen_nb.cloud.errors import TooSlowError, UnreachableError
from imagen_nb.cloud.sync import SendGate, drain
from imagen_nb.cloud.sync_report import SyncReport
from imagen_nb.storage.catalog import CatalogEntry
from tests.simulation.machine import Machine
from tests.simulation.network import Fault
from tests.simulation.server import SimulatedSupabase

SLOW = "took too long"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    server = SimulatedSupabase()
    machine = Machine("one", server.add_user("owner"), server, tmp_path)
    yield machine
    machine.stop()


@pytest.fixture
def drawn(machine: Machine) -> Callable[[int], list[str]]:
    """Draws so many pictures; gives their ids, the oldest first."""

    def draw(count: int) -> list[str]:
        for number in range(count):
            machine.draw(UUID(int=number), "a boat", number, 0, ())
        return [str(UUID(int=number)) for number in range(count)]

    return draw


@pytest.fixture
def uploading(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[int], object]], list[int]]:
    """Calls a function with the number of each picture before it goes up; gives them as tried."""

    def install(before: Callable[[int], object]) -> list[int]:
        tried: list[int] = []

        def upload(entry: CatalogEntry, *others: Any) -> CatalogEntry:
            tried.append(entry.record.id.int)
            before(entry.record.id.int)
            return original(entry, *others)

        original = sync.upload_picture
        monkeypatch.setattr(sync, "upload_picture", upload)
        return tried

    return install


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures each part had, as their paths are claimed."""
    sizes: list[int] = []

    def claim(entries: list[CatalogEntry], *others: Any) -> Any:
        sizes.append(len(entries))
        return original(entries, *others)

    original = sync.claim_paths
    monkeypatch.setattr(sync, "claim_paths", claim)
    return sizes


def run(machine: Machine, *arguments: Any, senders: int = 1, **options: Any) -> SyncReport:
    return drain(machine.catalog, machine.cloud, *arguments, senders=senders, **options)


def states(machine: Machine) -> list[tuple[str, str | None]]:
    """State and error of each picture, of which nobody holds any."""
    with machine.catalog.connection() as connection:
        rows = connection.execute(
            "SELECT cloud_state, cloud_error, sender FROM images ORDER BY id"
        ).fetchall()
    assert [sender for *_, sender in rows] == [None] * len(rows)
    return [(state, error) for state, error, _ in rows]


def slow(*numbers: int) -> Callable[[int], None]:
    def upload(number: int) -> None:
        if number in numbers:
            raise TooSlowError(SLOW)

    return upload


@pytest.fixture
def senders() -> Callable[[], set[threading.Thread]]:
    """Gives the threads that send now and did not when the test began."""

    def sending() -> set[threading.Thread]:
        return {thread for thread in threading.enumerate() if thread.name == "imagen-sync"}

    before = sending()
    return lambda: sending() - before


def test_what_waits_is_sent_and_the_report_says_how_long_it_took(
    machine: Machine, drawn: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = drawn(3)
    times = iter([10.0, 27.5])
    monkeypatch.setattr(sync, "time", SimpleNamespace(monotonic=lambda: next(times)))
    assert run(machine) == SyncReport(synced=3, seconds=17.5)
    assert states(machine) == [("synced", None)] * 3
    assert set(machine.server.images) == set(ids)
    assert len(machine.server.objects) == 3


def test_where_nothing_waits_nothing_is_asked(machine: Machine, drawn: Callable) -> None:
    drawn(1)
    run(machine)
    with machine.network.with_faults({}):
        assert run(machine).synced == 0
        assert machine.network.requests == 0


def test_only_the_pictures_that_are_named_go_as_far_as_they_wait(
    machine: Machine, drawn: Callable, parts: list[int]
) -> None:
    ids = drawn(3)
    report = run(machine, [ids[1]])
    assert (report.synced, report.pending) == (1, 2)
    assert [state for state, _ in states(machine)] == ["pending", "synced", "pending"]
    assert run(machine, [ids[1]]).synced == 0
    assert run(machine, ids=[]).synced == 0
    assert parts == [1]  # nothing is claimed for none


def test_what_cannot_go_up_is_failed_with_the_reason_and_the_others_go(
    machine: Machine, drawn: Callable
) -> None:
    ids = drawn(3)
    changed = machine.entries()[1]
    changed.path.write_bytes(b"something else")
    report = run(machine)
    ((id, reason),) = report.failed
    assert id == ids[1]
    assert "was changed since it was drawn" in reason
    assert (report.synced, report.pending, report.trouble) == (2, 0, None)
    assert states(machine) == [("synced", None), ("failed", reason), ("synced", None)]


def test_a_row_that_cannot_be_written_is_failed_too(machine: Machine, drawn: Callable) -> None:
    """As its id, and all that follow from it, are a stranger's."""
    ids = drawn(2)
    stranger, id = machine.server.add_user("stranger"), UUID(ids[0])
    for _ in range(MAX_IDS + 1):
        machine.server.add_row(str(id), stranger)
        id = next_id(machine.user.id, id)
    report = run(machine)
    ((_, reason),) = report.failed
    assert "another row of imagen.images has the id" in reason
    assert (report.synced, report.pending, report.trouble) == (1, 0, None)


def test_progress_counts_what_is_done_in_whatever_way(
    machine: Machine, drawn: Callable, uploading: Callable
) -> None:
    drawn(20)
    for number in (0, 3, 5):
        machine.entries()[number].path.write_bytes(b"something else")
    uploading(slow(2, 9))
    seen: list[tuple[int, int]] = []
    report = run(machine, progress=lambda done, total: seen.append((done, total)))
    assert (report.synced, len(report.failed), len(report.postponed)) == (15, 3, 2)
    assert seen == [(10, 20), (20, 20)]


class TestTrouble:
    def test_it_ends_all_and_what_was_held_waits_again_with_the_reason(
        self, machine: Machine, drawn: Callable
    ) -> None:
        drawn(18)
        with machine.network.with_faults({n: Fault("cut", "never") for n in range(60)}):
            report = run(machine)
        assert report.trouble == "signing in to Supabase failed: connection reset by peer"
        assert (report.synced, report.failed, report.pending) == (0, (), 18)
        assert states(machine) == [("pending", report.trouble)] * 9 + [("pending", None)] * 9

    def test_what_is_acknowledged_before_it_stays_so(
        self, machine: Machine, drawn: Callable, uploading: Callable
    ) -> None:
        def refuse(number: int) -> None:
            if number == 10:
                raise UnreachableError("no network")

        drawn(18)
        uploading(refuse)
        report = run(machine)
        assert (report.synced, report.pending, report.trouble) == (9, 9, "no network")
        assert states(machine)[8:] == [("synced", None), *[("pending", "no network")] * 9]

    def test_two_slow_pictures_are_left_for_later(
        self, machine: Machine, drawn: Callable, uploading: Callable
    ) -> None:
        ids = drawn(7)
        uploading(slow(1, 2, 4, 5))
        report = run(machine)
        assert report.postponed == tuple((ids[n], SLOW) for n in (1, 2, 4, 5))
        assert (report.synced, report.pending, report.trouble) == (3, 4, None)
        assert states(machine)[1:4] == [("pending", SLOW), ("pending", SLOW), ("synced", None)]

    def test_three_in_a_row_are_the_servers_trouble(
        self, machine: Machine, drawn: Callable, uploading: Callable
    ) -> None:
        drawn(8)
        tried = uploading(slow(1, 2, 4, 5, 6))
        report = run(machine)
        assert (report.synced, report.pending, report.trouble) == (2, 6, SLOW)
        assert tried == [0, 1, 2, 3, 4, 5, 6]
        assert states(machine)[7] == ("pending", None)

    def test_three_at_first_are_too(
        self, machine: Machine, drawn: Callable, uploading: Callable
    ) -> None:
        drawn(20)
        tried = uploading(slow(0, 1, 2))
        assert run(machine).trouble == SLOW
        assert tried == [0, 1, 2]


class TestDefect:
    """An error that is nobody's trouble but ours."""

    def test_it_is_raised_and_nothing_stays_held(
        self, machine: Machine, drawn: Callable, uploading: Callable, parts: list[int]
    ) -> None:
        def fail(number: int) -> None:
            raise ZeroDivisionError

        drawn(18)
        tried = uploading(fail)
        with pytest.raises(ZeroDivisionError):
            run(machine)
        assert (tried, parts) == ([0], [9])
        assert states(machine) == [("pending", None)] * 18

    def test_it_stops_the_other_senders(
        self, machine: Machine, drawn: Callable, uploading: Callable, parts: list[int]
    ) -> None:
        begun, failed = threading.Event(), threading.Event()

        def fail(number: int) -> None:
            if number < 9:
                assert begun.wait(10)
                failed.set()
                raise ZeroDivisionError
            begun.set()
            assert failed.wait(10)
            time.sleep(0.1)

        drawn(33)
        uploading(fail)
        with pytest.raises(ZeroDivisionError):
            run(machine, senders=2)
        assert parts == [9, 9]


class TestGate:
    def test_nothing_is_taken_while_it_is_closed(
        self, machine: Machine, drawn: Callable, parts: list[int]
    ) -> None:
        drawn(2)
        gate = SendGate()
        assert (gate.is_closed, gate.is_open(), gate.wait_open()) == (False, True, True)
        gate.close()
        assert (gate.is_closed, gate.is_open(), gate.wait_open()) == (True, False, False)
        report = run(machine, gate=gate)
        assert (report.synced, report.pending, report.trouble, parts) == (0, 2, None, [])

    def test_what_is_on_its_way_is_finished_when_it_closes(
        self, machine: Machine, drawn: Callable, uploading: Callable
    ) -> None:
        drawn(3)
        gate = SendGate()
        tried = uploading(lambda number: gate.close() if number == 1 else None)
        report = run(machine, gate=gate)
        assert (report.synced, report.pending, tried) == (2, 1, [0, 1])
        assert states(machine)[2] == ("pending", None)

    def test_ctrl_c_closes_it_and_waits_for_what_is_on_its_way(
        self,
        machine: Machine,
        drawn: Callable,
        uploading: Callable,
        senders: Callable,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        gate, begun, interrupted = SendGate(), threading.Event(), threading.Event()

        class Interrupted(threading.Thread):
            def join(self, timeout: float | None = None) -> None:
                if not interrupted.is_set():
                    assert begun.wait(10)
                    interrupted.set()
                    raise KeyboardInterrupt
                super().join(timeout)

        def upload(number: int) -> None:
            assert threading.current_thread().daemon
            begun.set()
            assert interrupted.wait(10)
            for _ in range(500):
                if gate.is_closed:
                    break
                time.sleep(0.01)
            time.sleep(0.05)

        drawn(2)
        tried = uploading(upload)
        monkeypatch.setattr(sync.threading, "Thread", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(machine, gate=gate)
        assert senders() == set()
        assert gate.is_closed
        assert tried == [0]
        assert states(machine) == [("synced", None), ("pending", None)]


@pytest.mark.parametrize(
    ("count", "threads", "sizes"),
    [
        (16, 1, [16]),
        (20, 1, [10, 10]),
        (34, 2, [9, 9, 9, 7]),
        (5, 2, [3, 2]),
        (4, 2, [2, 2]),
        (3, 8, [1, 1, 1]),
    ],
)
def test_parts_fit_one_request_and_keep_all_senders_working(
    machine: Machine, drawn: Callable, parts: list[int], count: int, threads: int, sizes: list[int]
) -> None:
    drawn(count)
    assert run(machine, senders=threads).synced == count
    assert sorted(parts, reverse=True) == sizes


def test_there_are_no_more_threads_than_parts_and_senders(
    machine: Machine, drawn: Callable, uploading: Callable, senders: Callable
) -> None:
    seen: set[int] = set()
    uploading(lambda number: (seen.add(len(senders())), time.sleep(0.02)))
    drawn(9)
    assert drain(machine.catalog, machine.cloud).synced == 9
    assert max(seen) <= 5  # parts of two
    assert senders() == set()
