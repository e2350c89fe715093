"""What carries a machine's requests to the simulated Supabase, with faults on the way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import httpx

from tests.simulation.deaths import Mortality
from tests.simulation.server import LateWork, SimulatedSupabase, Work, run

Answer = Literal["real", "cut", "silence", "503", "429", "empty", "foreign", "expired", "death"]


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with one request.

    `done`: whether the server does it: now, never, or after so many further requests.
    """

    answer: Answer
    done: Literal["now", "never"] | int = "now"


_ANSWERS = {
    "503": httpx.Response(503, text="<h1>Service unavailable</h1>"),
    "429": httpx.Response(429, headers={"retry-after": "1"}, json={}),
    "empty": httpx.Response(200, content=b""),
    "foreign": httpx.Response(200, html="<html>Welcome to our hotel's network</html>"),
}


class Turns:
    """Lets one of several machines go on at a time, as `order` says.

    Invariant: at most one runs; the others wait before a step of one of their requests.
    """

    def __init__(self, names: Sequence[str], order: Sequence[int]) -> None:
        self._alive, self._order = set(names), list(order)
        self._waiting: set[str] = set()
        self._running: str | None = None
        self._change = threading.Condition()

    def take(self, name: str) -> None:
        """Wait for the next turn."""
        with self._change:
            if self._running == name:
                self._running = None
            self._waiting.add(name)
            self._choose()
            self._change.wait_for(lambda: self._running == name)

    def leave(self, name: str) -> None:
        """Need no more turns."""
        with self._change:
            self._alive.discard(name)
            self._running = None
            self._choose()

    def _choose(self) -> None:
        if self._running is None and self._alive and self._waiting == self._alive:
            names = sorted(self._waiting)
            number = self._order.pop(0) if self._order else 0
            self._running = names[number % len(names)]
            self._waiting.discard(self._running)
            self._change.notify_all()


@dataclass
class Network(httpx.BaseTransport):
    """One machine's way to the server.

    `faults`: by the number of the request, since the last `with_faults`. `meanwhile`: called once,
    while that request is on its way. Downloads by signed URL, which several threads ask for at
    once, are not counted.
    """

    name: str
    server: SimulatedSupabase
    mortality: Mortality
    faults: Mapping[int, Fault] = field(default_factory=dict)
    turns: Turns | None = None
    meanwhile: tuple[int, Callable[[], object]] | None = None
    requests: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def with_faults(
        self,
        faults: Mapping[int, Fault],
        turns: Turns | None = None,
        meanwhile: tuple[int, Callable[[], object]] | None = None,
    ) -> Iterator[None]:
        self.requests = 0
        self.faults, self.turns, self.meanwhile = faults, turns, meanwhile
        try:
            yield
        finally:
            self.faults, self.turns, self.meanwhile = {}, None, None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        with self._lock:
            if request.method == "GET" and "/object/sign/" in request.url.path:
                return run(self.server.handle(request))
            self.mortality.step()
            self._wait()
            self.server.deliver_late()
            number, self.requests = self.requests, self.requests + 1
            fault = self.faults.get(number, Fault("real"))
            if fault.answer == "expired":
                self.server.end_sessions()
                fault = Fault("real")
            done = self._do(self.server.handle(request), fault)
            if self.meanwhile and self.meanwhile[0] == number:
                self.meanwhile[1]()
            return self._answer(fault, done)

    def _wait(self) -> None:
        if self.turns:
            self.turns.take(self.name)

    def _do(self, work: Work, fault: Fault) -> httpx.Response | None:
        """Have the server do it, with pauses for others; None if it does not, or not yet."""
        if fault.done == "never":
            return None
        if isinstance(fault.done, int):
            next(work)  # it has arrived; what it writes comes later
            self.server.late.append(LateWork(work, fault.done))
            return None
        while True:
            try:
                next(work)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            self._wait()

    def _answer(self, fault: Fault, done: httpx.Response | None) -> httpx.Response:
        if fault.answer == "death":
            self.mortality.die()
        self.mortality.step()
        if fault.answer == "cut":
            raise httpx.ReadError("connection reset by peer")
        if fault.answer in _ANSWERS:
            usual = _ANSWERS[fault.answer]
            return httpx.Response(usual.status_code, headers=usual.headers, content=usual.content)
        if fault.answer == "silence" or done is None:
            raise httpx.ReadTimeout("timed out")
        return done
