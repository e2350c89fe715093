"""The same work on many pictures, in several threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from imagen_nb.errors import ImagenError
from imagen_nb.system.progress import progress_bar

PICTURE_THREADS = 8

T = TypeVar("T")
R = TypeVar("R")


def map_in_threads(
    items: Sequence[T],
    work: Callable[[T], R],
    title: str | None = None,
    threads: int = PICTURE_THREADS,
) -> list[R | ImagenError]:
    """Return what `work` returns for each item, in the order of the items.

    An `ImagenError` that it raises is that item's result; any other error is raised.

    Args:
        items: the arguments.
        work: called once for each item, in any thread.
        title: of a progress bar; None shows none.
        threads: how many items are worked on at once.

    Example:
        >>> results = map_in_threads(paths, load_picture, "reading pictures")
        >>> failed = [one for one in results if isinstance(one, ImagenError)]
    """

    def attempt(item: T) -> R | ImagenError:
        try:
            return work(item)
        except ImagenError as error:
            return error

    pool = ThreadPoolExecutor(threads)
    try:
        under_way = [pool.submit(attempt, item) for item in items]
        if title is None:
            return [future.result() for future in under_way]
        results = []
        with progress_bar(title) as count:
            for future in under_way:
                results.append(future.result())
                count(len(results), len(items))
        return results
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C waits for what is under way only
