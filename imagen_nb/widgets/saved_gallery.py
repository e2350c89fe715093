"""What of a gallery stays in a saved notebook: its first thumbnails."""

from __future__ import annotations

import io
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from IPython import get_ipython
from PIL import Image

from imagen_nb.errors import ImagenError
from imagen_nb.frames.pictures.locate import PictureLocation
from imagen_nb.system.thumbnails import encode_webp
from imagen_nb.widgets.rows import GalleryRows
from imagen_nb.widgets.saved_page import (
    page_output,
    show_page,
    show_view,
    thumbnails_page,
)
from imagen_nb.widgets.thumbnails import cached_thumbnail, thumbnail_or_error
from imagen_nb.widgets.work import BackgroundWork

_SAVED_CARDS = 24  # pictures in the saved notebook
_MAX_SAVED_SIDE = 112  # pixels of one of these
_MAX_SAVED_BYTES = 4000  # of one of these
_FIRST_CARDS_TIMEOUT_S = 5  # until a view has its first thumbnails


class SavedGallery:
    """The page that stands for a gallery where no kernel answers.

    Args:
        rows: the first of which are on it.
        layout: `size` in pixels, and `columns`.
        answered: is set when a view has its first thumbnails.
    """

    def __init__(
        self,
        rows: GalleryRows,
        layout: Mapping[str, int | None],
        answered: threading.Event,
    ) -> None:
        self._rows, self._layout, self._answered = rows, layout, answered

    def page(self) -> str:
        """Return the page, with thumbnails made anew where that is quickly done."""
        return self._page([self._saved_card(place) for place in self._first_places()])

    def show(self, widget: Any, work: BackgroundWork) -> None:
        """Show the widget, and the page.

        For somebody who looks, the page can wait until they see the view.
        """
        show_view(widget)
        if not _has_viewer():
            show_page(self.page())
            return
        work.aside(self._complete_page, show_page(self._page([])))

    def _complete_page(self, handle: Any) -> None:
        self._answered.wait(_FIRST_CARDS_TIMEOUT_S)  # its thumbnails are the page's
        handle.update(page_output(self.page()), raw=True)

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
        return encode_webp(Image.open(io.BytesIO(made)), self._side, _MAX_SAVED_BYTES)

    def _page(self, files: Sequence[bytes]) -> str:
        facts = self._rows.saved_facts(range(len(files)))
        return thumbnails_page(
            [(file, *one) for file, one in zip(files, facts, strict=True)],
            len(self._rows),
            side=self._side,
            columns=self._layout["columns"],
        )

    @property
    def _side(self) -> int:
        return min(_MAX_SAVED_SIDE, int(self._layout["size"] or 0))


def _has_viewer() -> bool:
    """Return whether somebody looks.

    JupyterLab says which cell it runs; programs that run whole notebooks do not.
    """
    shell = get_ipython()
    parent = shell.get_parent() if hasattr(shell, "get_parent") else {}
    return "cellId" in parent.get("metadata", {})
