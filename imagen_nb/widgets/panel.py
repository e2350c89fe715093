"""The Panel: a form to draw with, a queue, and what was drawn, in one widget.

Its state in Python is the form, a trait for each setting. The page asks by messages,
and is told by messages what is drawn, waits, and was drawn.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from imagen_nb.errors import UsageError
from imagen_nb.request.images import InputImage
from imagen_nb.studio.default import studio as default_studio
from imagen_nb.studio.pictures import Pictures
from imagen_nb.studio.studio import Studio
from imagen_nb.system.spelling import known_arguments
from imagen_nb.system.terminal import counted_pictures
from imagen_nb.widgets.base import PageWidget
from imagen_nb.widgets.controls import Controls
from imagen_nb.widgets.form import FORM_NAMES, Form
from imagen_nb.widgets.page import Page
from imagen_nb.widgets.painter import Painter
from imagen_nb.widgets.saved_page import show_page, show_view
from imagen_nb.widgets.script import script, style
from imagen_nb.widgets.strip import Strip

if TYPE_CHECKING:
    from imagen_nb.studio.lookup import PictureRef

_MODULES = (
    "dom",
    "icons",
    "zoom",
    "fields",
    "loras",
    "mask",
    "images",
    "presets",
    "panelform",
    "queue",
    "live",
    "viewer",
    "strip",
    "keys",
    "wire",
    "panel",
)
_latest: weakref.ref[Panel] | None = None


class Panel(Form, PageWidget):
    """A form to draw with, a queue, and a strip of what was drawn.

    A thread of the panel's own draws, and cells run meanwhile. What waits is kept in
    the catalog: after a restart of the kernel a new panel offers to resume it.

    Each setting is an attribute, which the page follows: prompt, backend, width,
    height, steps, guidance, seed, lock_seed, count, tags (comma-separated), cloud,
    negative_prompt, true_cfg, strength, scheduler, loras, one_per_line.

    Example:
        >>> panel = im.Panel()
        >>> panel.prompt = "a red boat"  # what a person would type
        >>> panel.draw()
        >>> panel.pictures  # what it drew by now
        >>> panel.close()  # stops after the current step

    Args:
        studio: the session to draw with; the default one, as it is now.

    Raises:
        UsageError: for what is no Studio.
    """

    _esm = script(*_MODULES)
    _css = style("panel")

    @known_arguments
    def __init__(self, studio: Studio | None = None) -> None:
        self._studio = _validated_studio(studio)
        super().__init__()
        try:
            self._controls = Controls(self, self._studio)
        except BaseException:
            super().close()
            raise
        self._strip = Strip(self.send)
        self._painter = Painter(self._studio, self._strip)
        self._page = Page(
            self._studio, self, self._controls, self._painter, self._strip
        )
        self._closed = False
        self.observe(self._on_change, names=list(FORM_NAMES))
        self.on_msg(self._page.hear)
        _note_latest(self)

    @property
    def pictures(self) -> Pictures:
        """What this panel drew, in the order in which it was drawn."""
        return Pictures(self._strip.results.pictures())

    @property
    def init_image(self) -> InputImage | None:
        """The image that the next pictures are drawn from."""
        return self._controls.inputs.get("init_image")

    @property
    def mask(self) -> InputImage | None:
        """Where that is painted anew: white."""
        return self._controls.inputs.get("mask")

    def draw(self) -> None:
        """Put what the form says into the queue, as the button does; return at once.

        Raises `UsageError` for what cannot be drawn.
        """
        self._page.draw()

    def cancel(self) -> None:
        """Stop what is being drawn at its next step; the queue goes on without it."""
        self._painter.cancel()

    def resume(self) -> None:
        """Draw what waits from before, of this kernel or of one that is no more."""
        self._painter.resume()

    def take(self, picture: PictureRef, part: str = "all") -> None:
        """Set the form from a picture, in any form that `reproduce` takes.

        `part`: `all`, `prompt`, `seed` or `size`. Raises `UsageError` for what is no
        picture, and for all of one whose backend cannot draw here.
        """
        self._page.take(self._studio.lookup.original(picture), part)

    def use_as_init_image(self, picture: PictureRef) -> None:
        """Draw the next pictures from this one, in any form that `reproduce` takes.

        The size becomes one of its shape. Raises `UsageError` for what is no picture,
        `BackendError` if its file is nowhere to be had.
        """
        self._page.use_as_init_image(self._studio.lookup.original(picture))

    def close(self) -> None:
        """Stop after the current step, and close; what is not drawn waits."""
        if self._closed:
            return
        self._closed = True
        self._painter.close()
        self._page.close()
        super().close()

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Take over what the page says: it has set all that belongs together."""
        before, self._settling = self._settling, True
        try:
            super().set_state(sync_data)
        finally:
            self._settling = before

    def __repr__(self) -> str:
        drawn = len(self._strip.results.pictures())
        return f"<Panel {self.backend}, {counted_pictures(drawn)}>"

    def _repr_mimebundle_(self, **options: Any) -> Any:
        view: Any = super()._repr_mimebundle_(**options)
        data = view[0] if isinstance(view, tuple) else view
        data["text/plain"] = "Panel"  # it is saved: how many it drew is soon not true
        return view

    def _ipython_display_(self) -> None:
        _note_latest(self)
        show_view(self)
        self._strip.saved = show_page(self._strip.page())

    def _on_change(self, change: Any) -> None:
        self._page.guard(self._page.changed, change["name"])


def latest_panel() -> Panel | None:
    """Return the panel that was made or shown last, unless it is gone or closed."""
    panel = _latest() if _latest else None
    return None if panel is None or panel.closed else panel


def _note_latest(panel: Panel) -> None:
    global _latest
    _latest = weakref.ref(panel)


def _validated_studio(studio: Studio | None) -> Studio:
    if studio is None:
        return default_studio()
    if not isinstance(studio, Studio):
        raise UsageError(
            "expected a Studio: give `im.Studio({…})`, or nothing for the default one, "
            f"not {type(studio).__name__}"
        )
    return studio
