"""Pictures as a browser gets them: thumbnails, made once and kept, and large ones within bounds."""

from __future__ import annotations

import functools
import hashlib
import os
from contextlib import suppress
from pathlib import Path

from imagen_nb.cloud.client import Cloud
from imagen_nb.errors import ImagenError, StorageError
from imagen_nb.frames.pictures.locate import Place, content, decoded
from imagen_nb.system.file_cache import Shelf
from imagen_nb.system.paths import cache_folder
from imagen_nb.system.thumbnails import webp

MAX_ENLARGED_BYTES = 1_000_000  # bytes of an enlarged picture
_MAX_ENLARGED_SIDE = 2048  # pixels of one
_MAX_CACHE_BYTES = 256 * 2**20  # bytes of all thumbnails: some 30,000


def thumbnail(place: Place, cloud: Cloud | None) -> bytes:
    """The picture as WebP of at most 256 pixels a side and 12 kB. Raises what `decoded` does."""
    shelf = _thumbnail_cache(cache_folder() / "thumbnails")
    data = shelf.get(place)
    if data is None:
        data = webp(decoded(place, cloud))
        with suppress(StorageError):  # a full disk: it is made again the next time
            shelf.put(place, data)
    return data


def thumbnail_or_error(place: Place, cloud: Cloud | None) -> bytes | ImagenError:
    """The thumbnail, or why there is none."""
    try:
        return thumbnail(place, cloud)
    except ImagenError as error:
        return error


def cached_thumbnail(place: Place) -> bytes | None:
    """The thumbnail if it was made before."""
    return _thumbnail_cache(cache_folder() / "thumbnails").get(place)


def enlarged_picture(place: Place, cloud: Cloud | None) -> bytes:
    """The picture's own file if that is light enough, else WebP. Raises what `decoded` does."""
    image = decoded(place, cloud)
    if image.format in ("PNG", "WEBP", "JPEG"):
        data = content(place, cloud)
        if len(data) <= MAX_ENLARGED_BYTES:
            return data
    return webp(image, _MAX_ENLARGED_SIDE, MAX_ENLARGED_BYTES)


class _ThumbnailCache(Shelf):
    """A shelf of thumbnails."""

    def get(self, place: Place) -> bytes | None:
        path = self._path(place)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        with suppress(OSError):  # of another user, or removed meanwhile
            os.utime(path)
        return data or None

    def put(self, place: Place, data: bytes) -> None:
        self._put(self._path(place), data)

    def _path(self, place: Place) -> Path:
        """By a hash of the picture's id and where its bytes are, as rows can say anything.

        Not of its sha256, which some frames have, and of others only the cloud knows.
        """
        parts = [
            place.wanted.id,
            place.wanted.storage_path,
            *_file_version(place.local),
        ]
        named = "\n".join(parts).encode(errors="surrogatepass")
        return self.folder / f"{hashlib.sha256(named).hexdigest()[:32]}.webp"


def _file_version(path: Path | None) -> list[str]:
    """What changes when a file on this machine does."""
    with suppress(OSError):
        if path:
            stat = path.stat()
            return [str(path), str(stat.st_mtime_ns), str(stat.st_size)]
    return []


_thumbnail_cache = functools.cache(
    lambda folder: _ThumbnailCache(folder, _MAX_CACHE_BYTES)
)
