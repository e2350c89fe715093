"""Pictures as a browser gets them: thumbnails, made once and kept, and large ones."""

from __future__ import annotations

import functools
import hashlib
import os
from contextlib import suppress
from pathlib import Path

from imagen_nb.cloud.client import Cloud
from imagen_nb.errors import ImagenError, StorageError
from imagen_nb.frames.pictures.locate import (
    PictureLocation,
    load_image,
    load_picture_file,
)
from imagen_nb.system.file_cache import FileCache
from imagen_nb.system.paths import cache_folder
from imagen_nb.system.thumbnails import THUMBNAIL_PIXELS, encode_webp

MAX_ENLARGED_BYTES = 1_000_000
_MAX_LARGE_SIDE = 2048  # pixels
_MAX_CACHE_BYTES = 256 * 2**20  # of all thumbnails: some 30,000


def thumbnail(
    place: PictureLocation, cloud: Cloud | None, side: int = THUMBNAIL_PIXELS
) -> bytes:
    """Return the picture as WebP, by default of 256 pixels a side and 12 kB at most.

    `side` is that of the longer side; a larger one may have as many bytes for each of
    its pixels. It is made once and kept in the user's cache. Raises what `decoded` does.
    """
    cache = _thumbnail_cache(cache_folder() / "thumbnails")
    data = cache.get(place, side)
    if data is None:
        data = encode_webp(load_image(place, cloud), side)
        with suppress(StorageError):  # a full disk: it is made again the next time
            cache.put(place, side, data)
    return data


def thumbnail_or_error(
    place: PictureLocation, cloud: Cloud | None, side: int = THUMBNAIL_PIXELS
) -> bytes | ImagenError:
    """Return the thumbnail, or why there is none."""
    try:
        return thumbnail(place, cloud, side)
    except ImagenError as error:
        return error


def cached_thumbnail(place: PictureLocation) -> bytes | None:
    """Return the thumbnail if it was made before."""
    cache = _thumbnail_cache(cache_folder() / "thumbnails")
    return cache.get(place, THUMBNAIL_PIXELS)


def enlarged_picture(place: PictureLocation, cloud: Cloud | None) -> bytes:
    """Return the picture's own file if a browser can have it as it is, else WebP.

    At most `MAX_ENLARGED_BYTES`. Raises what `decoded` does.
    """
    image = load_image(place, cloud)
    if image.format in ("PNG", "WEBP", "JPEG"):
        data = load_picture_file(place, cloud)
        if len(data) <= MAX_ENLARGED_BYTES:
            return data
    return encode_webp(image, _MAX_LARGE_SIDE, MAX_ENLARGED_BYTES)


class _ThumbnailCache(FileCache):
    """Thumbnails by their pictures, the least recently used of which go first."""

    def get(self, place: PictureLocation, side: int) -> bytes | None:
        path = self._path(place, side)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        with suppress(OSError):  # of another user, or removed meanwhile
            os.utime(path)
        return data or None

    def put(self, place: PictureLocation, side: int, data: bytes) -> None:
        self._put(self._path(place, side), data)

    def _path(self, place: PictureLocation, side: int) -> Path:
        """By a hash of the picture's id and where its bytes are: rows can say anything.

        Not of its sha256, which some frames have, and of others only the cloud knows.
        """
        picture = place.picture
        parts = [picture.id, picture.storage_path, *_file_version(place.local)]
        if side != THUMBNAIL_PIXELS:
            parts.append(f"{side} pixels")
        key = "\n".join(parts).encode(errors="surrogatepass")
        return self.folder / f"{hashlib.sha256(key).hexdigest()[:32]}.webp"


def _file_version(path: Path | None) -> list[str]:
    """Return what changes when a file on this machine does; nothing without a file."""
    with suppress(OSError):
        if path:
            stat = path.stat()
            return [str(path), str(stat.st_mtime_ns), str(stat.st_size)]
    return []


@functools.cache
def _thumbnail_cache(folder: Path) -> _ThumbnailCache:
    return _ThumbnailCache(folder, _MAX_CACHE_BYTES)
