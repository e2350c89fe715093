"""Images that pictures were drawn from: kept in the bucket too, and fetched from there.

They lie in the folder of the pictures' owner, named by their content, so that each is
sent once, whatever was drawn from it, and nobody else may read it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.errors import (
    ObjectExistsError,
    ObjectMissingError,
    RejectedError,
)
from imagen_nb.cloud.picture_cache import CloudPicture, download_picture
from imagen_nb.cloud.upload import is_same_file
from imagen_nb.errors import BackendError
from imagen_nb.request.images import IMAGE_SUFFIXES, InputImage
from imagen_nb.storage.catalog import CatalogEntry
from imagen_nb.storage.input_files import INPUTS_FOLDER, recorded_inputs
from imagen_nb.storage.record import Record


def input_path(owner: UUID | str, file: object) -> str:
    """Return where an input lies in the bucket, given its file in a record.

    Example:
        >>> input_path("3f1c9a52-0d4e-4b7a-9c11-5e8f2a6b7c0d", "inputs/ab12.png")
        '3f1c9a52-0d4e-4b7a-9c11-5e8f2a6b7c0d/inputs/ab12.png'
    """
    return f"{owner}/{INPUTS_FOLDER}/{PurePosixPath(str(file)).name}"


def upload_inputs(entry: CatalogEntry, cloud: Cloud, sent: set[str]) -> None:
    """Upload the images that a picture was drawn from, where they are not there yet.

    One that is not on this machine any more, or is another file, is left out: the
    picture goes up without it.

    Args:
        entry: the picture.
        cloud: whose bucket.
        sent: paths that are known to be there; those of this picture are added.

    Raises:
        RejectedError: if the bucket does not take one, as it is too large.
        TooSlowError: not now.
    """
    owner, _ = cloud.owner()
    for values in _known_inputs(entry.record):
        path = input_path(owner, values["file"])
        if path in sent:
            continue
        data = _load_recorded(entry, values)
        if data is not None:
            _ensure_there(path, data, cloud)
        sent.add(path)


def upload_input(image: InputImage, cloud: Cloud) -> None:
    """Upload an image that a picture is to be drawn from, where it is not there yet.

    Raises `RejectedError` if another file is there, or the bucket does not take it.
    """
    owner, _ = cloud.owner()
    _ensure_there(input_path(owner, image.file_name), image.data, cloud)


def download_input(record: Record, values: Mapping[str, Any], cloud: Cloud) -> bytes:
    """Return the bytes of an input of a picture, as the cloud has them.

    `values`: one of `Record.inputs`. Raises `CloudError` if there is none, it cannot be
    read, or it is another file.
    """
    owner = record.owner_user_id or cloud.owner()[0]
    path = input_path(owner, values["file"])
    size = values.get("bytes")
    known = size if isinstance(size, int) and size >= 0 else None
    return download_picture(
        cloud, CloudPicture(str(record.id), path, str(values.get("sha256")), known)
    )


def _known_inputs(record: Record) -> Iterable[Mapping[str, Any]]:
    try:
        return recorded_inputs(record).values()
    except BackendError:  # a record of a stranger that names what is no input
        return ()


def _load_recorded(entry: CatalogEntry, values: Mapping[str, Any]) -> bytes | None:
    try:
        data = (entry.path.parent / str(values["file"])).read_bytes()
    except OSError:
        return None
    same = hashlib.sha256(data).hexdigest() == values.get("sha256")
    return data if same else None


def _ensure_there(path: str, data: bytes, cloud: Cloud) -> None:
    if _is_there(path, data, cloud):
        return
    with suppress(ObjectExistsError):  # by another sender
        cloud.upload(path, data)
    if not _is_there(path, data, cloud):
        raise RejectedError(f"at {path} is another file than the one recorded")


def _is_there(path: str, data: bytes, cloud: Cloud) -> bool:
    stored = cloud.object_info(path)
    return stored is not None and is_same_file(stored, data)


def fetch_input(cloud: Cloud, sha256: str) -> bytes:
    """Return the input with this sha256 in the owner's folder, as the cloud has it.

    Raises `ObjectMissingError` if there is none, and other `CloudError`s if it cannot
    be read or is another file.
    """
    owner, _ = cloud.owner()
    paths = [input_path(owner, f"{sha256}.{kind}") for kind in IMAGE_SUFFIXES.values()]
    for path, url in cloud.signed_urls(paths).items():
        if url is not None:
            return download_picture(cloud, CloudPicture(sha256, path, sha256), url)
    raise ObjectMissingError(f"there is no input image with the sha256 {sha256}")
