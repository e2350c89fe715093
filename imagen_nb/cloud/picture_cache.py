"""Pictures that are only in the cloud, kept here once they were looked at."""

from __future__ import annotations

import functools
import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.errors import ObjectMissingError, RejectedError
from imagen_nb.storage.output import slug
from imagen_nb.system.file_cache import Shelf
from imagen_nb.system.paths import cache_folder

MAX_PICTURE_BYTES = 50 * 2**20  # bytes of one picture: what the bucket takes
CACHE_LIMIT_BYTES = 2 * 2**30  # bytes of all pictures in the cache


@dataclass(frozen=True, slots=True)
class CloudPicture:
    """A picture of the cloud as its row describes it.

    `sha256` (hexadecimal) and `size` (bytes) are None where the record does not tell them.
    """

    id: str
    storage_path: str
    sha256: str | None = None
    size: int | None = None

    @property
    def largest(self) -> int:
        """How many bytes may come, at most."""
        return (
            MAX_PICTURE_BYTES
            if self.size is None
            else min(self.size, MAX_PICTURE_BYTES)
        )

    def check(self, data: bytes) -> None:
        """Raises `Rejected` when these bytes are not the picture."""
        if self.sha256 is not None and hashlib.sha256(data).hexdigest() != self.sha256:
            raise RejectedError(
                f"what lies at {self.storage_path} is not the picture of its row: another sha256"
            )


def fetch_picture(cloud: Cloud, wanted: CloudPicture) -> bytes:
    """The picture's file: from the user's cache, or read from the cloud and kept there.

    Raises `CloudError` when it cannot be read or is another one, `StorageError` when it cannot be
    kept.
    """
    return _picture_cache_in(cache_folder() / "pictures").fetch(cloud, wanted)


def cached_picture(wanted: CloudPicture) -> bytes | None:
    """The picture's file if it is in the user's cache, and whole."""
    return _picture_cache_in(cache_folder() / "pictures").get(wanted)


def download_picture(
    cloud: Cloud, wanted: CloudPicture, url: str | None = None
) -> bytes:
    """The picture's file as the cloud has it, checked; `url`: signed before. Raises `CloudError`.

    Never more than the row says is read, nor more than `LARGEST` bytes.
    """
    if url is None:
        url = cloud.signed_urls([wanted.storage_path])[wanted.storage_path]
    if url is None:
        raise ObjectMissingError(
            f"there is no object {wanted.storage_path}, or no right to read it"
        )
    data = cloud.read(url, wanted.largest)
    wanted.check(data)
    return data


class PictureCache(Shelf):
    """A shelf of pictures. Invariant: only bytes that were checked are on it."""

    def __init__(self, folder: Path, limit: int = CACHE_LIMIT_BYTES) -> None:
        """Creates nothing."""
        super().__init__(folder, limit)

    def path(self, wanted: CloudPicture) -> Path:
        """Where the picture lies, or would.

        A row of the cloud can say anything: it becomes a hash and a slug, so that no `..`, no root
        and no reserved name is left to reach outside the folder. The id is in the hash: two
        projects may have a picture each at one path.
        """
        named = f"{wanted.id}\n{wanted.storage_path}".encode(errors="surrogatepass")
        stem = slug(PurePosixPath(wanted.storage_path).stem)
        return self.folder / f"{stem}-{hashlib.sha256(named).hexdigest()[:16]}.png"

    def get(self, wanted: CloudPicture) -> bytes | None:
        """The picture, from now on the most recently used; None when it is not there whole."""
        path = self.path(wanted)
        with suppress(OSError, RejectedError):
            data = path.read_bytes()
            wanted.check(data)
            with suppress(OSError):  # of another user, or removed meanwhile
                os.utime(path)
            return data
        return None

    def fetch(self, cloud: Cloud, wanted: CloudPicture) -> bytes:
        """The picture, read from the cloud if it is not there yet."""
        data = self.get(wanted)
        if data is None:
            data = download_picture(cloud, wanted)
            self._put(self.path(wanted), data)
        return data


_picture_cache_in = functools.cache(PictureCache)
