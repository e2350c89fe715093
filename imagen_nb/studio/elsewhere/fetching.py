"""Fetches what a box has finished: the pictures' rows, then their files, checked."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from imagen_nb.backends import FinishedFile
from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.errors import decoding
from imagen_nb.cloud.picture_cache import CloudPicture
from imagen_nb.errors import BackendError, StorageError
from imagen_nb.storage.record import Record
from imagen_nb.system.thumbnails import image_read_errors

_ROW_COLUMNS = "id,owner_user_id,storage_path,tags,sidecar"


@dataclass(frozen=True, slots=True)
class LocatedPicture:
    """A finished picture as its row has it."""

    record: Record
    copy: CloudPicture


def locate_finished(
    cloud: Cloud, ids: Sequence[UUID]
) -> dict[UUID, LocatedPicture | BackendError]:
    """Return where these pictures are, or why one of them cannot be had.

    One request for all of them. Raises `CloudError`.
    """
    rows = cloud.rows_by_id([*map(str, ids)], _ROW_COLUMNS)
    found: dict[UUID, LocatedPicture | BackendError] = {}
    for id in ids:
        try:
            found[id] = _located(id, rows.get(str(id)))
        except BackendError as error:
            found[id] = error
    return found


def fetch_finished(cloud: Cloud, located: LocatedPicture) -> FinishedFile:
    """Return a picture's file, and its sidecar as whoever drew it has it.

    Raises `CloudError` if it cannot be read, or is not the one of its record.
    """
    png = cloud.download(located.copy.storage_path)
    located.copy.require_match(png)
    return FinishedFile(png, _as_written(located.record, png).to_sidecar())


def _located(id: UUID, row: dict[str, Any] | None) -> LocatedPicture:
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
    return LocatedPicture(record, copy)


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
