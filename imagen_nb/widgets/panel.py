"""The panel: controls to draw with, and below them what is drawn, waits, and was drawn.

The page asks by messages; the strip answers.
"""

from __future__ import annotations

import traceback
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ipywidgets import VBox, Widget

from imagen_nb.errors import ImagenError, UsageError
from imagen_nb.storage.drawing_queue import DrawingRequest
from imagen_nb.storage.tags import KEEPER, REJECT
from imagen_nb.studio.default import studio as default_studio
from imagen_nb.studio.pictures import Pictures
from imagen_nb.studio.studio import Studio
from imagen_nb.system.spelling import describe_meant
from imagen_nb.system.thumbnails import encode_webp
from imagen_nb.widgets.controls import Controls
from imagen_nb.widgets.painter import Painter
from imagen_nb.widgets.saved_page import show_page, show_view
from imagen_nb.widgets.strip import DrawnResult, Strip
from imagen_nb.widgets.work import use_named_subshells

if TYPE_CHECKING:
    from imagen_nb.studio.lookup import PictureRef

_ENLARGED_SIDE = 1024  # pixels of the longer side of an enlarged picture

PageMessage = dict[str, Any]

_latest: weakref.ref[Panel] | None = None


def latest_panel() -> Panel | None:
    """Return the open panel that was made last, if there is one."""
    panel = _latest() if _latest else None
    return None if panel is None or panel._closed else panel


class Panel(VBox):  # type: ignore[misc]
    """Controls to draw with, a queue, and a strip of what was drawn.

    A thread of the panel's own draws, and cells run meanwhile. What waits is kept in
    the catalog: after a restart of the kernel a new panel offers to resume it.

    Example:
        panel = im.Panel()
        panel                                           # shows it
        panel.controls.prompt.value = "a red boat"      # what a person would type
        panel.draw()
        panel.pictures                                  # what it drew
        panel.close()                                   # stops after the current step

    Args:
        studio: the session to draw with; the default one, as it is now.

    Raises:
        UsageError: for what is no Studio.
    """

    _closed = True  # until it is made: ipywidgets closes one that could not be, too

    def __init__(self, studio: Studio | None = None) -> None:
        self._studio = _validated_studio(studio)
        self.controls = Controls(self._studio)
        self._strip = Strip()
        self._painter = Painter(self._studio, self._strip)
        super().__init__([self.controls.prompt, self.controls.box, self._strip])
        self._closed = False
        use_named_subshells([self, *self._parts()])
        self.add_class("imagen-panel")
        self.controls.listen(self._guarded(self._react))
        self.controls.dice.on_click(self._guarded(lambda _: self.controls.roll()))
        self._strip.on_msg(self._guarded(self._on_message))
        global _latest
        _latest = weakref.ref(self)

    @property
    def pictures(self) -> Pictures:
        """What this panel drew, in the order in which it was drawn."""
        return Pictures(self._strip.results.pictures())

    def draw(self) -> None:
        """Put what the controls say into the queue, as the button does; return at once.

        Raises `UsageError` for what cannot be drawn.
        """
        self._send_problems()
        self._painter.add(self.controls.wishes())

    def take(self, picture: PictureRef, part: str = "all") -> None:
        """Set the controls from a picture: `all`, its `prompt` or its `seed`.

        Raises `UsageError` for what is no picture.
        """
        self.controls.recall(self._studio.lookup.original(picture).record, part)

    def use_as_init_image(self, picture: PictureRef) -> None:
        """Raise `UsageError`: these controls have no init image yet."""
        raise UsageError("this panel has no init image")

    def cancel(self) -> None:
        """Stop what is being drawn at its next step; the queue goes on without it."""
        self._painter.cancel()

    def resume(self) -> None:
        """Draw what waits from before, of this kernel or of one that is no more."""
        self._painter.resume()

    def close(self) -> None:
        """Stop after the current step, and close; what is not drawn waits."""
        if self._closed:
            return
        self._closed = True
        self._painter.close()
        for one in self._parts():
            one.close()
        super().close()

    def _parts(self) -> list[Widget]:
        return [*self.controls.by_name().values(), self.controls.box, self._strip]

    def __repr__(self) -> str:
        drawn = len(self._strip.results.pictures())
        return f"<Panel {self.controls.backend.value}, {drawn} pictures>"

    def _ipython_display_(self) -> None:
        show_view(self)
        self._strip.saved = show_page(self._strip.page())

    def _on_message(self, _: Any, message: PageMessage, __: Any) -> None:
        """Do what the page asks for; ignore what another version's page may ask."""
        action = message.get("do")
        if action in _PANEL_ACTIONS:
            _PANEL_ACTIONS[action](self, message)
        elif action in _QUEUE_ACTIONS:
            _QUEUE_ACTIONS[action](self._painter, int(message["id"]))
        elif action in _PICTURE_ACTIONS:
            result = self._strip.results.get(str(message["id"]))
            _PICTURE_ACTIONS[action](self, result, message)

    def _hello(self, message: PageMessage) -> None:
        """Send all that there is to a view that has just come up."""
        missing = [
            {"name": name, "why": why} for name, why in self.controls.missing.items()
        ]
        self._strip.tell("hello", missing=missing, notes=self.controls.notes)
        self._strip.repeat()
        self._strip.changed(self._painter.waiting())

    def _draw(self, message: PageMessage) -> None:
        # As typed, however busy the kernel was.
        self.controls.prompt.value = str(message["prompt"])
        self.controls.type(message.get("typed", {}))
        self.draw()

    def _recall(self, result: DrawnResult, message: PageMessage) -> None:
        self.controls.recall(result.picture.record, str(message["part"]))
        self._strip.said(f"recalled: {message['part']}")

    def _reproduce(self, result: DrawnResult, message: PageMessage) -> None:
        record, cloud = result.picture.record, self.controls.to_cloud()
        again = DrawingRequest(
            prompt=record.prompt, seed=record.seed, again=record.id, cloud=cloud
        )
        self._painter.add([again])

    def _mark(self, result: DrawnResult, message: PageMessage) -> None:
        tag = message["tag"]
        if tag not in (KEEPER, REJECT):
            meant = describe_meant(tag, (KEEPER, REJECT))
            raise UsageError(f"a picture is {KEEPER} or {REJECT}, not {tag}{meant}")
        if message["on"]:
            self._studio.tag(result.picture, tag)
        else:
            self._studio.untag(result.picture, tag)
        tags = self._studio.lookup.tags_of([result.id]).get(result.id, ())
        self._strip.results.tag(result.id, tags)
        self._strip.tell("tags", id=result.id, tags=tags)

    def _enlarge(self, result: DrawnResult, message: PageMessage) -> None:
        large = encode_webp(result.picture.image, _ENLARGED_SIDE)
        self._strip.tell("large", large, id=result.id)

    def _react(self, changed: str) -> None:
        self.controls.react(changed)
        self._send_problems(changed)

    def _send_problems(self, changed: str = "prompt") -> None:
        """Send what cannot be drawn; a prompt still to be written is no problem."""
        problems = self.controls.problems()
        if changed != "prompt" and not self.controls.prompt.value:
            problems.pop("prompt", None)
        self._strip.tell("checks", problems=problems)

    def _guarded(self, act: Callable[..., None]) -> Callable[..., None]:
        """Return `act` with its errors shown here: Jupyter hides those of callbacks."""

        def guarded(*arguments: Any) -> None:
            try:
                act(*arguments)
            except ImagenError as error:
                self._strip.failed(str(error))
            except Exception as error:
                traceback.print_exc()
                self._strip.failed(f"unexpected: {error!r}")

        return guarded


def _validated_studio(studio: Studio | None) -> Studio:
    if studio is None:
        return default_studio()
    if not isinstance(studio, Studio):
        raise UsageError(
            "expected a Studio: give `im.Studio({…})`, or nothing for the default one, "
            f"not {type(studio).__name__}"
        )
    return studio


_PANEL_ACTIONS: dict[str, Callable[[Panel, PageMessage], None]] = {
    "hello": Panel._hello,
    "draw": Panel._draw,
    "resume": lambda panel, _: panel.resume(),
}
_QUEUE_ACTIONS: dict[str, Callable[[Painter, int], None]] = {
    "remove": Painter.remove,
    "retry": Painter.retry,
    "up": lambda painter, id: painter.move(id, -1),
    "down": lambda painter, id: painter.move(id, 1),
}
_PICTURE_ACTIONS: dict[str, Callable[[Panel, DrawnResult, PageMessage], None]] = {
    "recall": Panel._recall,
    "reproduce": Panel._reproduce,
    "mark": Panel._mark,
    "enlarge": Panel._enlarge,
}
