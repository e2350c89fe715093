"""A history to look through in a notebook: filtered, rated and compared by keyboard.

Each view (a copy of the widget on a page) asks by messages and is answered by messages,
which name pictures by their positions in the frame.
"""

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
from imagen_nb.frames.pictures.locate import PictureLocation, complete_from_cloud
from imagen_nb.frames.words import parse_search_words
from imagen_nb.storage.tags import (
    KEEPER,
    REJECT,
    TagChange,
    make_rating_change,
    make_tag_change,
)
from imagen_nb.studio.default import studio
from imagen_nb.system.thumbnails import encode_webp
from imagen_nb.widgets.compare import pair_message
from imagen_nb.widgets.rows import FACETS, GalleryFilters, GalleryRows
from imagen_nb.widgets.saved_page import (
    page_output,
    show_page,
    show_view,
    thumbnails_page,
)
from imagen_nb.widgets.script import script, style
from imagen_nb.widgets.thumbnails import (
    cached_thumbnail,
    enlarged_picture,
    thumbnail_or_error,
)
from imagen_nb.widgets.work import BackgroundWork, use_named_subshells

if TYPE_CHECKING:
    import pandas as pd

_SIZE_RANGE = (64, 512)  # pixels of a thumbnail's side
_CARDS_PER_MESSAGE = 6
_MAX_CARDS_PER_QUESTION = 500
_SAVED_CARDS = 24  # pictures in the saved notebook
_MAX_SAVED_SIDE = 112  # pixels of one of these
_MAX_SAVED_BYTES = 4000  # of one of these
_FIRST_CARDS_TIMEOUT_S = 5  # until a view has its first thumbnails


class Gallery(anywidget.AnyWidget):
    """The pictures of a history in a notebook: filter, rate, tag, compare, select.

    Thumbnails are made when they come into view, in threads, and kept in the user's
    cache. Ratings and `keeper` / `reject` are written at once, as `imagen_nb.rate`
    does. A saved notebook keeps the first 24 thumbnails.

    Keys: arrows move, Enter enlarges, Esc closes, 1 to 5 rate and 0 unrates, k and x
    tag
    keeper and reject, Space selects, Ctrl-A selects all that are shown, c compares two,
    / goes to the filter.

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

    _esm = script(
        "dom", "comparison", "cards", "facets", "dialog", "scroller", "grid", "gallery"
    )
    _css = style("comparison", "gallery")

    _closed = True  # until it is made: ipywidgets closes one that could not be, too

    def __init__(
        self, frame: pd.DataFrame, *, size: int = 128, columns: int | None = None
    ) -> None:
        self._work = BackgroundWork(
            lambda text: self._send_message("trouble", text=text)
        )
        self._answered = threading.Event()  # a view has its first thumbnails
        self._layout = {
            "size": _validated_size(size),
            "columns": _validated_columns(columns),
        }
        self._rows = GalleryRows(frame)
        super().__init__()
        self._closed = False
        use_named_subshells([self])
        self._visible = np.arange(len(self._rows), dtype=np.int32)
        self._selected = np.empty(0, dtype=np.int32)
        self._filters, self._words = GalleryFilters(), ""
        self._views: set[str] = set()
        # The last question for thumbnails, by view.
        self._questions: dict[str, object] = {}
        self.on_msg(self._on_message)

    @property
    def selected(self) -> pd.DataFrame:
        """The rows that are selected in the notebook, in the frame's order."""
        return self._rows.frame(self._selected)

    @property
    def visible(self) -> pd.DataFrame:
        """The rows that the filters last left, in the frame's order."""
        return self._rows.frame(self._visible)

    def close(self) -> None:
        """End the widget and its threads; `selected` and `visible` stay."""
        if self._closed:
            return
        self._closed = True
        self._answered.set()
        self._work.stop()
        super().close()

    def __repr__(self) -> str:
        return f"<Gallery: {len(self._rows)} pictures>"

    def _on_message(self, _: Any, message: Any, buffers: Sequence[Any]) -> None:
        """Act on a message of a view.

        It comes on a thread of the kernel's: what takes time is done by ours.
        """
        match message:
            case {"kind": "open", "view": str(view)}:
                self._views.add(view)
                self._work.in_turn(self._send_shown, view)
            case {"kind": "filter"}:
                self._work.in_turn(self._filter, message)
            case {"kind": "want", "view": str(view), "at": list(at)}:
                self._queue_cards(view, self._existing(at[:_MAX_CARDS_PER_QUESTION]))
            case {"kind": "select", "view": str(view)}:
                at = self._existing(np.frombuffer(buffers[0], np.int32))
                self._selected = np.array(at, np.int32)
                self._send_message("selected", [self._selected.tobytes()], but=view)
            case {"kind": "tag", "tag": str(tag), "at": list(at)} if (
                tag in _TAG_CHANGES
            ):
                self._work.in_turn(self._tag, tag, self._existing(at))
            case {"kind": "look", "view": view, "at": list(at)}:
                self._work.soon(self._send_picture, view, *self._existing(at[:1]))
            case {"kind": "compare", "view": view, "at": list(at)}:
                self._work.soon(self._send_pair, view, self._existing(at[:2]))
            case {"kind": "left", "view": view}:
                self._forget(view)

    def _existing(self, at: Any) -> list[int]:
        """Return those of the positions that there are."""
        count = len(self._rows)
        return [position for position in map(int, at) if 0 <= position < count]

    def _forget(self, view: str) -> None:
        self._views.discard(view)
        self._questions.pop(view, None)
        if not self._views:
            self._work.stop()

    def _send_message(
        self, kind: str, buffers: Sequence[bytes] = (), **facts: Any
    ) -> None:
        self.send({"kind": kind, **facts}, [*buffers])

    def _filter(self, message: dict[str, Any]) -> None:
        """Filter anew. Nothing else does: what is rated stays in view."""
        self._words = str(message.get("words", ""))
        facets = _requested_facets(message.get("chosen"))
        self._filters = GalleryFilters(parse_search_words(self._words), facets)
        self._visible = self._rows.passing(self._filters)
        self._send_shown(None)

    def _send_shown(self, view: str | None) -> None:
        """Send a view that has just come up, or all of them (None), what is shown."""
        self._send_message(
            "shown",
            [self._visible.tobytes(), self._selected.tobytes()],
            view=view,
            total=len(self._rows),
            facets=self._rows.counts(self._filters),
            chosen=dict(self._filters.chosen),
            words=self._words,
            **self._layout,
        )

    def _queue_cards(self, view: str, at: Sequence[int]) -> None:
        self._questions[view] = question = object()
        for start in range(0, len(at), _CARDS_PER_MESSAGE):
            batch = at[start : start + _CARDS_PER_MESSAGE]
            self._work.soon(self._send_cards, view, question, batch)

    def _send_cards(self, view: str, question: object, at: Sequence[int]) -> None:
        """Send thumbnails and their facts, until the view asks for others."""
        cloud = studio().reader()
        made: list[bytes | ImagenError] = []
        for place in complete_from_cloud(self._rows.places(at), cloud):
            if self._questions.get(view) is not question:  # scrolled on meanwhile
                break
            made.append(thumbnail_or_error(place, cloud))
        if not made:
            return
        at = at[: len(made)]
        self._send_message(
            "cards",
            [one if isinstance(one, bytes) else b"" for one in made],
            view=view,
            at=[*at],
            troubles=[str(one) if isinstance(one, ImagenError) else "" for one in made],
            **self._rows.card_facts(at),
        )
        self._answered.set()

    def _tag(self, name: str, at: Sequence[int]) -> None:
        wanted, write = _TAG_CHANGES[name]
        write(self._rows.frame(np.array(at, np.int32)))
        tags = self._rows.retag(at, wanted)
        self._send_message("tags", facets=self._rows.counts(self._filters), **tags)

    def _send_picture(self, view: str, position: int) -> None:
        cloud = studio().reader()
        (place,) = complete_from_cloud(self._rows.places([position]), cloud)
        facts = self._rows.all_facts(position) | {"path": str(place.local or "")}
        file = b""
        try:
            file = enlarged_picture(place, cloud)
        except ImagenError as error:
            facts["trouble"] = str(error)
        self._send_message("picture", [file], view=view, at=position, **facts)

    def _send_pair(self, view: str, at: Sequence[int]) -> None:
        if len(at) != 2:
            raise UsageError("select two pictures to compare")
        rows = self._rows.frame(np.array(at, np.int32))
        facts, files = pair_message(rows, studio().reader())
        self._send_message("pair", files, view=view, **facts)

    def _repr_html_(self) -> str:
        return self._page([self._saved_card(place) for place in self._first_places()])

    def _ipython_display_(self, **_: Any) -> None:
        """Show it and the page that stands for it in a saved notebook.

        For somebody who looks, the page can wait until they see the view.
        """
        show_view(self)
        if not _has_viewer():
            show_page(self._repr_html_())
            return
        cached = [cached_thumbnail(place) for place in self._first_places()]
        page = self._page([self._shrunk(one) for one in cached])
        self._work.aside(self._complete_page, show_page(page), page)

    def _complete_page(self, handle: Any, shown: str) -> None:
        self._answered.wait(_FIRST_CARDS_TIMEOUT_S)  # its thumbnails are the page's
        page = self._repr_html_()
        if page != shown:
            handle.update(page_output(page), raw=True)

    def _first_places(self) -> list[PictureLocation]:
        return self._rows.places(range(min(_SAVED_CARDS, len(self._rows))))

    def _saved_card(self, place: PictureLocation) -> bytes:
        """Return a thumbnail to save; empty when not here and never seen."""
        if place.local:
            return self._shrunk(thumbnail_or_error(place, None))
        return self._shrunk(cached_thumbnail(place))

    def _shrunk(self, made: bytes | ImagenError | None) -> bytes:
        if not isinstance(made, bytes):
            return b""
        return encode_webp(
            Image.open(io.BytesIO(made)), self._saved_side, _MAX_SAVED_BYTES
        )

    def _page(self, files: Sequence[bytes]) -> str:
        prompts = self._rows.card_facts(range(len(files)))["prompt"]
        return thumbnails_page(
            zip(files, prompts, strict=True),
            len(self._rows),
            side=self._saved_side,
            columns=self._layout["columns"],
        )

    @property
    def _saved_side(self) -> int:
        return min(_MAX_SAVED_SIDE, int(self._layout["size"] or 0))


def _has_viewer() -> bool:
    """Return whether somebody looks.

    JupyterLab says which cell it runs; programs that run whole notebooks do not.
    """
    shell = get_ipython()
    parent = shell.get_parent() if hasattr(shell, "get_parent") else {}
    return "cellId" in parent.get("metadata", {})


def _validated_size(size: int) -> int:
    low, high = _SIZE_RANGE
    if not (isinstance(size, int) and low <= size <= high):
        raise UsageError(f"size is in pixels, {low} to {high}, not {size!r}")
    return size


def _validated_columns(columns: int | None) -> int | None:
    if columns is not None and not (isinstance(columns, int) and 1 <= columns <= 100):
        raise UsageError(f"columns must be a whole number, 1 to 100, not {columns!r}")
    return columns


def _requested_facets(chosen: Any) -> dict[str, list[str]]:
    """Return the values of facets that a view's message asks for."""
    if not isinstance(chosen, dict):
        return {}
    return {name: [*map(str, chosen[name])] for name in FACETS if chosen.get(name)}


def _rating_change(
    stars: int | None,
) -> tuple[TagChange, Callable[[pd.DataFrame], int]]:
    return make_rating_change(stars), lambda frame: studio().rate(frame, stars)


# By the tag of a view's message: what changes in the rows, and what writes it.
_TAG_CHANGES = {
    "0": _rating_change(None),
    **{str(stars): _rating_change(stars) for stars in range(1, 6)},
    KEEPER: (make_tag_change(add=[KEEPER]), lambda frame: studio().keep(frame)),
    REJECT: (make_tag_change(add=[REJECT]), lambda frame: studio().reject(frame)),
}
