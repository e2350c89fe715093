"""The panel: controls to draw with, and below them what is drawn, waits, and was drawn."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ipywidgets import VBox, Widget

from imagen_nb.errors import ImagenError, UsageError
from imagen_nb.storage.drawing_queue import DrawingRequest
from imagen_nb.storage.tags import KEEPER, REJECT
from imagen_nb.studio.default import studio as default_studio
from imagen_nb.studio.pictures import Pictures
from imagen_nb.system.thumbnails import webp
from imagen_nb.widgets.controls import Controls
from imagen_nb.widgets.painter import Painter
from imagen_nb.widgets.saved_page import show_page, show_view
from imagen_nb.widgets.strip import Result, Strip
from imagen_nb.widgets.work import hear_at_once

if TYPE_CHECKING:
    from imagen_nb.studio.studio import Studio

_LARGE = 1024  # pixels of the longer side of an enlarged picture

Message = dict[str, Any]


class Panel(VBox):  # type: ignore[misc]
    """Controls to draw with, a queue, and a strip of what was drawn.

    A thread of the panel's own draws, and cells run meanwhile. What waits is kept in the catalog:
    after a restart of the kernel a new panel offers to resume it.

    Example:
        panel = im.Panel()
        panel                                           # shows it
        panel.controls.prompt.value = "a red boat"      # what a person would type
        panel.draw()
        panel.pictures                                  # what it drew
        panel.close()                                   # stops after the current step

    Args:
        studio: the session to draw with; the default one, as it is now.
    """

    _closed = True  # until it is made: ipywidgets closes one that could not be, too

    def __init__(self, studio: Studio | None = None) -> None:
        self._studio = studio or default_studio()
        self.controls = Controls(self._studio)
        self._strip = Strip()
        self._painter = Painter(self._studio, self._strip)
        super().__init__([self.controls.prompt, self.controls.box, self._strip])
        self._closed = False
        hear_at_once([self, *self._parts()])
        self.add_class("imagen-panel")
        self.controls.listen(self._guarded(self._react))
        self.controls.dice.on_click(self._guarded(lambda _: self.controls.roll()))
        self._strip.on_msg(self._guarded(self._hear))

    @property
    def pictures(self) -> Pictures:
        """What this panel drew, in the order in which it was drawn."""
        return Pictures(self._strip.results.pictures())

    def draw(self) -> None:
        """As the button does: put what the controls say into the queue; returns at once.

        Raises `UsageError` for what cannot be drawn.
        """
        self._check()
        self._painter.add(self.controls.wishes())

    def cancel(self) -> None:
        """Stop what is being drawn at its next step; the queue goes on with the next picture."""
        self._painter.cancel()

    def resume(self) -> None:
        """Draw what waits from before, of this kernel or of one that is no more."""
        self._painter.resume()

    def close(self) -> None:
        """Stop after the current step and take the panel away; what is not drawn waits."""
        if self._closed:
            return
        self._closed = True
        self._painter.close()
        for one in self._parts():
            one.close()
        super().close()

    def _parts(self) -> list[Widget]:
        return [*self.controls.named().values(), self.controls.box, self._strip]

    def __repr__(self) -> str:
        drawn = len(self._strip.results.pictures())
        return f"<Panel {self.controls.backend.value}, {drawn} pictures>"

    def _ipython_display_(self) -> None:
        show_view(self)
        self._strip.kept = show_page(self._strip.page())

    def _hear(self, _: Any, message: Message, __: Any) -> None:
        """What the page asks for; a message of another version's page is nothing to fail of."""
        asked = message.get("do")
        if asked in _OF_THE_PANEL:
            _OF_THE_PANEL[asked](self, message)
        elif asked in _OF_THE_QUEUE:
            _OF_THE_QUEUE[asked](self._painter, int(message["id"]))
        elif asked in _OF_A_PICTURE:
            _OF_A_PICTURE[asked](
                self, self._strip.results.get(str(message["id"])), message
            )

    def _hello(self, message: Message) -> None:
        missing = [
            {"name": name, "why": why} for name, why in self.controls.missing.items()
        ]
        self._strip.tell("hello", missing=missing, notes=self.controls.notes)
        self._strip.repeat()
        self._strip.changed(self._painter.waiting())

    def _draw(self, message: Message) -> None:
        self.controls.prompt.value = str(
            message["prompt"]
        )  # as typed, however busy the kernel was
        self.draw()

    def _recall(self, one: Result, message: Message) -> None:
        self.controls.recall(one.picture.record, str(message["part"]))
        self._strip.said(f"recalled: {message['part']}")

    def _reproduce(self, one: Result, message: Message) -> None:
        record, cloud = one.picture.record, self.controls.to_cloud()
        again = DrawingRequest(
            prompt=record.prompt, seed=record.seed, again=record.id, cloud=cloud
        )
        self._painter.add([again])

    def _mark(self, one: Result, message: Message) -> None:
        tag = message["tag"]
        if tag not in (KEEPER, REJECT):
            raise UsageError(f"a picture is {KEEPER} or {REJECT}, not {tag}")
        act = self._studio.tag if message["on"] else self._studio.untag
        act(one.picture, tag)
        tags = self._studio.lookup.tags_of([one.id]).get(one.id, ())
        self._strip.results.tag(one.id, tags)
        self._strip.tell("tags", id=one.id, tags=tags)

    def _enlarge(self, one: Result, message: Message) -> None:
        self._strip.tell("large", webp(one.picture.image, _LARGE), id=one.id)

    def _react(self, changed: str) -> None:
        self.controls.react(changed)
        self._check(changed)

    def _check(self, changed: str = "prompt") -> None:
        """Tell what cannot be drawn. A prompt not yet written is nothing to complain of."""
        found = self.controls.problems()
        if changed != "prompt" and not self.controls.prompt.value:
            found.pop("prompt", None)
        self._strip.tell("checks", problems=found)

    def _guarded(self, act: Callable[..., None]) -> Callable[..., None]:
        """The same, with its errors shown in the panel: Jupyter hides those of callbacks."""

        def guarded(*arguments: Any) -> None:
            try:
                act(*arguments)
            except ImagenError as error:
                self._strip.failed(str(error))
            except Exception as error:
                traceback.print_exc()
                self._strip.failed(f"unexpected: {error!r}")

        return guarded


_OF_THE_PANEL: dict[str, Callable[[Panel, Message], None]] = {
    "hello": Panel._hello,
    "draw": Panel._draw,
    "resume": lambda panel, _: panel.resume(),
}
_OF_THE_QUEUE: dict[str, Callable[[Painter, int], None]] = {
    "remove": Painter.remove,
    "retry": Painter.retry,
    "up": lambda painter, id: painter.move(id, -1),
    "down": lambda painter, id: painter.move(id, 1),
}
_OF_A_PICTURE: dict[str, Callable[[Panel, Result, Message], None]] = {
    "recall": Panel._recall,
    "reproduce": Panel._reproduce,
    "mark": Panel._mark,
    "enlarge": Panel._enlarge,
}
