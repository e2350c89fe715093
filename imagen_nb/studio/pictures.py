"""A sequence of pictures with a contact sheet as its repr."""

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
from imagen_nb.storage.picture import IMAGE_READ_ERRORS, Picture, explain_unreadable
from imagen_nb.storage.record import Record
from imagen_nb.system.thumbnails import (
    CELL,
    MAX_CELLS,
    Labels,
    blank,
    captioned,
    contact_sheet,
    img_tag,
)

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image


_SHOWN_CELL, _SHOWN_PIXELS = (
    96,
    400_000,
)  # of a sheet in a notebook: each side, all cells together


_PLURALS = {
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


_FIELDS = {"scheduler": "scheduler_name"}  # of a record, where an axis has another name


class Pictures(Sequence[Picture]):
    """Pictures in order, with the axes along which they vary; shows as a contact sheet."""

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
        varying = " × ".join(
            f"{len(axis.values)} {_PLURALS[axis.name]}" for axis in self.axes
        )
        return f"{len(self)}{f' ({varying})' if varying else ''}"

    def _repr_mimebundle_(
        self, include: Any = None, exclude: Any = None
    ) -> dict[str, str]:
        if not self._pictures:
            return {"text/plain": repr(self)}
        prompts = "; ".join(dict.fromkeys(picture.record.prompt for picture in self))
        shown = min(len(self), MAX_CELLS)
        page = self.contact_sheet(
            cell=min(_SHOWN_CELL, math.isqrt(_SHOWN_PIXELS // shown))
        )
        tag = img_tag(page, f"contact sheet: {prompts}", side=max(page.size))
        caption = f"pictures: {self._summary()}"
        if shown < len(self):
            caption += f", of which the first {shown} are shown"
        return {"text/plain": repr(self), "text/html": captioned(tag, caption)}

    def contact_sheet(self, columns: int | None = None, cell: int = CELL) -> Image:
        """The first pictures (at most 200) on one page; a grid's axes are its headings.

        The fastest axis runs to the right; the others, combined, run down. A picture that cannot be
        read is grey and says why.
        """
        shown = self._pictures[:MAX_CELLS]
        across = self.axes[-1] if self.axes else None
        if columns is None:
            columns = len(across.values) if across else min(8, max(1, len(shown)))
        labels = (
            self._labels(columns)
            if across and columns == len(across.values)
            else Labels()
        )
        return contact_sheet(
            [_image_or_grey(picture) for picture in shown], columns, labels, cell
        )

    def save_contact_sheet(self) -> Path:
        """Write the contact sheet beside the first picture, as `<its name>-sheet.png`.

        Another page of that name is never overwritten: this one gets the next free `-2`, `-3` ….
        Raises `UsageError` when there are no pictures and `StorageError` when it cannot be kept.
        """
        if not self._pictures:
            raise UsageError("no pictures, so no contact sheet")
        first = self._pictures[0].path
        buffer = io.BytesIO()
        self.contact_sheet().save(buffer, "PNG")
        return save_sheet(first.parent, f"{first.stem}-sheet", buffer.getvalue())

    def _labels(self, columns: int) -> Labels:
        across = self.axes[-1]
        down = sorted(
            self.axes[:-1], key=lambda axis: axis.name == "prompt"
        )  # long: cut at the end
        firsts = self._pictures[:MAX_CELLS:columns]
        rows = [
            "\n".join(_label(axis.name, picture.record) for axis in down)
            for picture in firsts
        ]
        heads = [
            _label(across.name, picture.record) for picture in self._pictures[:columns]
        ]
        return Labels(heads, rows)

    def frame(self) -> pd.DataFrame:
        """One row a picture in the columns and types of `Studio.history`, sidecars included."""
        from imagen_nb.frames.schema import framed, table_of

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
        return framed(
            table_of({name: [row[name] for row in rows] for name in names}, len(rows))
        )


def _image_or_grey(picture: Picture) -> Image:
    try:
        return picture.image
    except IMAGE_READ_ERRORS as error:
        return blank(explain_unreadable(error), CELL)


def _label(axis: str, record: Record) -> str:
    if axis == "size":
        return f"{record.width}x{record.height}"  # the font of the page has no ×
    value = getattr(record, _FIELDS.get(axis, axis))
    return (
        str(value)
        if axis == "prompt"
        else f"{axis} {value:g}"
        if axis == "guidance"
        else f"{axis} {value}"
    )
