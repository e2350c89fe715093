"""A history to look through in a notebook: filtered, rated and compared by keyboard."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import anywidget
import numpy as np
from IPython import get_ipython
from PIL import Image

from imagen_nb.errors import ImagenError, UsageError
from imagen_nb.frames.pictures.locate import Place, described
from imagen_nb.frames.words import parse
from imagen_nb.storage.tags import (
    KEEPER,
    REJECT,
    TagChange,
    make_rating_change,
    make_tag_change,
)
from imagen_nb.studio.default import studio
from imagen_nb.system.thumbnails import webp
from imagen_nb.widgets.compare import pair
from imagen_nb.widgets.rows import FACETS, Filters, Rows
from imagen_nb.widgets.saved_page import saved, show_page, show_view, thumbnails
from imagen_nb.widgets.script import script, style
from imagen_nb.widgets.thumbnails import attempt, kept, large
from imagen_nb.widgets.work import Work, hear_at_once

if TYPE_CHECKING:
    import pandas as pd

SIZES = (64, 512)  # pixels of a thumbnail's side
_BATCH = 6  # thumbnails in one message
_ASKED = 500  # thumbnails in one question, at most
_SAVED = 24  # pictures in the saved notebook
_SAVED_SIDE, _SAVED_HEAVIEST = 112, 4000  # pixels and bytes of one, at most
_PATIENCE_S = 5  # until a view has its first thumbnails


class Gallery(anywidget.AnyWidget):
    """The pictures of a history in a notebook: filter, rate, tag, compare, select.

    Thumbnails are made when they come into view, in threads, and kept in the user's cache. Ratings
    and `keeper` / `reject` are written at once, as `imagen_nb.rate` does. A saved notebook keeps
    the first 24 thumbnails.

    Keys: arrows move, Enter enlarges, Esc closes, 1 to 5 rate and 0 unrates, k and x tag keeper and
    reject, Space selects, Ctrl-A selects all that are shown, c compares two, / goes to the filter.

    Args:
        frame: a history, or some of its rows.
        size: pixels of a thumbnail's side, 64 to 512.
        columns: how many side by side; as many as there is room for unless given.

    Raises:
        UsageError: when the frame has no pictures' columns, or for a bad size.

    Example:
        >>> gallery = im.Gallery(im.history(since="7d"))
        >>> gallery  # in a cell of its own
        >>> gallery.selected.imagen.contact_sheet()  # once some were selected
    """

    _esm = script("dom", "comparison", "thumbs", "facets", "look", "grid", "gallery")
    _css = style("comparison", "gallery")

    def __init__(
        self, frame: pd.DataFrame, *, size: int = 128, columns: int | None = None
    ) -> None:
        self._work = Work(
            lambda text: self._tell("trouble", text=text)
        )  # closed in any case
        self._answered = threading.Event()  # a view has its first thumbnails
        self._layout_asked = {"size": _size(size), "columns": _columns(columns)}
        self._rows = Rows(frame)
        super().__init__()
        hear_at_once([self])
        self._visible = self._selected = np.arange(len(self._rows), dtype=np.int32)
        self._selected = self._selected[:0]
        self._filters, self._words = Filters(), ""
        self._views: set[str] = set()
        self._newest: dict[
            str, object
        ] = {}  # the last question for thumbnails, by view
        self.on_msg(self._heard)

    @property
    def selected(self) -> pd.DataFrame:
        """The rows that are selected in the notebook, in the frame's order."""
        return self._rows.frame(self._selected)

    @property
    def visible(self) -> pd.DataFrame:
        """The rows that the filters left when they were last changed, in the frame's order."""
        return self._rows.frame(self._visible)

    def close(self) -> None:
        """End the widget and its threads; `selected` and `visible` stay."""
        self._answered.set()
        self._work.stop()
        super().close()

    def __repr__(self) -> str:
        return f"<Gallery: {len(self._rows)} pictures>"

    def _heard(self, _: Any, content: Any, buffers: Sequence[Any]) -> None:
        """A message of a view. It comes on a thread of the kernel's: ours do what takes time."""
        match content:
            case {"kind": "open", "view": str(view)}:
                self._views.add(view)
                self._work.in_turn(self._show, view)
            case {"kind": "filter"}:
                self._work.in_turn(self._filter, content)
            case {"kind": "want", "view": str(view), "at": list(at)}:
                self._want(view, self._checked(at[:_ASKED]))
            case {"kind": "select", "view": str(view)}:
                at = self._checked(np.frombuffer(buffers[0], np.int32))
                self._selected = np.array(at, np.int32)
                self._tell("selected", [self._selected.tobytes()], but=view)
            case {"kind": "tag", "tag": str(tag), "at": list(at)} if tag in _CHANGES:
                self._work.in_turn(self._tag, tag, self._checked(at))
            case {"kind": "look", "view": view, "at": list(at)}:
                self._work.soon(self._look, view, *self._checked(at[:1]))
            case {"kind": "compare", "view": view, "at": list(at)}:
                self._work.soon(self._compare, view, self._checked(at[:2]))
            case {"kind": "left", "view": view}:
                self._views.discard(view)
                self._newest.pop(view, None)
                if not self._views:
                    self._work.stop()

    def _checked(self, at: Any) -> list[int]:
        """Positions that there are."""
        return [
            position for position in map(int, at) if 0 <= position < len(self._rows)
        ]

    def _tell(self, kind: str, buffers: Sequence[bytes] = (), **more: Any) -> None:
        self.send({"kind": kind, **more}, [*buffers])

    def _filter(self, asked: dict[str, Any]) -> None:
        """Filter anew. Nothing else does: what is rated stays in view, whatever it was found by."""
        self._words = str(asked.get("words", ""))
        self._filters = Filters(parse(self._words), _chosen(asked.get("chosen")))
        self._visible = self._rows.found(self._filters)
        self._show(None)

    def _show(self, view: str | None) -> None:
        """Tell a view that has just come up, or all of them, what is shown."""
        self._tell(
            "shown", [self._visible.tobytes(), self._selected.tobytes()], view=view,
            total=len(self._rows), facets=self._rows.counts(self._filters),
            chosen=dict(self._filters.chosen), words=self._words, **self._layout_asked,
        )  # fmt: skip

    def _want(self, view: str, at: Sequence[int]) -> None:
        self._newest[view] = question = object()
        for start in range(0, len(at), _BATCH):
            self._work.soon(self._cards, view, question, at[start : start + _BATCH])

    def _cards(self, view: str, question: object, at: Sequence[int]) -> None:
        cloud = studio().reader()
        made: list[bytes | ImagenError] = []
        for place in described(self._rows.places(at), cloud):
            if self._newest.get(view) is not question:  # scrolled on meanwhile
                at = at[: len(made)]
                break
            made.append(attempt(place, cloud))
        if not made:
            return
        files = [one if isinstance(one, bytes) else b"" for one in made]
        troubles = [str(one) if isinstance(one, ImagenError) else "" for one in made]
        self._tell(
            "cards",
            files,
            view=view,
            at=[*at],
            troubles=troubles,
            **self._rows.told(at),
        )
        self._answered.set()

    def _tag(self, name: str, at: Sequence[int]) -> None:
        wanted, write = _CHANGES[name]
        write(self._rows.frame(np.array(at, np.int32)))
        tags = self._rows.retag(at, wanted)
        self._tell("tags", facets=self._rows.counts(self._filters), **tags)

    def _look(self, view: str, position: int) -> None:
        cloud = studio().reader()
        (place,) = described(self._rows.places([position]), cloud)
        told = self._rows.whole(position) | {"path": str(place.local or "")}
        try:
            self._tell("picture", [large(place, cloud)], view=view, at=position, **told)
        except ImagenError as error:
            self._tell(
                "picture", [b""], view=view, at=position, trouble=str(error), **told
            )

    def _compare(self, view: str, at: Sequence[int]) -> None:
        if len(at) != 2:
            raise UsageError("select two pictures to compare")
        told, files = pair(self._rows.frame(np.array(at, np.int32)), studio().reader())
        self._tell("pair", files, view=view, **told)

    def _repr_html_(self) -> str:
        return self._page([self._saved(place) for place in self._first()])

    def _ipython_display_(self, **_: Any) -> None:
        """Shows it and its page, which for somebody who looks can wait until they see the view."""
        show_view(self)
        if _watched():
            known = self._page([self._small(kept(place)) for place in self._first()])
            self._work.aside(self._complete, show_page(known), known)
        else:
            show_page(self._repr_html_())

    def _complete(self, handle: Any, known: str) -> None:
        self._answered.wait(_PATIENCE_S)  # its thumbnails are those of the page
        if (page := self._repr_html_()) != known:
            handle.update(saved(page), raw=True)

    def _first(self) -> list[Place]:
        return self._rows.places(range(min(_SAVED, len(self._rows))))

    def _saved(self, place: Place) -> bytes:
        """A thumbnail for the saved notebook; empty when it is neither here nor was ever seen."""
        return self._small(attempt(place, None) if place.local else kept(place))

    def _small(self, made: bytes | ImagenError | None) -> bytes:
        if not isinstance(made, bytes):
            return b""
        return webp(Image.open(io.BytesIO(made)), self._saved_side, _SAVED_HEAVIEST)

    def _page(self, files: Sequence[bytes]) -> str:
        prompts = self._rows.told(range(len(files)))["prompt"]
        small = zip(files, prompts, strict=True)
        columns = self._layout_asked["columns"]
        return thumbnails(
            small, len(self._rows), side=self._saved_side, columns=columns
        )

    @property
    def _saved_side(self) -> int:
        return min(_SAVED_SIDE, int(self._layout_asked["size"] or 0))


def _watched() -> bool:
    """Whether somebody looks: JupyterLab says which cell it runs, what runs whole notebooks not."""
    shell = get_ipython()
    parent = shell.get_parent() if hasattr(shell, "get_parent") else {}
    return "cellId" in parent.get("metadata", {})


def _size(size: int) -> int:
    if not (isinstance(size, int) and SIZES[0] <= size <= SIZES[1]):
        raise UsageError(f"size is in pixels, {SIZES[0]} to {SIZES[1]}, not {size!r}")
    return size


def _columns(columns: int | None) -> int | None:
    if columns is not None and not (isinstance(columns, int) and 1 <= columns <= 100):
        raise UsageError(f"columns must be a whole number, 1 to 100, not {columns!r}")
    return columns


def _chosen(asked: Any) -> dict[str, list[str]]:
    """The values of facets that a view asks for."""
    if not isinstance(asked, dict):
        return {}
    return {name: [*map(str, asked[name])] for name in FACETS if asked.get(name)}


def _rating(stars: int | None) -> tuple[TagChange, Callable[[pd.DataFrame], int]]:
    return make_rating_change(stars), lambda frame: studio().rate(frame, stars)


_CHANGES = {
    "0": _rating(None),
    **{str(stars): _rating(stars) for stars in range(1, 6)},
    KEEPER: (make_tag_change(add=[KEEPER]), lambda frame: studio().keep(frame)),
    REJECT: (make_tag_change(add=[REJECT]), lambda frame: studio().reject(frame)),
}
