"""The channel of Realtime: who is asked for what, what is heard, and how it ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from queue import SimpleQueue
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from imagen_nb.cloud import channel as module
from imagen_nb.cloud.account import Account
from imagen_nb.cloud.channel import Channel, ChannelState
from imagen_nb.cloud.client import Cloud
from tests.fixtures.ports import free_port
from tests.fixtures.realtime_server import RealtimeServer

OWNER = uuid4()
KEY = "a secret key"
WAIT_S = 30


@pytest.fixture
def realtime() -> Iterator[RealtimeServer]:
    with RealtimeServer() as server:
        yield server


class Listener:
    """A channel to this address, and what came of it."""

    def __init__(self, url: str) -> None:
        self.heard: SimpleQueue[tuple[str, list[str]]] = SimpleQueue()
        self.states: SimpleQueue[ChannelState] = SimpleQueue()
        cloud = Cloud(Account(url, SecretStr(KEY), owner=OWNER))
        self.channel = Channel(
            cloud, lambda event, ids: self.heard.put((event, [*ids])), self.states.put
        )
        self.channel.start()

    def opened(self) -> None:
        """Wait until it is open, and until that was told."""
        assert self.states.get(timeout=WAIT_S) is ChannelState.OPEN
        for event in module.EVENTS:
            assert self.heard.get(timeout=WAIT_S) == (event, [])


@pytest.fixture
def listen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Listener]]:
    """Opens channels, which are closed and leave no thread."""
    monkeypatch.setattr(module, "_FIRST_PAUSE_S", 0.02)
    listeners: list[Listener] = []

    def open_(url: str) -> Listener:
        listeners.append(Listener(url))
        return listeners[-1]

    yield open_
    for listener in listeners:
        listener.channel.stop()
    until = time.monotonic() + WAIT_S
    while any(thread.name == "imagen-channel" for thread in threading.enumerate()):
        assert time.monotonic() < until, "a channel's thread did not end"
        time.sleep(0.01)


def test_it_asks_for_its_owners_private_channel_and_hears_what_is_told(
    realtime: RealtimeServer, listen: Callable[[str], Listener]
) -> None:
    listener = listen(realtime.url)
    listener.opened()
    topic, asked = realtime.joins.get(timeout=WAIT_S)
    assert topic == f"realtime:imagen:{OWNER}"
    assert asked["access_token"] == KEY
    assert asked["config"]["private"] is True
    assert asked["config"]["postgres_changes"] == []
    ids = [str(uuid4()), str(uuid4())]
    realtime.tell("pictures", {"ids": ids, "count": 2, "at": "2026-05-11T12:00:00Z"})
    realtime.tell("jobs", {"ids": ids[:1]})
    realtime.tell("somebody's own", {"ids": ids})
    realtime.tell("pictures", {"ids": []})
    heard = [listener.heard.get(timeout=WAIT_S) for _ in range(3)]
    assert heard == [("pictures", ids), ("jobs", ids[:1]), ("pictures", [])]


@pytest.mark.parametrize(
    "payload", [{}, {"ids": "x"}, {"ids": None}, {"ids": [7, None, "../x", {"a": 1}]}]
)
def test_what_is_no_id_is_a_reason_to_look_and_nothing_else(
    realtime: RealtimeServer, listen: Callable[[str], Listener], payload: object
) -> None:
    listener = listen(realtime.url)
    listener.opened()
    realtime.tell("pictures", payload)
    assert listener.heard.get(timeout=WAIT_S) == ("pictures", [])


def test_of_a_message_that_is_too_long_a_part_is_believed(
    realtime: RealtimeServer, listen: Callable[[str], Listener]
) -> None:
    listener = listen(realtime.url)
    listener.opened()
    realtime.tell("pictures", {"ids": [str(UUID(int=number)) for number in range(3000)]})
    assert len(listener.heard.get(timeout=WAIT_S)[1]) == 1000


def test_a_connection_that_breaks_is_made_again_and_says_that_something_may_be_lost(
    realtime: RealtimeServer, listen: Callable[[str], Listener]
) -> None:
    listener = listen(realtime.url)
    listener.opened()
    realtime.cut()
    assert listener.states.get(timeout=WAIT_S) is ChannelState.AWAY
    listener.opened()


def test_a_refused_channel_says_what_to_do_and_is_asked_for_again(
    realtime: RealtimeServer, listen: Callable[[str], Listener]
) -> None:
    realtime.refused = "Unauthorized: You do not have permissions to read from this Channel"
    listener = listen(realtime.url)
    state = listener.states.get(timeout=WAIT_S)
    assert state is ChannelState.REFUSED
    assert "SELECT imagen.open_channel()" in state.value
    realtime.refused = None
    listener.opened()


def test_a_server_that_is_away_is_waited_for(listen: Callable[[str], Listener]) -> None:
    listener = listen(f"http://127.0.0.1:{free_port()}")
    assert listener.states.get(timeout=WAIT_S) is ChannelState.AWAY
    assert not listener.channel.is_open


def test_nothing_is_printed_of_attempts_that_fail(
    listen: Callable[[str], Listener], capfd: pytest.CaptureFixture[str]
) -> None:
    listener = listen(f"http://127.0.0.1:{free_port()}")
    assert listener.states.get(timeout=WAIT_S) is ChannelState.AWAY
    listener.channel.stop()
    assert capfd.readouterr() == ("", "")


def test_before_a_session_runs_out_another_connection_is_made_with_a_new_one(
    realtime: RealtimeServer,
    listen: Callable[[str], Listener],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tokens = iter(["first", "second"])

    def access(cloud: Cloud) -> module._Access:
        token = SecretStr(next(tokens, "later"))
        return module._Access(realtime.url, SecretStr(KEY), token, OWNER, 0.05)

    monkeypatch.setattr(module, "_access_of", access)
    listen(realtime.url)
    joined = [realtime.joins.get(timeout=WAIT_S)[1]["access_token"] for _ in range(3)]
    assert joined == ["first", "second", "later"]


def test_a_user_who_signs_in_is_asked_for_by_the_token_of_the_session(
    signed_in: Account,
) -> None:
    with closing(Cloud(signed_in)) as cloud:
        access = module._access_of(cloud)
    assert access.token is not None
    assert access.token.get_secret_value() not in repr(access)
    assert access.key == signed_in.key
    assert access.seconds is not None
    assert 60 < access.seconds <= 3600
