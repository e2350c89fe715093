"""The same work on many pictures, several at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from imagen_nb.errors import ImagenError
from imagen_nb.system.progress import counting

MAX_THREADS = 8

T = TypeVar("T")
R = TypeVar("R")


def map_in_threads(
    items: Sequence[T],
    work: Callable[[T], R],
    what: str | None = None,
    threads: int = MAX_THREADS,
) -> list[R | ImagenError]:
    """What the work makes of each, in their order; an error of ours is that one's result.

    `what`: the title of a progress bar.
    """

    def attempt(item: T) -> R | ImagenError:
        try:
            return work(item)
        except ImagenError as error:
            return error

    pool = ThreadPoolExecutor(threads)
    try:
        under_way = [pool.submit(attempt, item) for item in items]
        if what is None:
            return [future.result() for future in under_way]
        done = []
        with counting(what) as count:
            for future in under_way:
                done.append(future.result())
                count(len(done), len(items))
        return done
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C waits for what is under way only
