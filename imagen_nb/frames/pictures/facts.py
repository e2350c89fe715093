"""What exporters are told of pictures: names, captions, rows, and files made smaller."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

from PIL import Image

from imagen_nb.errors import StorageError, UsageError
from imagen_nb.frames.pictures.contact_sheet import captions_of_rows
from imagen_nb.frames.pictures.download import download_name
from imagen_nb.frames.pictures.locate import PictureLocation
from imagen_nb.frames.schema import (
    parse_tags,
    plain_value,
    prompts_of,
)
from imagen_nb.storage.names import numbered_name
from imagen_nb.system.thumbnails import image_read_errors

if TYPE_CHECKING:
    import pandas as pd

_SIZES = (16, 16_384)  # pixels of the longer side: the least, the most


def unique_names(locations: Sequence[PictureLocation]) -> list[str]:
    """Return a safe file name for each picture, all different but for their suffixes."""
    names, taken = [], Counter[str]()
    for location in locations:
        stem, suffix = download_name(location.picture.storage_path, location.picture.id)
        while True:
            taken[stem] += 1
            name = numbered_name(stem, taken[stem], "")
            if name == stem or not taken[name]:
                break
        taken[name] += name != stem
        names.append(name + suffix)
    return names


def dataset_captions(frame: pd.DataFrame, captions: str | None) -> list[str]:
    """Return what each picture shows: the prompt as it is, or other words in one line.

    Args:
        frame: the rows.
        captions: a column or a template such as "{prompt}, {style}"; None is the
            prompt. What a row lacks is left out, with the comma before it.

    Raises:
        UsageError: if the frame lacks a column.
    """
    if captions is None:
        return prompts_of(frame)
    if not isinstance(captions, str):
        raise UsageError(
            f"captions names a column, or is a text such as '{{prompt}}, {{style}}', "
            f"not {captions!r}"
        )
    texts = captions_of_rows(frame, captions)
    return [" ".join(text.split()).strip(" ,;") for text in texts]


def row_for_others(row: dict[str, Any]) -> dict[str, Any]:
    """Return the values as JSON has them: no infinity, and text for other objects.

    A frame may have been in a file meanwhile: then tags may be JSON, or an array.
    """
    text = json.dumps(plain_value(row), default=str)
    values: dict[str, Any] = json.loads(text, parse_constant=lambda name: None)
    return values | {name: parse_tags(row[name]) for name in ("tags",) if name in row}


def joined_kind(kind: str, value: object) -> str:
    """Return the kind of a column that has had values of this kind, and this value now.

    The kinds are those of `ExportedPicture.kinds`.
    """
    if value is None:
        return kind
    own = _kind_of(value)
    if kind in ("none", own):
        return own
    return "float" if {kind, own} == {"int", "float"} else "json"


def _kind_of(value: object) -> str:
    names = {bool: "bool", int: "int", float: "float", str: "text"}
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return "texts"
    return names.get(type(value), "json")


def require_size(size: object) -> None:
    """Raise `UsageError` unless it is a longer side in pixels, or None."""
    least, most = _SIZES
    if size is None:
        return
    is_number = isinstance(size, int) and not isinstance(size, bool)
    if not is_number or size not in range(least, most + 1):
        raise UsageError(
            f"size is the longer side in pixels, {least} to {most}, not {size!r}"
        )


def made_smaller(data: bytes, size: int) -> tuple[bytes, tuple[int, int]] | None:
    """Return a picture's file with this longer side (pixels), as PNG, and both sides.

    None if it is no larger than that: nothing is ever enlarged.

    Raises:
        StorageError: if it is torn, or no picture.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torn EXIF is none
            with Image.open(BytesIO(data)) as image:
                if max(image.size) <= size:
                    return None
                has_alpha = "A" in image.getbands() or "transparency" in image.info
                plain = image.convert("RGBA" if has_alpha else "RGB")
    except image_read_errors():
        raise StorageError("it is torn, or no picture") from None
    plain.thumbnail((size, size), Image.Resampling.LANCZOS)
    file = BytesIO()
    plain.save(file, "PNG", compress_level=3)
    return file.getvalue(), plain.size
