"""The queue: what waits to be drawn, in its order, held by one painter at a time."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.drawing_queue import DrawingQueue, DrawingRequest, QueuedDrawing


@pytest.fixture
def painter(folder: Path) -> Iterator[Callable[[], DrawingQueue]]:
    """Makes painters of one folder, each with a connection of its own."""
    made: list[DrawingQueue] = []

    def make() -> DrawingQueue:
        made.append(DrawingQueue(Catalog(folder)))
        return made[-1]

    yield make
    for queue in made:
        queue.close()


def requests(*prompts: str) -> list[DrawingRequest]:
    return [DrawingRequest(prompt=prompt) for prompt in prompts]


def upcoming(queue: DrawingQueue) -> str | None:
    item = queue.next()
    return item.request.prompt if item else None


def prompts(items: list[QueuedDrawing]) -> list[str]:
    return [item.request.prompt for item in items]


def test_what_is_added_waits_in_its_order(painter: Callable[[], DrawingQueue]) -> None:
    queue = painter()
    queue.add(requests("a", "b"))
    queue.add(requests("c"))
    assert prompts(queue.items()) == ["a", "b", "c"]
    assert upcoming(queue) == "a"


def test_a_request_comes_back_as_it_was(painter: Callable[[], DrawingQueue]) -> None:
    queue = painter()
    whole = DrawingRequest(
        prompt="<img src=x onerror=alert(1)> \0\n\"]}');-- \u202e🦊",
        backend="flux-tiny-local",
        seed=2**53 - 1,
        steps=6,
        width=128,
        height=64,
        guidance=3.5,
        negative_prompt="people",
        true_cfg=2.5,
        strength=0.7,
        scheduler="euler",
        loras=(("ink.safetensors", 0.5),),
        init_image=f"{'a' * 64}.png",
        mask=f"{'b' * 64}.png",
        tags=("sea",),
        cloud=False,
    )
    queue.add([whole])
    assert [item.request for item in queue.items()] == [whole]


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_prompt_survives_the_way_through_json(prompt: str) -> None:
    request = DrawingRequest(prompt=prompt)
    assert DrawingRequest.model_validate_json(request.model_dump_json()) == request


@pytest.mark.parametrize(
    ("number", "by", "expected"),
    [
        (1, -1, "bac"),
        (1, 1, "acb"),
        (0, -1, "abc"),
        (2, 1, "abc"),
        (0, 1, "bac"),
        (2, -2, "cab"),
        (0, 2, "bca"),
        (2, -9, "cab"),
    ],
)
def test_one_is_moved_among_the_others(
    number: int, by: int, expected: str, painter: Callable[[], DrawingQueue]
) -> None:
    queue = painter()
    queue.add(requests("a", "b", "c"))
    queue.move(queue.items()[number].id, by)
    assert prompts(queue.items()) == list(expected)


def test_what_is_removed_is_gone_and_may_be_removed_twice(
    painter: Callable[[], DrawingQueue],
) -> None:
    queue = painter()
    queue.add(requests("a", "b"))
    id = queue.items()[0].id
    queue.remove(id)
    queue.remove(id)
    queue.move(id, 1)
    assert prompts(queue.items()) == ["b"]


def test_all_are_removed_but_one_and_but_those_of_others(
    painter: Callable[[], DrawingQueue],
) -> None:
    queue, other = painter(), painter()
    queue.add(requests("a", "b", "c"))
    other.add(requests("d"))
    queue.remove_all(but=queue.items()[1].id)
    assert (prompts(queue.items()), prompts(other.items())) == (["b"], ["d"])
    queue.remove_all()
    assert queue.items() == []


def test_what_failed_stays_with_the_reason_until_it_is_retried(
    painter: Callable[[], DrawingQueue],
) -> None:
    queue = painter()
    queue.add(requests("a", "b"))
    queue.fail(queue.items()[0].id, "no space left")
    assert queue.items()[0].error == "no space left"
    assert upcoming(queue) == "b"
    assert queue.retry(queue.items()[0].id)
    assert (upcoming(queue), queue.items()[0].error) == ("a", None)


class TestTwoPainters:
    def test_each_draws_its_own(self, painter: Callable[[], DrawingQueue]) -> None:
        one, other = painter(), painter()
        one.add(requests("a"))
        other.add(requests("b", "c"))
        assert prompts(one.items()) == ["a"]
        assert prompts(other.items()) == ["b", "c"]
        assert (one.elsewhere(), other.elsewhere()) == (2, 1)
        assert one.resume() == 0

    def test_neither_touches_what_the_other_holds(
        self, painter: Callable[[], DrawingQueue]
    ) -> None:
        one, other = painter(), painter()
        one.add(requests("a", "b"))
        first, second = one.items()
        other.remove(first.id)
        other.move(second.id, -1)
        other.fail(first.id, "not yours")
        assert not other.retry(first.id)
        assert one.items() == [first, second]

    def test_what_one_leaves_the_other_sees_and_takes_once(
        self, painter: Callable[[], DrawingQueue]
    ) -> None:
        one, other, third = painter(), painter(), painter()
        one.add(requests("a", "b"))
        one.close()
        assert [item.mine for item in other.items()] == [False, False]
        assert other.next() is None
        assert (other.resume(), third.resume()) == (2, 0)
        assert third.items() == []

    def test_what_failed_is_retried_by_one_of_them(
        self, painter: Callable[[], DrawingQueue]
    ) -> None:
        one, other = painter(), painter()
        one.add(requests("a"))
        id = one.items()[0].id
        one.fail(id, "no space left")
        assert [other.retry(id), one.retry(id)] == [True, False]


HOLD = """
    import os, signal, sys
    from pathlib import Path
    from imagen_nb.storage.catalog import Catalog
    from imagen_nb.storage.drawing_queue import DrawingQueue, DrawingRequest
    queue = DrawingQueue(Catalog(Path(sys.argv[1])))
    queue.add([DrawingRequest(prompt="a"), DrawingRequest(prompt="b")])
    print("held", flush=True)
    sys.stdin.readline()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.posix
def test_what_a_living_process_holds_is_its_own_until_it_is_killed(
    folder: Path, painter: Callable[[], DrawingQueue]
) -> None:
    command = [sys.executable, "-c", textwrap.dedent(HOLD), str(folder)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        queue = painter()
        assert (queue.items(), queue.resume(), queue.elsewhere()) == ([], 0, 2)
        other.stdin.write("\n")
        other.stdin.flush()
        other.wait(30)
    queue.add(requests("c"))
    assert prompts(queue.items()) == ["a", "b", "c"]
    assert [item.mine for item in queue.items()] == [False, False, True]
    assert queue.resume() == 2
    assert upcoming(queue) == "a"


def test_a_row_that_cannot_be_read_is_shown_and_can_be_removed(
    folder: Path, painter: Callable[[], DrawingQueue]
) -> None:
    queue = painter()
    queue.add(requests("a"))
    with Catalog(folder).connection() as connection:
        connection.execute("""UPDATE queue SET wish = '{"steps": "many"}'""")
    (item,) = queue.items()
    assert "another version" in (item.error or "")
    queue.remove(item.id)
    assert queue.items() == []
