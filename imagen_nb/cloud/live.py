"""Pictures of any machine, told as they come into the cloud.

The server is asked every 2 seconds. Where it has Realtime, a message wakes the next
question at once, and without one it is asked every 30 seconds: what is told comes from
the rows alone, so that a message that is lost, late or false changes nothing else.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from imagen_nb.cloud.arrivals import Arrivals
from imagen_nb.cloud.channel import Channel, ChannelState
from imagen_nb.cloud.client import Cloud
from imagen_nb.errors import CloudError
from imagen_nb.system.restartable import RestartableThread

POLL_S = 2.0
_POLL_WHILE_OPEN_S = 30.0  # for messages that were lost


@dataclass(frozen=True, slots=True)
class LiveListener:
    """Who hears of pictures, each called on threads of the watch.

    Attributes:
        tell: with the ids of pictures, the oldest first, each of them once; again with
            the next ones if it raises a CloudError.
        trouble: with one line when the cloud cannot be read, once until it can, and
            with "" then.
        note: with one line that says how pictures are looked for, where that is not
            as fast as it could be.
    """

    tell: Callable[[list[str]], None]
    trouble: Callable[[str], None]
    note: Callable[[str], None]


class CloudWatch:
    """Threads that watch the pictures of a user in the cloud.

    Invariant: they run between `start` and `stop`; what comes between `stop` and another
    `start` is told then. What is in the cloud when its server first answers is not.

    Args:
        connect: returns the client to ask with, or None; asked at each look, so that
            another session's cloud is watched once there is another session.
        listener: who is told.
    """

    def __init__(
        self, connect: Callable[[], Cloud | None], listener: LiveListener
    ) -> None:
        self._connect, self._listener = connect, listener
        self._lock = threading.Lock()
        self._cloud: Cloud | None = None
        self._arrivals: Arrivals | None = None
        self._channel: Channel | None = None
        self._heard: list[str] = []
        self._untold: list[str] = []
        self._noted: set[ChannelState] = set()
        self._wake = threading.Event()
        self._thread = RestartableThread(self._run, "imagen-cloud-live")

    def start(self) -> None:
        """Watch from now on; a second call changes nothing."""
        self._thread.start()

    def stop(self) -> None:
        """End the threads after a question that is under way, which is not waited for."""
        self._thread.stop()
        self._wake.set()

    def _run(self, stopped: threading.Event) -> None:
        said = ""
        while not stopped.is_set():
            self._wake.clear()
            try:
                self._look(stopped)
                if said and not stopped.is_set():
                    self._listener.trouble("")
                said = ""
            except CloudError as error:
                if str(error) != said and not stopped.is_set():
                    said = str(error)
                    self._listener.trouble(said)
            if not stopped.is_set():
                self._wake.wait(self._pause(said))
        self._close_channel()

    def _pause(self, trouble: str) -> float:
        """Return how long to wait for a message before asking again."""
        is_open = self._channel is not None and self._channel.is_open
        return _POLL_WHILE_OPEN_S if is_open and not trouble else POLL_S

    def _look(self, stopped: threading.Event) -> None:
        cloud = self._connect()
        if cloud is not self._cloud:
            self._close_channel()
            self._cloud, self._arrivals = cloud, Arrivals(cloud) if cloud else None
        if cloud is None or self._arrivals is None:
            return
        if self._channel is None:
            self._channel = Channel(cloud, self._hear, self._note)
            self._channel.start()
        with self._lock:
            heard, self._heard = self._heard, []
        self._arrivals.expect(heard)
        self._untold += self._arrivals.look()
        if self._untold and not stopped.is_set():
            self._listener.tell([*self._untold])
            self._untold.clear()

    def _close_channel(self) -> None:
        if self._channel:
            self._channel.stop()
            self._channel = None

    def _hear(self, event: str, ids: Sequence[str]) -> None:
        if event == "pictures":
            with self._lock:
                self._heard += ids
            self._wake.set()

    def _note(self, state: ChannelState) -> None:
        is_news = state not in self._noted
        if is_news and state in (ChannelState.ABSENT, ChannelState.REFUSED):
            self._noted.add(state)
            self._listener.note(f"new pictures are looked for every 2 s: {state.value}")
        self._wake.set()  # asked at another pace from now on
