"""Fetches what a box has finished: the picture's row, then its file, checked."""

from __future__ import annotations

import io
import json
from typing import Any
from uuid import UUID

from imagen_nb.backends import FinishedFile
from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.errors import decoding
from imagen_nb.cloud.picture_cache import CloudPicture, download_picture
from imagen_nb.errors import BackendError, StorageError
from imagen_nb.storage.record import Record
from imagen_nb.system.thumbnails import image_read_errors

_ROW_COLUMNS = "id,owner_user_id,storage_path,tags,sidecar"


def fetch_finished(cloud: Cloud, id: UUID) -> FinishedFile:
    """Return a picture's file, and its sidecar as whoever drew it has it.

    Raises:
        BackendError: if there is no such picture, or its record is none.
        CloudError: if it cannot be read, or the file is not the one of its record.
    """
    row = cloud.rows_by_id([str(id)], _ROW_COLUMNS).get(str(id))
    if row is None:
        raise BackendError(
            f"the picture {id} was drawn, and is not in the cloud any more"
        )
    record = _record_in(row)
    if record.id != id or record.sha256 is None:
        raise BackendError(f"the row of {id} does not say which file is its picture")
    with decoding():
        path = str(row["storage_path"])
    copy = CloudPicture(str(id), path, record.sha256, record.bytes)
    png = download_picture(cloud, copy)
    return FinishedFile(png, _as_written(record, png).to_sidecar())


def _record_in(row: dict[str, Any]) -> Record:
    """Return the record of a row of imagen.images, with the tags that it has by now."""
    try:
        record = Record.from_sidecar(json.dumps(row["sidecar"]))
    except StorageError as error:
        raise BackendError(f"the row of {row['id']} has {error}") from None
    with decoding():
        tags = tuple(map(str, row["tags"]))
    return record if record.tags == tags else record.model_copy(update={"tags": tags})


def _as_written(record: Record, png: bytes) -> Record:
    """Return the record with its values in the order in which the file has them.

    JSONB has an order of its own; the sidecar shall be that of whoever drew it.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(png), formats=("PNG",)) as opened:
            text = str(opened.info.get("imagen_nb"))
        inside = Record.from_sidecar(text)
    except StorageError:  # drawn by another program
        return record
    except image_read_errors():
        return record
    same = {
        name: getattr(inside, name)
        for name in Record.model_fields
        if getattr(inside, name) == getattr(record, name)
    }
    return record.model_copy(update=same)
