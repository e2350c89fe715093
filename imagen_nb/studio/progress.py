"""Show a drawing as it goes: to the caller's function, in a notebook, or as a bar."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from imagen_nb.backends import Progress, Step
from imagen_nb.request.request import Request
from imagen_nb.system.terminal import (
    in_notebook,
    print_notice,
    spinner,
    stderr_is_terminal,
)
from imagen_nb.system.thumbnails import img_tag

if TYPE_CHECKING:
    from typing import Self

    from PIL.Image import Image

DISPLAY_INTERVAL_S = 0.25  # between two updates; shorter drawings show nothing at all
LOADING = "loading the model …"
PREVIEW_SIDE = 128  # pixels of the preview's longer side: one or two kilobytes


@contextmanager
def progress_listener(
    requests: Sequence[Request],
    progress: Progress | bool | None,
    previews: bool = True,
    loaded: bool = False,
    before: str = LOADING,
) -> Iterator[Progress | None]:
    """Give the function to call after each denoising step; None when nobody looks.

    Args:
        requests: what is drawn.
        progress: the caller's own function; True or False to show or hide the bar; None
            to show it in a notebook or on a terminal only.
        previews: whether a notebook shows the picture as it grows.
        loaded: whether the model is loaded already, so that the first step comes soon.
        before: what a terminal says until the first step.
    """
    steps = sum(request.steps for request in requests)
    if callable(progress):
        yield progress
    elif in_notebook() and progress is not False:
        with LiveDisplay(steps, previews, loaded) as live:
            yield live
    else:
        with ProgressBar(steps, progress, loaded, before) as bar:
            yield None if bar.silent else bar


def describe_seconds(seconds: float) -> str:
    """Return the duration in minutes and seconds, e.g. "1:05"."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"


class ProgressBar:
    """A progress bar over all denoising steps of all pictures.

    Until the first step a terminal says, with a spinner, what is waited for.

    `shown`: True or False to show or hide it; None to show it on a terminal only.
    `loaded`: whether the model is loaded already.
    """

    def __init__(
        self,
        steps: int,
        shown: bool | None = None,
        loaded: bool = False,
        before: str = LOADING,
    ) -> None:
        self._steps = steps
        self._shown = stderr_is_terminal() if shown is None else shown
        self._bar: tqdm[Any] | None = self._begin() if loaded else None
        self._waiting = ExitStack()  # until the first step
        if self._shown and not loaded:
            self._waiting.enter_context(spinner(before))

    def __call__(self, step: Step) -> None:
        """Count one denoising step."""
        count = len(step.indices)
        if self._bar is None:
            self._waiting.close()
            # What loading took, and the first step with it, is not the time of a step.
            self._bar = self._begin(count)
            self._bar.set_postfix_str(step.place)
            return
        self._bar.set_postfix_str(step.place, refresh=False)
        self._bar.update(count)

    @property
    def silent(self) -> bool:
        """Whether nothing is shown, so that the drawing need not report its steps."""
        return not self._shown

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *exception: object) -> None:
        self._waiting.close()
        if self._bar is not None:
            self._bar.close()

    def _begin(self, done: int = 0) -> tqdm[Any]:
        """Show the bar, with so many steps done before it is timed."""
        return tqdm(
            desc="drawing",
            total=self._steps,
            initial=done,
            unit="step",
            leave=False,
            disable=not self._shown,
        )


class StepWatcher:
    """Shows the latest denoising step now and then, on a thread of its own.

    The drawing never waits for it: it only notes the step. Subclasses say in `render`
    what is shown. Invariant: after `close` nothing more is shown.

    Args:
        previews: whether `preview` gives pictures.
        loaded: whether the model is loaded already. Then the thread starts only when
            there is something to show: on a busy machine the mere start of a thread
            costs a tenth of a short drawing.
    """

    def __init__(self, previews: bool = True, loaded: bool = False) -> None:
        self._previews, self._loaded = previews, loaded
        self._next_update = time.monotonic() + DISPLAY_INTERVAL_S
        self._latest: Step | None = None
        self._closed = threading.Event()
        self._showing = threading.Lock()
        # IPython finds the cell that a display belongs to in the context.
        cell = contextvars.copy_context()
        self._thread = threading.Thread(
            target=cell.run, args=(self._watch,), name="imagen-live"
        )

    def __call__(self, step: Step) -> None:
        """Note one denoising step."""
        self._latest = step
        if self._thread.ident is None and time.monotonic() > self._next_update:
            self._thread.start()

    def render(self, step: Step | None) -> Callable[[], None] | None:
        """Prepare to show a step; return the function that shows it, or None.

        Called on the watcher's thread, with None while no step has ended yet. The
        function that it returns is not called after `close`.
        """
        raise NotImplementedError

    def preview(self, step: Step) -> Image | None:
        """Return the unfinished picture; None if it cannot or shall not be shown.

        Of several that are drawn together, the first.
        """
        return self.preview_of(step, step.indices.start)

    def preview_of(self, step: Step, index: int) -> Image | None:
        """Return the unfinished picture at one of the step's indices, as `preview`."""
        if not (self._previews and step.preview):
            return None
        try:
            return step.preview(index)
        except Exception as error:  # the drawing goes on, whatever this is
            self._previews = False
            print_notice(f"no preview of the drawing: {error!r}")
            return None

    def close(self) -> None:
        """Show nothing more. The thread ends soon, at the latest after one preview."""
        self._closed.set()
        with self._showing:
            self._latest = None  # a step holds the latents of its preview

    def __enter__(self) -> Self:
        if not self._loaded:
            self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _watch(self) -> None:
        shown: object = ...  # neither a step nor None
        while not self._closed.wait(self._next_update - time.monotonic()):
            step = self._latest
            if step is not shown:
                self._show(self.render(step))
                shown = step
            self._next_update = time.monotonic() + DISPLAY_INTERVAL_S

    def _show(self, show: Callable[[], None] | None) -> None:
        with self._showing:
            if show and not self._closed.is_set():
                show()


class LiveDisplay(StepWatcher):
    """A bar, the time left and a small picture, updated in place in a notebook.

    Invariant: after `close` the output is empty, so that a saved notebook keeps nothing
    of it.
    """

    def __init__(self, steps: int, previews: bool = True, loaded: bool = False) -> None:
        """`steps`: denoising steps of all pictures."""
        super().__init__(previews, loaded)
        self._steps, self._done = steps, 0
        self._handle: Any = None

    def __call__(self, step: Step) -> None:
        """Note one denoising step."""
        self._done += len(step.indices)
        super().__call__(step)

    def render(self, step: Step | None) -> Callable[[], None]:
        """Return the function that displays the bar and, after the first step, more."""
        return partial(self._display, self._html(step))

    def close(self) -> None:
        """Empty the output and show nothing more."""
        super().close()
        with self._showing:
            if self._handle:
                self._display("")

    def _html(self, step: Step | None) -> str:
        bar = f'<progress max="{self._steps}" value="{self._done}"></progress>'
        if step is None:
            return f"<div>{bar} <small>getting ready to draw</small></div>"
        left = f"{step.place}, {describe_seconds(step.seconds_left)} left"
        picture = self.preview(step)
        tag = f"<br>{img_tag(picture, 'preview', PREVIEW_SIDE)}" if picture else ""
        return f"<div>{bar} <small>{left}</small>{tag}</div>"

    def _display(self, html: str) -> None:
        data = {"text/html": html, "text/plain": ""}
        if self._handle:
            self._handle.update(data, raw=True)
        else:
            display = import_module("IPython.display").display
            self._handle = display(data, raw=True, display_id=True)
