"""Shows a drawing as it goes: the caller's function, a notebook's display or a bar."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tqdm import tqdm

from imagen_nb.backends import Progress, Step
from imagen_nb.request.request import Request
from imagen_nb.studio.live import LiveDisplay
from imagen_nb.system.terminal import in_notebook


@contextmanager
def progress_listener(
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
        with LiveDisplay(steps, previews, loaded) as live:
            yield live
    else:
        with ProgressBar(steps, progress) as bar:
            yield None if bar.silent else bar


class ProgressBar:
    """A progress bar over pictures × steps; silent where nobody looks: no terminal."""

    def __init__(self, steps: int, shown: bool | None = None) -> None:
        disable = (
            None if shown is None else not shown
        )  # None: tqdm shows it on terminals only
        self._bar = tqdm(
            total=steps, unit="step", leave=False, disable=disable, desc="drawing"
        )

    def __call__(self, step: Step) -> None:
        """Count one denoising step."""
        self._bar.set_postfix_str(step.place, refresh=False)
        self._bar.update(len(step.indices))

    @property
    def silent(self) -> bool:
        """Whether nothing is shown: then nobody need report."""
        return bool(self._bar.disable)

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.close()
