"""Progress bars for terminals and notebooks."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TextIO

from tqdm import tqdm

from imagen_nb.system.terminal import in_notebook

with warnings.catch_warnings():
    # The drawing libraries import it, and then it warns of a missing ipywidgets bar.
    warnings.simplefilter("ignore")
    import_module("tqdm.auto")


@contextmanager
def progress_bar(
    what: str, shown: bool | None = None
) -> Iterator[Callable[[int, int], None]]:
    """Yield a function to call with `(done, total)` now and then; a bar shows it.

    `shown`: None is on a terminal only.
    """
    disable = None if shown is None else not shown
    with tqdm(desc=what, leave=False, disable=disable, file=_bar_file()) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield progress


def _bar_file() -> TextIO:
    """Return where bars go: a notebook has a red block for what is left of stderr."""
    return sys.stdout if in_notebook() else sys.stderr


@contextmanager
def page_progress_bar(shown_after: int = 2) -> Iterator[Callable[[int], None]]:
    """Yield a function to call with the rows of each page, where their number is unknown.

    The bar appears after `shown_after` pages.
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
                        desc="reading",
                        unit=" pictures",
                        leave=False,
                        disable=disable,
                        file=_bar_file(),
                    )
                bar.update(rows - bar.n)

        yield count
    finally:
        if bar is not None:
            bar.close()
