"""Shows drawing as it goes, where somebody looks: a bar with the time left."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module

from tqdm import tqdm

from imagen_nb.backends import Progress, Step
from imagen_nb.live import Live, in_notebook
from imagen_nb.request import Request

with warnings.catch_warnings():
    # The libraries that draw load it, and then it warns of bars, which our notebooks do not have.
    warnings.simplefilter("ignore")
    import_module("tqdm.auto")


@contextmanager
def listener(
    requests: Sequence[Request],
    progress: Progress | bool | None,
    previews: bool = True,
    loaded: bool = False,
) -> Iterator[Progress | None]:
    """Who hears of each step, if anybody: the caller's own function, the notebook, or a bar.

    `progress`: a function, True or False to show or hide the bar, None where somebody looks;
    `previews`: whether a notebook shows the picture as it grows; `loaded`: the model has drawn
    before, so that the first step comes soon.
    """
    steps = sum(request.steps for request in requests)
    if callable(progress):
        yield progress
    elif in_notebook() and progress is not False:
        with Live(steps, previews, loaded) as live:
            yield live
    else:
        with Bar(steps, progress) as bar:
            yield None if bar.silent else bar


class Bar:
    """A progress bar over pictures × steps; silent where nobody looks: no terminal."""

    def __init__(self, steps: int, shown: bool | None = None) -> None:
        disable = None if shown is None else not shown  # None: tqdm shows it on terminals only
        self._bar = tqdm(total=steps, unit="step", leave=False, disable=disable, desc="drawing")

    def __call__(self, step: Step) -> None:
        """Count one denoising step."""
        self._bar.set_postfix_str(step.place, refresh=False)
        self._bar.update(len(step.indices))

    @property
    def silent(self) -> bool:
        """Whether nothing is shown: then nobody need report."""
        return bool(self._bar.disable)

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.close()


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
                    bar = tqdm(desc="reading", unit=" pictures", leave=False, disable=disable)
                bar.update(rows - bar.n)

        yield count
    finally:
        if bar is not None:
            bar.close()
