"""New pictures are looked at in the background: never during a render, and to the end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from imagen_nb.frames.finding import computing
from imagen_nb.frames.plugins.embedders import make_embedder
from imagen_nb.storage.vectors import VectorStore
from imagen_nb.studio import searching
from imagen_nb.studio.looking_ahead import LookingAhead
from imagen_nb.studio.studio import Studio
from imagen_nb.system import idle_gate
from tests.fixtures.forks import assert_child_ends_well, forks

SECONDS = 60.0  # for what comes at once, on a busy machine
SMALL = {"backend": "flux-tiny-local", "steps": 1, "width": 64, "height": 64}


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle_gate, "_QUIET_S", 0.0)


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """Counts the vectors that come into stores."""
    count = threading.Semaphore(0)
    really = VectorStore.add

    def add(self: VectorStore, ids: Any, vectors: Any) -> None:
        really(self, ids, vectors)
        if ids:
            count.release(len(ids))

    monkeypatch.setattr(VectorStore, "add", add)
    return count


@pytest.fixture
def studio(folder: Path) -> Iterator[Callable[[str], Studio]]:
    opened: list[Studio] = []

    def make(background: str = "on") -> Studio:
        find = {"background": background, "embedder": "tiny"}
        opened.append(Studio({**SMALL, "output": {"dir": folder}, "find": find}))
        return opened[-1]

    yield make
    for session in opened:
        session.close()


def wait_for(count: threading.Semaphore, pictures: int) -> None:
    for _ in range(pictures):
        assert count.acquire(timeout=SECONDS)


def test_what_was_drawn_is_looked_at_afterwards(
    studio: Callable[[str], Studio], added: threading.Semaphore
) -> None:
    session = studio("on")
    session.sweep("a boat", seeds=[1, 2, 3])
    wait_for(added, 3)
    assert session.embed(embedder="tiny") == 0


def test_by_itself_only_where_something_was_looked_for(
    studio: Callable[[str], Studio], added: threading.Semaphore, folder: Path
) -> None:
    session = studio("auto")
    session.generate("a boat", seed=1)
    session._looking.close()
    assert not (folder / ".imagen" / "vectors").exists()
    again = studio("auto")
    assert len(again.find("a boat", embedder="tiny")) == 1
    wait_for(added, 1)
    again.generate("a boat", seed=2)
    wait_for(added, 1)


def test_off_is_off(studio: Callable[[str], Studio]) -> None:
    session = studio("off")
    session.generate("a boat", seed=1)
    assert session._looking._thread is None


def test_nothing_is_looked_at_during_a_render_and_the_rest_after_it(
    studio: Callable[[str], Studio],
    added: threading.Semaphore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A render begins when the first of four batches is done, and lasts."""
    monkeypatch.setattr(searching, "_AHEAD_BATCH", 1)
    session = studio("on")
    first_done, render_goes_on = threading.Event(), threading.Event()
    rendering, asked_during_render = threading.Event(), threading.Event()
    really = VectorStore.add

    def add(self: VectorStore, ids: Any, vectors: Any) -> None:
        really(self, ids, vectors)
        if not first_done.is_set():
            first_done.set()
            assert rendering.wait(SECONDS)

    monkeypatch.setattr(VectorStore, "add", add)
    really_open = idle_gate.IdleGate.is_open

    def is_open(self: idle_gate.IdleGate) -> bool:
        opened = really_open(self)
        if rendering.is_set() and not opened:
            asked_during_render.set()
        return opened

    monkeypatch.setattr(idle_gate.IdleGate, "is_open", is_open)

    def hold(step: Any, *others: Any) -> None:
        rendering.set()
        assert render_goes_on.wait(SECONDS)

    with session.drawing():  # one row of renders
        session.sweep("a boat", seeds=[1, 2, 3, 4])
    assert first_done.wait(SECONDS)
    render = threading.Thread(
        target=session.generate, args=("a house",), kwargs={"seed": 5, "progress": hold}
    )
    render.start()
    assert rendering.wait(SECONDS)
    assert asked_during_render.wait(SECONDS)
    store = VectorStore(session.catalog().folder, *space())
    assert len(store) == 1
    render_goes_on.set()
    render.join(SECONDS)
    wait_for(added, 5)
    assert len(VectorStore(session.catalog().folder, *space())) == 5


def space() -> tuple[str, int]:
    embedder = make_embedder("tiny")
    return embedder.model, embedder.dimensions


def test_a_mistake_is_said_once_and_reaches_no_render(
    studio: Callable[[str], Studio],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*arguments: Any, **others: Any) -> int:
        raise RuntimeError("the card is full")

    monkeypatch.setattr(computing, "embed_missing", fail)
    session = studio("on")
    session.generate("a boat", seed=1)
    thread = session._looking._thread
    assert thread is not None
    thread.join(SECONDS)
    session.generate("a boat", seed=2)
    told = capsys.readouterr().err
    assert told.count("not looked at in the background") == 1
    assert "the card is full" in told


def test_closing_waits_for_no_more_than_a_batch(folder: Path) -> None:
    began, ended = threading.Event(), threading.Event()

    def compute(catalog: Any, goes_on: Callable[[], bool]) -> None:
        began.set()
        while goes_on():
            pass
        ended.set()

    looking = LookingAhead(compute)
    with Studio({**SMALL, "output": {"dir": folder}}, background=False) as session:
        looking.drawn(session.catalog())
        assert began.wait(SECONDS)
        looking.close()
        assert ended.wait(SECONDS)
        looking.drawn(session.catalog())  # after the end nothing begins
    assert looking._thread is None


@forks[0]
@forks[1]
def test_a_forked_process_looks_for_itself(folder: Path) -> None:
    def compute(catalog: Any, goes_on: Callable[[], bool]) -> None:
        done.set()

    done = threading.Event()
    looking = LookingAhead(compute)
    with Studio({**SMALL, "output": {"dir": folder}}, background=False) as session:
        catalog = session.catalog()

        def child() -> None:
            done.clear()
            looking.drawn(catalog)
            assert done.wait(SECONDS)
            looking.close()

        looking.drawn(catalog)
        assert done.wait(SECONDS)
        with looking.drawing():
            assert_child_ends_well(child)
    looking.close()
