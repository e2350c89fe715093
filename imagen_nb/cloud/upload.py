"""Uploads one picture to a path that it has claimed, and checks what is there then."""

from __future__ import annotations

import hashlib

from imagen_nb.cloud.claims import ClaimedPath, claim_paths
from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.errors import (
    ObjectExistsError,
    RejectedError,
    TooSlowError,
    decoding,
)
from imagen_nb.cloud.objects import StoredObject
from imagen_nb.errors import StorageError
from imagen_nb.storage.catalog import CatalogEntry
from imagen_nb.storage.outbox import Lease


def upload_picture(
    entry: CatalogEntry, claimed: ClaimedPath | None, cloud: Cloud, lease: Lease
) -> CatalogEntry:
    """Upload the picture and check its size and hash; return its entry as it is then.

    The path is noted in the sidecar before the upload. An object that is another file,
    as those from before there were claims may be, is never overwritten: the next number
    is claimed. Except where this picture's row, and no other, names the path: then
    somebody replaced its copy.

    Raises:
        RejectedError, StorageError: this picture cannot go up.
        TooSlowError: not now; others may.
    """
    png = load_png(entry)
    owner, _ = cloud.owner()
    while claimed:
        assigned = lease.assign(entry, owner, claimed.path)
        if _upload_to(claimed, png, cloud) or _restore_copy(assigned, png, cloud):
            return assigned
        following = claim_paths([entry], cloud, first=claimed.number + 1)
        claimed = following.get(str(entry.record.id))
    raise RejectedError(
        f"{entry.record.storage_path} and its numbered names are taken by other"
        " pictures"
    )


def _upload_to(claimed: ClaimedPath, png: bytes, cloud: Cloud) -> bool:
    """Upload; whether this very file is at the path afterwards."""
    path = claimed.path
    if not claimed.is_new:  # perhaps it went up, before a crash or a torn connection
        stored = cloud.object_info(path)
        if stored:
            return is_same_file(stored, png)
    refused: RejectedError | TooSlowError | None = None
    try:
        cloud.upload(path, png)
    except (ObjectExistsError, TooSlowError) as error:
        refused = error
    stored = cloud.object_info(path)
    if stored:
        return is_same_file(stored, png)
    if isinstance(refused, TooSlowError):
        raise refused
    if refused:
        return False  # it is there, and another user's
    raise RejectedError(
        f"{path} was uploaded, but cannot be seen: run `imagen db migrate`"
    )


def _restore_copy(entry: CatalogEntry, png: bytes, cloud: Cloud) -> bool:
    """Replace the object at the entry's path if it was this picture's copy.

    It was if a row says so, and no other row names the path. Return whether it was.
    """
    path = entry.record.storage_path or ""
    columns = "id,sha256:sidecar->>sha256"
    rows = cloud.rows([("storage_path", f"eq.{path}"), ("limit", "2")], columns)
    with decoding():
        recorded = [(row["id"], row["sha256"]) for row in rows]
    if recorded != [(str(entry.record.id), entry.record.sha256)]:
        return False
    cloud.replace(path, png)
    stored = cloud.object_info(path)
    return stored is not None and is_same_file(stored, png)


def is_same_file(stored: StoredObject, png: bytes) -> bool:
    """Return whether an object is this file: by its size, and its hash if known."""
    if stored.size != len(png):
        return False
    return stored.md5 in (None, hashlib.md5(png, usedforsecurity=False).hexdigest())


def load_png(entry: CatalogEntry) -> bytes:
    """Return the bytes of the file.

    Raise StorageError if they are not those recorded.
    """
    try:
        png = entry.path.read_bytes()
    except OSError as error:
        raise StorageError(f"cannot read {entry.path.name}: {error.strerror}") from None
    if hashlib.sha256(png).hexdigest() != entry.record.sha256:
        raise StorageError(
            f"{entry.path.name} was changed since it was drawn: "
            "its sidecar tells of another file"
        )
    return png
