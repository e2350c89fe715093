"""The files of pictures that are only in the cloud, kept here once they were read."""

from __future__ import annotations

import functools
import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.errors import ObjectMissingError, RejectedError
from imagen_nb.storage.names import slug
from imagen_nb.system.file_cache import FileCache
from imagen_nb.system.paths import cache_folder

MAX_PICTURE_BYTES = 50 * 2**20  # what the bucket takes
CACHE_LIMIT_BYTES = 2 * 2**30  # of all pictures in the cache


@dataclass(frozen=True, slots=True)
class CloudPicture:
    """A picture in the cloud, as its row describes it.

    `sha256` (hexadecimal) and `size` (bytes) are None if the record does not tell them.
    """

    id: str
    storage_path: str
    sha256: str | None = None
    size: int | None = None

    @property
    def max_bytes(self) -> int:
        """How many bytes may come, at most."""
        if self.size is None:
            return MAX_PICTURE_BYTES
        return min(self.size, MAX_PICTURE_BYTES)

    def require_match(self, data: bytes) -> None:
        """Raise RejectedError if these bytes are not the picture."""
        if self.sha256 is None or hashlib.sha256(data).hexdigest() == self.sha256:
            return
        raise RejectedError(
            f"what lies at {self.storage_path} is not the picture of its row: "
            "another sha256"
        )


def fetch_picture(cloud: Cloud, picture: CloudPicture) -> bytes:
    """Return the picture's file: from the user's cache, or from the cloud and cached.

    Raise CloudError if it cannot be read or is another one, StorageError if it cannot
    be written to the cache.
    """
    return _picture_cache_in(cache_folder() / "pictures").fetch(cloud, picture)


def cached_picture(picture: CloudPicture) -> bytes | None:
    """Return the picture's file if it is in the user's cache, and whole."""
    return _picture_cache_in(cache_folder() / "pictures").get(picture)


def download_picture(
    cloud: Cloud, picture: CloudPicture, url: str | None = None
) -> bytes:
    """Return the picture's file as the cloud has it. Raise CloudError if it is another.

    `url`: the signed one, if it was asked for before. Never more is read than the row
    says, nor more than `MAX_PICTURE_BYTES`.
    """
    path = picture.storage_path
    if url is None:
        url = cloud.signed_urls([path])[path]
    if url is None:
        raise ObjectMissingError(f"there is no object {path}, or no right to read it")
    data = cloud.read(url, picture.max_bytes)
    picture.require_match(data)
    return data


class PictureCache(FileCache):
    """A folder of pictures. Invariant: only bytes that were checked are in it."""

    def __init__(self, folder: Path, limit: int = CACHE_LIMIT_BYTES) -> None:
        """Create nothing yet. `limit`: bytes of all pictures together."""
        super().__init__(folder, limit)

    def path(self, picture: CloudPicture) -> Path:
        """Return where the picture lies, or would.

        A row of the cloud can say anything: it becomes a hash and a slug, so that no
        `..`, no root and no reserved name is left to reach outside the folder. The id
        is in the hash: two projects may have a picture each at one path.
        """
        key = f"{picture.id}\n{picture.storage_path}".encode(errors="surrogatepass")
        stem = slug(PurePosixPath(picture.storage_path).stem)
        return self.folder / f"{stem}-{hashlib.sha256(key).hexdigest()[:16]}.png"

    def get(self, picture: CloudPicture) -> bytes | None:
        """Return the picture, now the most recently used; None if it is not whole."""
        path = self.path(picture)
        with suppress(OSError, RejectedError):
            data = path.read_bytes()
            picture.require_match(data)
            with suppress(OSError):  # of another user, or removed meanwhile
                os.utime(path)
            return data
        return None

    def fetch(self, cloud: Cloud, picture: CloudPicture) -> bytes:
        """Return the picture, read from the cloud if it is not there yet."""
        data = self.get(picture)
        if data is None:
            data = download_picture(cloud, picture)
            self._put(self.path(picture), data)
        return data


_picture_cache_in = functools.cache(PictureCache)
