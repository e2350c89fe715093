"""Pictures that are only in the cloud, kept here once they were looked at."""

from __future__ import annotations

import functools
import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.errors import Missing, Rejected
from imagen_nb.storage.output import slug
from imagen_nb.system.file_cache import FileCache
from imagen_nb.system.paths import cache_folder

LARGEST = 50 * 2**20  # bytes of one picture: what the bucket takes
LIMIT = 2 * 2**30  # bytes of all pictures in the cache


@dataclass(frozen=True, slots=True)
class Wanted:
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
        return LARGEST if self.size is None else min(self.size, LARGEST)

    def check(self, data: bytes) -> None:
        """Raises `Rejected` when these bytes are not the picture."""
        if self.sha256 is not None and hashlib.sha256(data).hexdigest() != self.sha256:
            raise Rejected(
                f"what lies at {self.storage_path} is not the picture of its row: another sha256"
            )


def fetch(cloud: Cloud, wanted: Wanted) -> bytes:
    """The picture's file: from the user's cache, or read from the cloud and kept there.

    Raises `CloudError` when it cannot be read or is another one, `StorageError` when it cannot be
    kept.
    """
    return _cache(cache_folder() / "pictures").fetch(cloud, wanted)


def cached(wanted: Wanted) -> bytes | None:
    """The picture's file if it is in the user's cache, and whole."""
    return _cache(cache_folder() / "pictures").get(wanted)


def read(cloud: Cloud, wanted: Wanted, url: str | None = None) -> bytes:
    """The picture's file as the cloud has it, checked; `url`: signed before. Raises `CloudError`.

    Never more than the row says is read, nor more than `LARGEST` bytes.
    """
    if url is None:
        url = cloud.signed_urls([wanted.storage_path])[wanted.storage_path]
    if url is None:
        raise Missing(
            f"there is no object {wanted.storage_path}, or no right to read it"
        )
    data = cloud.read(url, wanted.largest)
    wanted.check(data)
    return data


class Cache(FileCache):
    """A shelf of pictures. Invariant: only bytes that were checked are on it."""

    def __init__(self, folder: Path, limit: int = LIMIT) -> None:
        """Creates nothing."""
        super().__init__(folder, limit)

    def path(self, wanted: Wanted) -> Path:
        """Where the picture lies, or would.

        A row of the cloud can say anything: it becomes a hash and a slug, so that no `..`, no root
        and no reserved name is left to reach outside the folder. The id is in the hash: two
        projects may have a picture each at one path.
        """
        named = f"{wanted.id}\n{wanted.storage_path}".encode(errors="surrogatepass")
        stem = slug(PurePosixPath(wanted.storage_path).stem)
        return self.folder / f"{stem}-{hashlib.sha256(named).hexdigest()[:16]}.png"

    def get(self, wanted: Wanted) -> bytes | None:
        """The picture, from now on the most recently used; None when it is not there whole."""
        path = self.path(wanted)
        with suppress(OSError, Rejected):
            data = path.read_bytes()
            wanted.check(data)
            with suppress(OSError):  # of another user, or removed meanwhile
                os.utime(path)
            return data
        return None

    def fetch(self, cloud: Cloud, wanted: Wanted) -> bytes:
        """The picture, read from the cloud if it is not there yet."""
        data = self.get(wanted)
        if data is None:
            data = read(cloud, wanted)
            self._put(self.path(wanted), data)
        return data


_cache = functools.cache(Cache)
