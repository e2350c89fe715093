"""The private channel of Supabase Realtime on which a user's own database tells what is new.

`sql/…_imagen_announce.sql` says what is told, `…_imagen_channel.sql` to whom. Messages are
hints: one may be lost, so whoever hears nothing must ask all the same, only more rarely.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any
from uuid import UUID

from imagen_nb.cloud.client import Cloud
from imagen_nb.errors import CloudError

if TYPE_CHECKING:
    from pydantic import SecretStr
    from realtime import AsyncRealtimeClient
    from realtime.types import RealtimeChannelConfig

EVENTS = ("pictures", "jobs")
_FIRST_PAUSE_S, _LONGEST_ABSENCE_S = 1.0, 60.0  # between two attempts
_JOIN_TIMEOUT_S = 10
_MAX_IDS = 1000  # that one message is believed
_NOT_FOUND = 404  # what a Supabase without Realtime answers

# The client's library logs each attempt that fails as an error, which Python prints where
# nobody has set up logging. Whoever has still gets them.
logging.getLogger("realtime").addHandler(logging.NullHandler())


class ChannelState(Enum):
    """How it stands with the channel; the values are for people."""

    OPENING = "opening"
    OPEN = "open"
    ABSENT = "this Supabase has no Realtime"
    REFUSED = (
        "Realtime refuses the channel (`imagen db migrate`, or in the SQL editor:"
        " SELECT imagen.open_channel())"
    )
    AWAY = "Realtime does not answer"


@dataclass(frozen=True, slots=True)
class _Access:
    """What Realtime is asked with, for so many seconds; None: as long as one likes."""

    url: str
    key: SecretStr
    token: SecretStr | None
    owner: UUID
    seconds: float | None


class Channel:
    """Hears what is told to the user's pictures and jobs, in a thread of its own.

    Invariant: the thread runs between `start` and `stop`; it ends by itself where there
    is no Realtime. Another Supabase than one's own is never connected to.

    Args:
        cloud: whose user.
        heard: called, on the thread, with an event of `EVENTS` and the ids told; with
            no ids when the channel has just opened: what was told before is unknown.
        changed: called, on the thread, when the state is another one.
    """

    def __init__(
        self,
        cloud: Cloud,
        heard: Callable[[str, Sequence[str]], None],
        changed: Callable[[ChannelState], None] = lambda state: None,
    ) -> None:
        self._cloud, self._heard, self._changed = cloud, heard, changed
        self.state = ChannelState.OPENING
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._end: Callable[[], object] | None = None  # of the loop that runs now

    def start(self) -> None:
        """Begin to hear; once only."""
        threading.Thread(target=self._run, name="imagen-channel", daemon=True).start()

    def stop(self) -> None:
        """End the thread soon, and its connection; it is not waited for."""
        with self._lock:
            self._stopped.set()
            if self._end:
                self._end()

    @property
    def is_open(self) -> bool:
        """Whether messages come now."""
        return self.state is ChannelState.OPEN

    def _run(self) -> None:
        pause = _FIRST_PAUSE_S
        while not self._stopped.is_set():
            try:
                state = asyncio.run(self._hear_until_stopped(_access_of(self._cloud)))
            except CloudError:
                state = ChannelState.AWAY
            if self.is_open:  # until now: what comes meanwhile is not told
                pause = _FIRST_PAUSE_S
            self._become(state)
            if state is ChannelState.ABSENT:
                return
            self._stopped.wait(pause)
            pause = min(2 * pause, _LONGEST_ABSENCE_S)

    def _become(self, state: ChannelState) -> None:
        if state is not self.state and not self._stopped.is_set():
            self.state = state
            self._changed(state)

    async def _hear_until_stopped(self, access: _Access) -> ChannelState:
        hearing = asyncio.ensure_future(self._hear(access))
        loop = asyncio.get_running_loop()
        with self._lock:
            self._end = lambda: loop.call_soon_threadsafe(hearing.cancel)
            if self._stopped.is_set():
                hearing.cancel()
        try:
            return await hearing
        except asyncio.CancelledError:
            return ChannelState.AWAY
        finally:
            with self._lock:
                self._end = None

    async def _hear(self, access: _Access) -> ChannelState:
        """Hear until the channel closes; return why it is not open then."""
        from realtime import AsyncRealtimeClient
        from websockets.exceptions import InvalidStatus, WebSocketException

        key, token = access.key.get_secret_value(), access.token
        address = f"{access.url.rstrip('/')}/realtime/v1"
        client = AsyncRealtimeClient(
            address, key, auto_reconnect=False, max_retries=1, timeout=_JOIN_TIMEOUT_S
        )
        try:
            await client.connect()
            await client.set_auth(token.get_secret_value() if token else key)
            return await self._hear_joined(client, access)
        except InvalidStatus as error:
            absent = error.response.status_code == _NOT_FOUND
            return ChannelState.ABSENT if absent else ChannelState.AWAY
        except (OSError, WebSocketException):
            return ChannelState.AWAY
        finally:
            with suppress(OSError, WebSocketException):
                await client.close()

    async def _hear_joined(
        self, client: AsyncRealtimeClient, access: _Access
    ) -> ChannelState:
        from realtime import RealtimeSubscribeStates

        closed = asyncio.Event()
        states: list[RealtimeSubscribeStates] = []

        def note(state: RealtimeSubscribeStates, error: Exception | None) -> None:
            states.append(state)
            if state is not RealtimeSubscribeStates.SUBSCRIBED:
                closed.set()

        channel = client.channel(
            f"imagen:{access.owner}", {"config": _channel_config()}
        )
        for event in EVENTS:
            channel.on_broadcast(event, self._take)
        await channel.subscribe(note)
        if RealtimeSubscribeStates.CHANNEL_ERROR in states:
            return ChannelState.REFUSED
        if not closed.is_set():
            self._become(ChannelState.OPEN)
            for event in EVENTS:
                self._heard(event, [])
            with suppress(asyncio.TimeoutError):  # then again, with a new token
                await asyncio.wait_for(closed.wait(), access.seconds)
        return ChannelState.AWAY

    def _take(self, told: Mapping[str, Any]) -> None:
        self._heard(str(told["event"]), _ids_told(told.get("payload")))


def _access_of(cloud: Cloud) -> _Access:
    account = cloud._connection.account
    session = cloud._connection.call(lambda session: session)
    seconds = session.seconds_left()
    return _Access(account.url, account.key, session.token, session.owner, seconds)


def _channel_config() -> RealtimeChannelConfig:
    return {
        "broadcast": {"ack": False, "self": False},
        "presence": {"key": "", "enabled": False},
        "private": True,
    }


def _ids_told(payload: object) -> list[str]:
    """Return the ids of a message; what is none is left out, as it may be anybody's."""
    ids = payload.get("ids") if isinstance(payload, Mapping) else None
    told = []
    for id in ids[:_MAX_IDS] if isinstance(ids, list) else []:
        with suppress(ValueError):
            told.append(str(UUID(str(id))))
    return told
