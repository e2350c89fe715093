"""What data sets say of a picture besides its caption."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imagen_nb.frames.plugins.exporters import ExportedPicture

_LEFT_OUT = {
    "file_name",
    "text",
    "image",  # names of ours, whatever the frame has under them
    "sidecar",  # with other keys in each row, which no table of Arrow takes
    "storage_path",
    "owner_user_id",
}


def shared_facts(picture: ExportedPicture) -> dict[str, Any]:
    """Return the frame's columns that others can use, the whole record excepted."""
    return without_private_columns(picture.row)


def without_private_columns(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is known by column, without those that data sets leave out."""
    return {name: value for name, value in columns.items() if name not in _LEFT_OUT}
