"""Rows of pictures that are new, for a gallery that is live."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from imagen_nb.studio.default import studio
from imagen_nb.studio.live import LivePictures

if TYPE_CHECKING:
    import pandas as pd

    from imagen_nb.widgets.rows import GalleryRows


def watch_for_rows(
    rows: Callable[[], GalleryRows],
    add: Callable[[pd.DataFrame], Any],
    send: Callable[..., None],
) -> LivePictures:
    """Return what looks for pictures of the default session, once it is started.

    Args:
        rows: returns those that are shown, which are not loaded again.
        add: called with rows that may be new.
        send: called with messages for the views.
    """

    def tell(source: str, ids: list[str]) -> None:
        unknown = rows().unknown_of(ids)
        if unknown:
            add(studio().history(ids=unknown, source=source))

    return LivePictures(
        lambda: studio().lookup,
        tell,
        lambda text: send("trouble", text=text),
        lambda text: send("note", text=text),
    )
