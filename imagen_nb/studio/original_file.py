"""The file of a picture that was drawn before: from this machine or from the cloud."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.picture_cache import Wanted, fetch
from imagen_nb.errors import BackendError, CloudError, StorageError
from imagen_nb.studio.lookup import Original

if TYPE_CHECKING:
    from PIL.Image import Image


def has_same_pixels(one: Original, image: Image, cloud: Cloud | None) -> bool | None:
    """Whether these are the original's pixels; None when it cannot be had to compare."""
    before = _load_pixels(one, cloud)
    if before is None:
        return None
    return before.size == image.size and before.tobytes() == image.tobytes()


def load_file(one: Original, cloud: Cloud | None) -> bytes:
    """The original's file. Raises `BackendError` when it is neither here nor in the cloud."""
    for data in _unchanged_files(one, cloud):
        return data
    raise BackendError(
        f"the file of the picture {str(one.record.id)[:8]} is nowhere to be had"
    )


def _load_pixels(one: Original, cloud: Cloud | None) -> Image | None:
    from PIL import Image

    for data in _unchanged_files(one, cloud):
        with suppress(OSError, SyntaxError), Image.open(io.BytesIO(data)) as file:
            return file.convert("RGB")
    return None


def _unchanged_files(one: Original, cloud: Cloud | None) -> Iterator[bytes]:
    """The original's file, from here and from the cloud, as far as it can be had unchanged."""
    for data in _available_files(one, cloud):
        if one.record.sha256 in (None, hashlib.sha256(data).hexdigest()):
            yield data


def _available_files(one: Original, cloud: Cloud | None) -> Iterator[bytes]:
    record = one.record
    if one.path:
        with suppress(OSError):
            yield one.path.read_bytes()
    if cloud and record.storage_path:
        where = Wanted(str(record.id), record.storage_path, record.sha256, record.bytes)
        with suppress(CloudError, StorageError):
            yield fetch(cloud, where)
