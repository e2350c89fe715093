"""New pictures of any machine are told once each, whenever they were drawn, and none is missed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any
from uuid import uuid4

import pytest

from imagen_nb.cloud import arrivals as arrivals_module
from imagen_nb.cloud import channel as channel_module
from imagen_nb.cloud import live as module
from imagen_nb.cloud.account import Account
from imagen_nb.cloud.arrivals import Arrivals
from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.connection import READER_TIMEOUTS
from imagen_nb.cloud.live import CloudWatch, LiveListener
from imagen_nb.errors import CloudError
from tests.fixtures.fault_proxy import FaultProxy
from tests.fixtures.pictures import render, sync
from tests.fixtures.realtime_server import RealtimeServer
from tests.fixtures.server_state import ServerState
from tests.fixtures.supabase_fixtures import TwoUsers

NOW = datetime.now(UTC)
WAIT_S = 30


@pytest.fixture
def cloud(server: ServerState, signed_in: Account) -> Iterator[Cloud]:
    with closing(Cloud(signed_in, 1, READER_TIMEOUTS)) as cloud:
        yield cloud


@pytest.fixture
def add(server: ServerState, local_supabase: TwoUsers) -> Callable[..., list[str]]:
    """Rows as another program writes them: without claims. `hours`: from now."""

    def add(count: int = 1, hours: float = 0.0, owner: str | None = None) -> list[str]:
        owner = owner or local_supabase.user_id
        ids = [str(uuid4()) for _ in range(count)]
        moments = [NOW + timedelta(hours=hours, seconds=place) for place in range(count)]
        table = server.client.schema("imagen").from_("images")
        rows: list[dict[str, Any]] = [
            {
                "id": id,
                "owner_user_id": owner,
                "prompt": "a boat",
                "backend": "b",
                "storage_path": f"{owner}/2026-05-11/{id}.png",
                "created_at": moment.isoformat(),
            }
            for id, moment in zip(ids, moments, strict=True)
        ]
        table.insert(rows).execute()
        return ids

    return add


def claim(server: ServerState, owner: str, id: str) -> None:
    row = {
        "storage_path": f"{owner}/2026-05-11/{id}.png",
        "image_id": id,
        "owner_user_id": owner,
    }
    server.client.schema("imagen").from_("claims").insert(row).execute()


class TestArrivals:
    def test_what_is_there_is_not_told_and_what_comes_is_told_once(
        self, cloud: Cloud, add: Callable[..., list[str]]
    ) -> None:
        add(3)
        arrivals = Arrivals(cloud)
        assert arrivals.look() == []
        new = add(2, hours=0.1)
        assert arrivals.look() == new
        assert arrivals.look() == []

    def test_a_strangers_pictures_are_not_told(
        self, cloud: Cloud, add: Callable[..., list[str]], local_supabase: TwoUsers
    ) -> None:
        arrivals = Arrivals(cloud)
        arrivals.look()
        theirs = add(1, owner=local_supabase.other.id)
        arrivals.expect(theirs)
        assert arrivals.look() == []

    def test_pictures_that_are_sent_long_after_they_were_drawn_are_told(
        self,
        cloud: Cloud,
        add: Callable[..., list[str]],
        signed_in: Account,
        folder: Path,
        server: ServerState,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(arrivals_module, "_ROWS_PER_LOOK", 2)
        before = {*add(5, hours=24)}  # drawn later, by the clock of their machine
        render(folder, 3)
        arrivals = Arrivals(cloud)
        arrivals.look()
        sync(folder, signed_in)
        found = arrivals.look()
        assert len(found) == 3
        assert {*found} == {row["id"] for row in server.rows()} - before
        assert arrivals.look() == []

    def test_a_clock_that_is_hours_ahead_hides_nothing(
        self, cloud: Cloud, add: Callable[..., list[str]]
    ) -> None:
        arrivals = Arrivals(cloud)
        arrivals.look()
        assert arrivals.look() == []
        ahead = add(1, hours=5)
        assert arrivals.look() == ahead
        assert arrivals.look() == []
        now = add(2)
        assert arrivals.look() == now

    def test_what_was_only_claimed_when_one_began_is_told_when_it_is_there(
        self,
        cloud: Cloud,
        add: Callable[..., list[str]],
        server: ServerState,
        local_supabase: TwoUsers,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(arrivals_module, "_ROWS_PER_LOOK", 2)
        add(3, hours=24)
        arrivals = Arrivals(cloud)
        id = str(uuid4())
        claim(server, local_supabase.user_id, id)
        arrivals.look()
        assert arrivals.look() == []
        monkeypatch.setattr("tests.cloud.test_live.uuid4", lambda: id)
        assert add(1, hours=-24) == [id]
        assert arrivals.look() == [id]
        assert arrivals.look() == []

    def test_more_than_a_page_at_once_is_told_whole(
        self,
        cloud: Cloud,
        add: Callable[..., list[str]],
        proxy: FaultProxy,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(arrivals_module, "_ROWS_PER_LOOK", 20)
        proxy.max_rows = 7  # of a server that gives fewer rows than it is asked for
        add(30)
        arrivals = Arrivals(cloud)
        arrivals.look()
        new = add(50, hours=0.1)
        assert arrivals.look() == new
        assert arrivals.look() == []

    def test_a_look_that_fails_loses_nothing(
        self,
        cloud: Cloud,
        add: Callable[..., list[str]],
        signed_in: Account,
        folder: Path,
        proxy: FaultProxy,
    ) -> None:
        arrivals = Arrivals(cloud)
        arrivals.look()
        new = add(2, hours=1)
        render(folder, 1)
        sync(folder, signed_in)
        proxy.down = True
        with pytest.raises(CloudError):
            arrivals.look()
        proxy.down = False
        found = arrivals.look()
        assert len(found) == 3
        assert {*new} < {*found}

    def test_an_idle_look_is_two_requests(
        self, cloud: Cloud, add: Callable[..., list[str]], proxy: FaultProxy
    ) -> None:
        add(3)
        arrivals = Arrivals(cloud)
        arrivals.look()
        proxy.requests.clear()
        arrivals.look()
        assert len(proxy.requests) == 2


class Told:
    """A watch of one cloud, and what it tells."""

    def __init__(self, cloud: Cloud) -> None:
        self.pictures: SimpleQueue[str] = SimpleQueue()
        self.trouble: SimpleQueue[str] = SimpleQueue()
        self.notes: SimpleQueue[str] = SimpleQueue()
        self.fails = 0
        listener = LiveListener(self._tell, self.trouble.put, self.notes.put)
        self.watch = CloudWatch(lambda: cloud, listener)
        self.watch.start()

    def _tell(self, ids: list[str]) -> None:
        if self.fails:
            self.fails -= 1
            raise CloudError("not just now")
        for id in ids:
            self.pictures.put(id)

    def get(self, count: int) -> list[str]:
        return [self.pictures.get(timeout=WAIT_S) for _ in range(count)]


@pytest.fixture
def told(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, proxy: FaultProxy) -> Iterator[Told]:
    """A watch that has begun, of a server without Realtime."""
    monkeypatch.setattr(module, "POLL_S", 0.1)
    told = Told(cloud)
    looks_again(proxy)
    yield told
    told.watch.stop()
    until = time.monotonic() + WAIT_S
    while [one for one in threading.enumerate() if one.name.startswith("imagen-c")]:
        assert time.monotonic() < until, "a thread did not end"
        time.sleep(0.01)


def looks_again(proxy: FaultProxy) -> None:
    """Wait for two whole looks."""
    until = time.monotonic() + WAIT_S
    proxy.requests.clear()
    while sum("/claims?" in path for _, path in [*proxy.requests]) < 3:
        assert time.monotonic() < until
        time.sleep(0.01)


class TestCloudWatch:
    def test_where_there_is_no_realtime_it_says_that_it_polls(
        self, told: Told, add: Callable[..., list[str]]
    ) -> None:
        said = "new pictures are looked for every 2 s: this Supabase has no Realtime"
        assert told.notes.get(timeout=WAIT_S) == said
        new = add(2, hours=1)
        assert told.get(2) == new
        assert told.notes.empty()

    def test_a_server_that_goes_and_comes_back_is_said_once_and_nothing_is_missed(
        self, told: Told, add: Callable[..., list[str]], proxy: FaultProxy
    ) -> None:
        first = add(2, hours=1)
        assert told.get(2) == first
        proxy.down = True
        assert told.trouble.get(timeout=WAIT_S)
        meanwhile = add(3, hours=2)
        with pytest.raises(Empty):
            told.trouble.get(timeout=1)
        proxy.down = False
        assert told.get(3) == meanwhile
        assert told.trouble.get(timeout=WAIT_S) == ""
        later = add(1, hours=3)
        assert told.get(1) == later
        assert told.pictures.empty()

    def test_what_could_not_be_taken_is_told_again(
        self, told: Told, add: Callable[..., list[str]]
    ) -> None:
        told.fails = 2
        new = add(2, hours=1)
        assert told.get(2) == new
        assert told.trouble.get(timeout=WAIT_S) == "not just now"
        assert told.trouble.get(timeout=WAIT_S) == ""
        assert told.trouble.empty()

    def test_what_comes_between_a_stop_and_a_start_is_told_then(
        self, told: Told, add: Callable[..., list[str]], proxy: FaultProxy
    ) -> None:
        told.watch.stop()
        told.watch.stop()
        new = add(2, hours=1)
        told.watch.start()
        told.watch.start()
        assert told.get(2) == new
        looks_again(proxy)
        assert told.pictures.empty()


def test_a_message_of_realtime_is_a_reason_to_look_at_once(
    cloud: Cloud,
    add: Callable[..., list[str]],
    proxy: FaultProxy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With hours between two looks only a message can be the reason."""
    real = channel_module._access_of
    monkeypatch.setattr(module, "POLL_S", 3600)
    monkeypatch.setattr(module, "_POLL_WHILE_OPEN_S", 3600)
    with RealtimeServer() as realtime:

        def access(cloud: Cloud) -> Any:
            known = real(cloud)
            return channel_module._Access(
                realtime.url, known.key, known.token, known.owner, known.seconds
            )

        monkeypatch.setattr(channel_module, "_access_of", access)
        told = Told(cloud)
        try:
            realtime.joins.get(timeout=WAIT_S)
            until = time.monotonic() + WAIT_S
            while not told.watch._arrivals or not told.watch._arrivals._begun:
                assert time.monotonic() < until
                time.sleep(0.01)
            new = add(1, hours=1)
            realtime.tell("pictures", {"ids": new, "count": 1})
            assert told.get(1) == new
            old = add(1, hours=-1000)  # which is told by its message alone
            realtime.tell("pictures", {"ids": old, "count": 1})
            assert told.get(1) == old
            realtime.tell("pictures", {"ids": [str(uuid4()), *old], "count": 2})
            last = add(1, hours=2)
            realtime.tell("pictures", {"ids": [], "count": 1})
            assert told.get(1) == last
            assert told.pictures.empty()
            assert told.notes.empty()
        finally:
            told.watch.stop()
