"""Two pictures compared: a slider, side by side, blinking; and what differs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import anywidget

from imagen_nb.cloud.client import Cloud
from imagen_nb.errors import UsageError
from imagen_nb.frames.pictures.diff import diff_pictures
from imagen_nb.frames.pictures.locate import complete_from_cloud, locate_pictures
from imagen_nb.frames.schema import history_frame, history_table
from imagen_nb.studio.default import studio
from imagen_nb.widgets.rows import browser_text
from imagen_nb.widgets.saved_page import show_page, show_view, thumbnails_page
from imagen_nb.widgets.script import script, style
from imagen_nb.widgets.thumbnails import enlarged_picture, thumbnail_or_error
from imagen_nb.widgets.work import BackgroundWork, use_named_subshells

if TYPE_CHECKING:
    import pandas as pd

    from imagen_nb.studio.lookup import Original, PictureRef

_OMITTED_FIELDS = ("threads", "batch_index")  # of the machine's work, not of a request
_SAVED_COMPARE_SIDE = 256  # pixels of each in the saved notebook


class Compare(anywidget.AnyWidget):
    """Two pictures compared in a notebook: a slider, side by side, or blinking.

    Below them are only the settings that differ. Keys: 1, 2 and 3 choose how they are
    shown, arrows move the slider. A saved notebook keeps two thumbnails.

    Args:
        a: a picture in any form that `reproduce` takes: an id, a row of a history, a
            file, a Picture.
        b: the other.

    Raises:
        UsageError: for what is no picture, or is nowhere to be found.

    Example:
        >>> im.Compare(df.iloc[0], df.iloc[1])
    """

    _esm = script("dom", "comparison", "compare")
    _css = style("comparison")

    _closed = True  # until it is made: ipywidgets closes one that could not be, too

    def __init__(self, a: PictureRef, b: PictureRef | None = None) -> None:
        if b is None:
            raise UsageError("expected two pictures: give both, as in im.Compare(a, b)")
        session = studio()
        self._cloud = session.reader()
        self._frame = _frame_of_originals(
            [session.lookup.original(a), session.lookup.original(b)]
        )
        self._work = BackgroundWork(
            lambda text: self.send({"kind": "trouble", "text": text})
        )
        super().__init__()
        self._closed = False
        use_named_subshells([self])
        self.on_msg(self._on_message)

    def close(self) -> None:
        """End the widget and its threads."""
        if self._closed:
            return
        self._closed = True
        self._work.stop()
        super().close()

    def __repr__(self) -> str:
        return f"<Compare {' and '.join(self._frame['id'])}>"

    def _repr_html_(self) -> str:
        return self._page()

    def _ipython_display_(self, **_: Any) -> None:
        show_view(self)
        show_page(self._page())

    def _page(self) -> str:
        located = complete_from_cloud(locate_pictures(self._frame), self._cloud)
        thumbnails = [thumbnail_or_error(place, self._cloud) for place in located]
        pairs = zip(thumbnails, self._frame["prompt"], strict=True)
        available = [(one, prompt) for one, prompt in pairs if isinstance(one, bytes)]
        return thumbnails_page(available, len(available), side=_SAVED_COMPARE_SIDE)

    def _on_message(self, _: Any, message: Any, __: Any) -> None:
        if message.get("kind") == "open":
            self._work.soon(self._send_pair)
        elif message.get("kind") == "left":
            self._work.stop()

    def _send_pair(self) -> None:
        facts, files = pair_message(self._frame, self._cloud)
        self.send({"kind": "pair", **facts}, files)


def _frame_of_originals(originals: list[Original]) -> pd.DataFrame:
    """Return the pictures as rows of a history."""
    rows = [
        {
            **one.record.to_row(),
            "sidecar": json.dumps(one.record.snapshot()),
            "local_path": str(one.path) if one.path else None,
        }
        for one in originals
    ]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return history_frame(history_table(columns, len(rows)))


def pair_message(
    frame: pd.DataFrame, cloud: Cloud | None
) -> tuple[dict[str, Any], list[bytes]]:
    """Return what a browser shows of the two rows of this frame, and their files.

    The facts are `prompts`, two texts, and `rows`, one for each field that differs: its
    name and both values; `threads` and `batch_index` are left out. Raises `ImagenError`
    when one of the files cannot be had.
    """
    located = complete_from_cloud(locate_pictures(frame), cloud)
    files = [enlarged_picture(place, cloud) for place in located]
    rows = [
        [str(name), *map(browser_text, values)]
        for name, *values in diff_pictures(frame, 0, 1).itertuples()
        if name not in _OMITTED_FIELDS
    ]
    prompts = frame["prompt"] if "prompt" in frame.columns else ["", ""]
    return {"prompts": [*map(browser_text, prompts)], "rows": rows}, files
