"""Shows drawing as it goes, where somebody looks: a bar with the time left."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module

from tqdm import tqdm

from imagen_nb.system.terminal import in_notebook

with warnings.catch_warnings():
    # The libraries that draw load it, and then it warns of bars, which our notebooks do not have.
    warnings.simplefilter("ignore")
    import_module("tqdm.auto")


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar for work that is counted: give the result `(done, total)` now and then."""
    with tqdm(desc=what, leave=False, disable=None) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield progress


@contextmanager
def reading(shown_after: int = 2) -> Iterator[Callable[[int], None]]:
    """A bar for pages of which nobody knows the number: give the result each page's rows.

    A short reading shows nothing.
    """
    disable = False if in_notebook() else None
    pages, rows, bar = 0, 0, None
    try:

        def count(number: int) -> None:
            nonlocal pages, rows, bar
            pages, rows = pages + 1, rows + number
            if pages > shown_after:
                if bar is None:
                    bar = tqdm(
                        desc="reading", unit=" pictures", leave=False, disable=disable
                    )
                bar.update(rows - bar.n)

        yield count
    finally:
        if bar is not None:
            bar.close()
