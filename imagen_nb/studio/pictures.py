"""Pictures: a sequence of pictures that a notebook shows as a contact sheet."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from imagen_nb.errors import UsageError
from imagen_nb.request.sweep import Axis
from imagen_nb.storage.output import save_sheet
from imagen_nb.storage.picture import Picture, explain_unreadable
from imagen_nb.storage.record import Record
from imagen_nb.system.theme import paper_and_ink
from imagen_nb.system.thumbnails import (
    CELL_PIXELS,
    MAX_CELLS,
    SheetLabels,
    captioned_html,
    draw_contact_sheet,
    image_read_errors,
    img_tag,
    placeholder_image,
)

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image

_MAX_NOTEBOOK_CELL_PIXELS = 96  # a side of a picture, in a notebook's contact sheet
_MAX_NOTEBOOK_SHEET_PIXELS = 400_000  # all pictures of it together
_AXIS_PLURALS = {
    "prompt": "prompts",
    "size": "sizes",
    "steps": "step counts",
    "guidance": "guidances",
    "strength": "strengths",
    "true_cfg": "scales of true CFG",
    "scheduler": "schedulers",
    "negative_prompt": "negative prompts",
    "seed": "seeds",
}
_FIELD_OF_AXIS = {"scheduler": "scheduler_name"}  # of a record, if named differently


class Pictures(Sequence[Picture]):
    """Pictures in order; a notebook shows them as a contact sheet.

    Args:
        pictures: the pictures.
        axes: what they vary in, slowest first, if they are a complete grid.

    Example:
        >>> pictures = im.sweep("a {red|blue} boat", seeds=[1, 2])
        >>> len(pictures), pictures[0].record.seed
        (4, 1)
    """

    def __init__(self, pictures: Sequence[Picture], axes: Sequence[Axis] = ()) -> None:
        self._pictures = tuple(pictures)
        self.axes = tuple(axes)

    @overload
    def __getitem__(self, index: int) -> Picture: ...
    @overload
    def __getitem__(self, index: slice) -> Pictures: ...
    def __getitem__(self, index: int | slice) -> Picture | Pictures:
        if isinstance(index, slice):
            return Pictures(self._pictures[index])
        return self._pictures[index]

    def __len__(self) -> int:
        return len(self._pictures)

    def __iter__(self) -> Iterator[Picture]:
        return iter(self._pictures)

    def __repr__(self) -> str:
        return f"<Pictures: {self._summary()}>"

    def _summary(self) -> str:
        if not self.axes:
            return f"{len(self)}"
        counts = [
            f"{len(axis.values)} {_AXIS_PLURALS[axis.name]}" for axis in self.axes
        ]
        return f"{len(self)} ({' × '.join(counts)})"

    def _repr_mimebundle_(
        self, include: Any = None, exclude: Any = None
    ) -> dict[str, str]:
        if not self._pictures:
            return {"text/plain": repr(self)}
        prompts = "; ".join(dict.fromkeys(picture.record.prompt for picture in self))
        shown = min(len(self), MAX_CELLS)
        side = math.isqrt(_MAX_NOTEBOOK_SHEET_PIXELS // shown)
        page = self.contact_sheet(cell=min(_MAX_NOTEBOOK_CELL_PIXELS, side))
        tag = img_tag(page, f"contact sheet: {prompts}", side=max(page.size))
        caption = f"pictures: {self._summary()}"
        if shown < len(self):
            caption += f", of which the first {shown} are shown"
        return {"text/plain": repr(self), "text/html": captioned_html(tag, caption)}

    def contact_sheet(
        self, columns: int | None = None, cell: int = CELL_PIXELS
    ) -> Image:
        """Return the first pictures, at most 200, as one image; a grid has headings.

        In a dark notebook it is dark.

        The fastest axis runs to the right; the others, combined, run down. A picture
        that cannot be read is grey and says why.

        Args:
            columns: how many pictures stand side by side; None is the length of the
                fastest axis, or at most 8.
            cell: the side of a picture, in pixels.

        Raises:
            UsageError: if there are no pictures.

        Example:
            >>> pictures.contact_sheet(columns=2, cell=64)
        """
        return self._draw_sheet(columns, cell, *paper_and_ink())

    def _draw_sheet(
        self,
        columns: int | None = None,
        cell: int = CELL_PIXELS,
        paper: str = "white",
        ink: str = "black",
    ) -> Image:
        self._require_pictures()
        pictures = self._pictures[:MAX_CELLS]
        across = len(self.axes[-1].values) if self.axes else None
        if columns is None:
            columns = across or min(8, len(pictures))
        labels = self._labels(columns) if columns == across else SheetLabels()
        images = [_load_image_or_grey(picture) for picture in pictures]
        return draw_contact_sheet(images, columns, labels, cell, paper=paper, ink=ink)

    def save_contact_sheet(self) -> Path:
        """Write the contact sheet beside the first picture, as `<its name>-sheet.png`.

        Never overwrites another file: then the name ends in the next free `-2`, `-3`,
        …. Raises UsageError if there are no pictures, StorageError if it cannot be
        written.

        Example:
            >>> pictures.save_contact_sheet().suffix
            '.png'
        """
        self._require_pictures()
        first = self._pictures[0].path
        buffer = io.BytesIO()
        self._draw_sheet().save(buffer, "PNG")
        return save_sheet(first, buffer.getvalue())

    def _require_pictures(self) -> None:
        if not self._pictures:
            raise UsageError("no pictures, so no contact sheet")

    def _labels(self, columns: int) -> SheetLabels:
        across = self.axes[-1]
        # Prompts are long and cut at the end: they come last.
        down = sorted(self.axes[:-1], key=lambda axis: axis.name == "prompt")
        rows = [
            "\n".join(_describe_axis_value(axis.name, picture.record) for axis in down)
            for picture in self._pictures[:MAX_CELLS:columns]
        ]
        heads = [
            _describe_axis_value(across.name, picture.record)
            for picture in self._pictures[:columns]
        ]
        return SheetLabels(heads, rows)

    def frame(self) -> pd.DataFrame:
        """Return one row a picture, as `Studio.history` does, sidecars included.

        Example:
            >>> pictures.frame()["seed"].tolist()
        """
        from imagen_nb.frames.schema import history_frame, history_table

        rows = [
            {
                **picture.record.to_row(),
                "sidecar": json.dumps(picture.record.snapshot()),
                "local_path": str(picture.path),
                "cloud": picture.cloud,
            }
            for picture in self
        ]
        names = rows[0] if rows else ()
        columns = {name: [row[name] for row in rows] for name in names}
        return history_frame(history_table(columns, len(rows)))


def _load_image_or_grey(picture: Picture) -> Image:
    try:
        return picture.image
    except image_read_errors() as error:
        return placeholder_image(explain_unreadable(error), CELL_PIXELS)


def _describe_axis_value(axis: str, record: Record) -> str:
    if axis == "size":
        return f"{record.width}x{record.height}"  # the font of the page has no ×
    value = getattr(record, _FIELD_OF_AXIS.get(axis, axis))
    if axis == "prompt":
        return str(value)
    if axis == "guidance":
        return f"{axis} {value:g}"
    return f"{axis} {value}"
