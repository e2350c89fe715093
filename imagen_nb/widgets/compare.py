"""Two to nine pictures compared in one place, and the settings that differ."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from imagen_nb.cloud.client import Cloud
from imagen_nb.errors import UsageError
from imagen_nb.frames.pictures.diff import differing_fields
from imagen_nb.frames.pictures.locate import complete_from_cloud, locate_pictures
from imagen_nb.frames.schema import history_frame, history_table
from imagen_nb.studio.default import studio
from imagen_nb.system.spelling import known_arguments
from imagen_nb.widgets.base import PageWidget
from imagen_nb.widgets.facets import browser_text
from imagen_nb.widgets.saved_page import show_page, show_view, thumbnails_page
from imagen_nb.widgets.script import script, style
from imagen_nb.widgets.thumbnails import enlarged_picture, thumbnail_or_error
from imagen_nb.widgets.work import BackgroundWork

if TYPE_CHECKING:
    import pandas as pd

    from imagen_nb.studio.lookup import Original, PictureRef

MAX_COMPARED = 9
_OMITTED_FIELDS = (
    "threads",
    "batch_index",
    "batch_size",
)  # of the machine's work, not of a request
_SAVED_COMPARE_SIDE = 256  # pixels of each in the saved notebook


class Compare(PageWidget):
    """Two to nine pictures compared in a notebook, zoomed and moved together.

    Side by side or blinking; two also with a slider between them, or as a map of their
    difference. Below them are only the settings that differ. Keys: 1 to 4 choose how
    they are shown, arrows move the slider. A saved notebook keeps their thumbnails.

    Args:
        a: a picture in any form that `reproduce` takes: an id, a row of a history, a
            file, a Picture.
        b: another one.
        *more: up to seven more.

    Raises:
        UsageError: for what is no picture, or is nowhere to be found.

    Example:
        >>> im.Compare(df.iloc[0], df.iloc[1])
    """

    _esm = script("dom", "zoom", "comparison", "wire", "compare")
    _css = style("comparison")

    @known_arguments
    def __init__(
        self, a: PictureRef, b: PictureRef | None = None, *more: PictureRef
    ) -> None:
        if b is None:
            raise UsageError("expected two pictures: give both, as in im.Compare(a, b)")
        given = [a, b, *more]
        if len(given) > MAX_COMPARED:
            raise UsageError(
                f"expected two to {MAX_COMPARED} pictures to compare, not {len(given)}"
            )
        session = studio()
        self._cloud = session.reader()
        self._frame = _frame_of_originals(
            [session.lookup.original(one) for one in given]
        )
        self._work = BackgroundWork(
            lambda text: self.send({"kind": "trouble", "text": text})
        )
        super().__init__()
        self._closed = False
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
        frame = self._frame
        columns = (frame["prompt"], frame["seed"], frame["steps"], frame["backend"])
        available = [
            (one, prompt, f"seed {seed} · {steps} steps · {backend}")
            for one, prompt, seed, steps, backend in zip(
                thumbnails, *columns, strict=True
            )
            if isinstance(one, bytes)
        ]
        return thumbnails_page(available, len(available), side=_SAVED_COMPARE_SIDE)

    def _on_message(self, _: Any, message: Any, __: Any) -> None:
        if message.get("kind") == "open":
            self._work.soon(self._send_pictures)
        elif message.get("kind") == "left":
            self._work.stop()

    def _send_pictures(self) -> None:
        facts, files = comparison_message(self._frame, self._cloud)
        self.send({"kind": "compared", **facts}, files)


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


def comparison_message(
    frame: pd.DataFrame, cloud: Cloud | None
) -> tuple[dict[str, Any], list[bytes]]:
    """Return what a browser shows of the rows of this frame, and their files.

    The facts are `prompts`, a text each, and `rows`, one for each field that differs:
    its name and the values; those of the machine are left out. Raises
    `ImagenError` when one of the files cannot be had.
    """
    located = complete_from_cloud(locate_pictures(frame), cloud)
    files = [enlarged_picture(place, cloud) for place in located]
    rows = [
        [str(name), *map(browser_text, values)]
        for name, values in differing_fields(frame, range(len(frame))).items()
        if name not in _OMITTED_FIELDS
    ]
    prompts = frame["prompt"] if "prompt" in frame.columns else [""] * len(frame)
    return {"prompts": [*map(browser_text, prompts)], "rows": rows}, files
