"""Drawing as it goes, in a notebook: a bar, the time left and a small picture, in one place."""

from __future__ import annotations

import contextvars
import threading
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any

from imagen_nb.backends import Step
from imagen_nb.system.terminal import complain
from imagen_nb.system.thumbnails import img_tag

if TYPE_CHECKING:
    from typing import Self

    from PIL.Image import Image

DISPLAY_INTERVAL_S = 0.25  # between two looks; shorter drawings show nothing at all
PREVIEW_SIDE = 128  # pixels of the small picture's longer side: one or two kilobytes


class StepWatcher:
    """Sees the latest step now and then, on a thread of its own: drawing waits for nothing of it.

    Invariant: after `close` nothing more is shown. With a model that is `loaded` the thread starts
    when there is something to show: on a busy machine the mere start of one costs a tenth of a
    short drawing.
    """

    def __init__(self, previews: bool = True, loaded: bool = False) -> None:
        self._previews, self._loaded = previews, loaded
        self._next_look = time.monotonic() + DISPLAY_INTERVAL_S
        self._latest: Step | None = None
        self._closed = threading.Event()
        self._showing = threading.Lock()
        cell = (
            contextvars.copy_context()
        )  # which cell of the notebook a display belongs to
        self._thread = threading.Thread(
            target=cell.run, args=(self._watch,), name="imagen-live"
        )

    def __call__(self, step: Step) -> None:
        """Note one denoising step."""
        self._latest = step
        if self._thread.ident is None and time.monotonic() > self._next_look:
            self._thread.start()

    def _watch(self) -> None:
        shown: object = ...  # not even that nothing is drawn yet
        while not self._closed.wait(self._next_look - time.monotonic()):
            step = self._latest
            if step is not shown:
                self._see(step)
                shown = step
            self._next_look = time.monotonic() + DISPLAY_INTERVAL_S

    def _see(self, step: Step | None) -> None:
        """Show it, under the lock `_showing` and unless closed."""
        raise NotImplementedError

    def _preview(self, step: Step) -> Image | None:
        """The picture as far as it is, if it shall be shown."""
        if not (self._previews and step.preview):
            return None
        try:
            return step.preview(step.indices.start)
        except (
            Exception
        ) as error:  # whatever keeps it from showing, the drawing goes on
            self._previews = False
            complain(f"no preview of the drawing: {error!r}")
            return None

    def close(self) -> None:
        """The thread ends by itself, at the latest after one preview."""
        self._closed.set()
        with self._showing:
            self._latest = None  # and with it the latents of the preview

    def __enter__(self) -> Self:
        if not self._loaded:
            self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class LiveDisplay(StepWatcher):
    """Shows the latest step in place in a notebook's output.

    Invariant: after `close` what was shown is empty, so that a saved notebook keeps none of it.
    """

    def __init__(self, steps: int, previews: bool = True, loaded: bool = False) -> None:
        super().__init__(previews, loaded)
        self._steps, self._done = steps, 0
        self._handle: Any = None

    def __call__(self, step: Step) -> None:
        """Note one denoising step."""
        self._done += len(step.indices)
        super().__call__(step)

    def _see(self, step: Step | None) -> None:
        self._show(self._page(step))

    def _page(self, step: Step | None) -> str:
        bar = f'<progress max="{self._steps}" value="{self._done}"></progress>'
        if step is None:
            return f"<div>{bar} <small>getting ready to draw</small></div>"
        left = (
            f"<small>{step.place}, {describe_seconds(step.seconds_left)} left</small>"
        )
        picture = self._preview(step)
        tag = f"<br>{img_tag(picture, 'preview', PREVIEW_SIDE)}" if picture else ""
        return f"<div>{bar} {left}{tag}</div>"

    def _show(self, page: str) -> None:
        data = {"text/html": page, "text/plain": ""}
        with self._showing:
            if self._closed.is_set():
                return
            if self._handle:
                self._handle.update(data, raw=True)
            else:
                display = import_module("IPython.display").display
                self._handle = display(data, raw=True, display_id=True)

    def close(self) -> None:
        """Take away what is shown."""
        super().close()
        with self._showing:
            if self._handle:
                self._handle.update({"text/html": "", "text/plain": ""}, raw=True)


def describe_seconds(seconds: float) -> str:
    """Seconds as people read them, e.g. 1:05."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"
