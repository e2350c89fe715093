"""A history to look through in a notebook: filtered, sorted, rated and compared.

Each view (a copy of the widget on a page) asks by messages and is answered by messages,
which name pictures by their positions in the frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from imagen_nb.studio.default import studio
from imagen_nb.system.spelling import known_arguments
from imagen_nb.system.terminal import counted_pictures
from imagen_nb.widgets.base import PageWidget
from imagen_nb.widgets.gallery_arguments import (
    frame_to_show,
    order_to_begin_with,
    validated_columns,
    validated_size,
)
from imagen_nb.widgets.new_rows import watch_for_rows
from imagen_nb.widgets.picture_sender import PictureSender
from imagen_nb.widgets.question import GalleryQuestion, question_of
from imagen_nb.widgets.ranking import PictureRanker, Ranking
from imagen_nb.widgets.rows import GalleryRows, positions_in
from imagen_nb.widgets.saved_gallery import SavedGallery
from imagen_nb.widgets.script import script, style
from imagen_nb.widgets.selection import ACTIONS, MARKS, send_to_panel, write_tags
from imagen_nb.widgets.shown import ShownRows
from imagen_nb.widgets.work import BackgroundWork

if TYPE_CHECKING:
    import pandas as pd

    from imagen_nb.studio.live import LivePictures

_UNDO_S = 10  # seconds


class Gallery(PageWidget):
    """The pictures of a history in a notebook: filter, sort, rate, tag, compare, select.

    Thumbnails are made when they come into view, in threads, and kept in the user's
    cache. Ratings and tags are written at once, as `imagen_nb.tag` does. A saved
    notebook keeps the first 24 thumbnails.

    Keys: arrows move, Enter enlarges, Esc closes, 1 to 5 rate and 0 unrates, k and x
    tag keeper and reject, Space selects, Ctrl-A selects all that are shown, c compares,
    m shows what is like the picture, / goes to the filter.

    Args:
        frame: a history, or some of its rows; of a live gallery, by default that of
            this machine.
        size: pixels of a thumbnail's side, 64 to 512.
        columns: how many side by side; as many as there is room for unless given.
        live: also show pictures that are made from now on, by whatever program on this
            machine, and those of other machines as they come into the cloud.

    Raises:
        UsageError: when the frame has no pictures' columns, or for a bad size.

    Example:
        >>> gallery = im.Gallery(im.history())
        >>> gallery  # in a cell of its own
        >>> gallery.selected.head()  # once some were selected
    """

    _esm = script(
        "dom",
        "zoom",
        "comparison",
        "cards",
        "facets",
        "family",
        "dialog",
        "selection",
        "scroller",
        "layout",
        "grid",
        "scrubber",
        "meaning",
        "bar",
        "actions",
        "deleting",
        "wire",
        "gallery",
    )
    _css = style("comparison", "gallery", "enlarged")

    @known_arguments
    def __init__(
        self,
        frame: pd.DataFrame | None = None,
        *,
        size: int = 128,
        columns: int | None = None,
        live: bool = False,
    ) -> None:
        self._work = BackgroundWork(
            lambda text: self._send_message("trouble", text=text)
        )
        self._layout = {
            "size": validated_size(size),
            "columns": validated_columns(columns),
        }
        self._live = self._watch() if live else None  # before the frame is read
        self._rows = GalleryRows(frame_to_show(frame, live))
        super().__init__()
        self._closed = False
        self._shown = ShownRows(self._rows, order_to_begin_with(self._rows, live))
        self._ranker = PictureRanker(self._rows, self._say_looking)
        self._selected = np.empty(0, dtype=np.int32)
        self._views: set[str] = set()
        self._deleted: list[int] = []  # what was deleted last
        self._asked: GalleryQuestion | None = None  # the last question
        self._pictures = PictureSender(self._rows, self._work, self._send_message)
        self._saved = SavedGallery(self._rows, self._layout, self._pictures.answered)
        self.on_msg(self._on_message)

    @property
    def selected(self) -> pd.DataFrame:
        """The rows that are selected in the notebook, in the frame's order."""
        return self._rows.frame(self._selected)

    @property
    def visible(self) -> pd.DataFrame:
        """The rows that the filters last left, in the frame's order."""
        return self._rows.frame(self._shown.positions)

    def close(self) -> None:
        """End the widget and its threads; `selected` and `visible` stay."""
        if self._closed:
            return
        self._closed = True
        self._pictures.answered.set()
        self._stop()
        super().close()

    def _stop(self) -> None:
        self._asked = None  # gives up what is searched for
        self._work.stop()
        if self._live:
            self._live.stop()

    def __repr__(self) -> str:
        return f"<Gallery: {counted_pictures(len(self._rows))}>"

    def _on_message(self, _: Any, message: Any, buffers: Sequence[Any]) -> None:
        """Act on a message of a view.

        It comes on a thread of the kernel's: what takes time is done by ours.
        """
        match message:
            case {"kind": "open", "view": str(view)}:
                self._open(view)
            case {"kind": "filter"}:
                self._ask(question_of(message, len(self._rows)))
            case {"kind": "want", "view": str(view), "at": list(at)}:
                side = int(message.get("side", 0))
                self._pictures.send_cards(view, self._existing(at), side)
            case {"kind": "select", "view": str(view)}:
                told = np.frombuffer(buffers[0], np.int32)
                self._selected = told[(told >= 0) & (told < len(self._rows))]
                self._send_message("selected", [self._selected.tobytes()], but=view)
            case {"kind": "tag", "tag": str(tag), "at": list(at)} if tag in MARKS:
                self._work.in_turn(self._tag, MARKS[tag], self._existing(at))
            case {"kind": "retag", "add": list(add), "remove": list(remove)}:
                at = self._existing(message.get("at") or self._selected.tolist())
                self._work.in_turn(self._tag, (add, remove), at)
            case {"kind": "look", "view": view, "at": list(at)}:
                self._work.soon(self._pictures.send_one, view, *self._existing(at[:1]))
            case {"kind": "compare", "view": view, "at": list(at)}:
                self._work.soon(self._pictures.send_compared, view, self._existing(at))
            case {"kind": "act", "view": view, "act": str(act)} if act in ACTIONS:
                self._work.aside(self._act, view, act, str(message.get("value", "")))
            case {"kind": "panel", "view": view, "part": str(part), "at": list(at)}:
                start = self._work.aside if part == "reproduce" else self._work.soon
                start(self._to_panel, view, part, *self._existing(at[:1]))
            case {"kind": "delete", "at": list(at)}:
                self._work.in_turn(self._delete, self._existing(at))
            case {"kind": "restore"}:
                self._work.in_turn(self._restore)
            case {"kind": "left", "view": view}:
                self._forget(view)

    def _existing(self, at: Any) -> list[int]:
        """Return those of the positions that there are."""
        count = len(self._rows)
        return [position for position in map(int, at) if 0 <= position < count]

    def _open(self, view: str) -> None:
        self._views.add(view)
        self._work.in_turn(self._send_shown, view)
        if self._rows.lacks_details:
            self._work.aside(self._load_details)
        if self._live:
            self._live.start()

    def _forget(self, view: str) -> None:
        self._views.discard(view)
        self._pictures.forget(view)
        if not self._views:
            self._stop()

    def _send_message(
        self, kind: str, buffers: Sequence[bytes] = (), **facts: Any
    ) -> None:
        self.send({"kind": kind, **facts}, [*buffers])

    def _ask(self, question: GalleryQuestion) -> None:
        """Show what is asked for; it is given up for a newer question."""
        self._asked = question
        if question.is_ranked:
            self._work.looking(self._rank, question)
        else:
            self._work.in_turn(self._answer, question, None)

    def _rank(self, question: GalleryQuestion) -> None:
        ranking = self._ranker.rank(question, lambda: self._asked is question)
        if ranking is not None and self._asked is question:
            self._work.in_turn(self._answer, question, ranking)

    def _answer(self, question: GalleryQuestion, ranking: Ranking | None) -> None:
        if self._shown.answer(question, ranking, lambda: self._asked is question):
            self._send_shown(None, keep=question.keep)

    def _say_looking(self, done: int, total: int) -> None:
        self._send_message("looking", done=done, total=total)

    def _send_shown(self, view: str | None, keep: bool = False) -> None:
        """Send a view that has just come up, or all of them (None), what is shown.

        `keep`: what one looks at stays where it is.
        """
        facts, (rows, *scores), facets_lack = self._shown.facts()
        buffers = [rows, self._selected.tobytes(), *scores]
        facts |= self._layout
        self._send_message("shown", buffers, view=view, keep=keep, **facts)
        if facets_lack:
            self._send_facets()

    def _load_details(self) -> None:
        details = self._rows.read_details(studio().lookup.catalogs())
        if self._views and not self._closed:  # else nobody would end that thread
            self._work.in_turn(self._take_details, details)

    def _take_details(self, details: pd.DataFrame) -> None:
        self._rows.take_details(details)
        self._send_facets()

    def _send_facets(self) -> None:
        facets = self._rows.search.counts(self._shown.filters)
        self._send_message("facets", facets=facets)

    def _watch(self) -> LivePictures:
        add = partial(self._work.in_turn, self._add_new)
        return watch_for_rows(lambda: self._rows, add, self._send_message)

    def _add_new(self, rows: pd.DataFrame) -> None:
        """Take in new pictures, which a view then asks for when it suits."""
        if not self._rows.add_unknown(rows):
            return
        self._work.aside(self._load_details)
        count = len(self._shown.find_again()) - len(self._shown.positions)
        self._send_message("new", count=max(0, count), total=self._rows.total)

    def _tag(self, names: tuple[list[str], list[str]], at: Sequence[int]) -> None:
        change = write_tags(self._rows.frame(positions_in(at)), *names)
        tags = self._rows.retag(at, change)
        self._send_message(
            "tags", facets=self._rows.search.counts(self._shown.filters), **tags
        )

    def _delete(self, at: Sequence[int]) -> None:
        """Delete pictures; those in the cloud once it cannot be undone here any more."""
        rows = self._rows.frame(positions_in(at))
        count = studio().delete(rows, cloud_after=_UNDO_S)
        self._deleted = [*at]
        self._rows.remove(at)
        self._selected = self._selected[~np.isin(self._selected, at)]
        self._send_message("selected", [self._selected.tobytes()])
        self._show_again()
        self._send_message("deleted", count=count, seconds=_UNDO_S)

    def _restore(self) -> None:
        """Bring back what was deleted last."""
        studio().restore(self._rows.frame(positions_in(self._deleted)))
        self._rows.bring_back(self._deleted)
        self._deleted = []
        self._show_again()

    def _show_again(self) -> None:
        self._shown.positions = self._shown.find_again()
        self._send_shown(None, keep=True)

    def _act(self, view: str, act: str, value: str) -> None:
        said, files = ACTIONS[act](self.selected, value)
        self._send_message("done", files, view=view, act=act, text=said)

    def _to_panel(self, view: str, part: str, position: int) -> None:
        rows = self._rows.frame(positions_in([position]))
        said = send_to_panel(rows.iloc[0], part)
        self._send_message("done", view=view, act=part, text=said)

    def _repr_html_(self) -> str:
        return self._saved.page()

    def _ipython_display_(self, **_: Any) -> None:
        self._saved.show(self, self._work)
