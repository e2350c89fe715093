"""Picture files of other programs: whether one is whole, and of a kind that is taken."""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

from imagen_nb.errors import StorageError
from imagen_nb.storage.media_types import SUFFIXES, media_type_of
from imagen_nb.storage.other_programs.foreign_metadata import ForeignMetadata
from imagen_nb.storage.other_programs.reading import read_metadata
from imagen_nb.storage.png import (
    MAX_FILE_BYTES,
    MAX_FILE_PIXELS,
    PNG_SIGNATURE,
    png_chunks,
)
from imagen_nb.system.thumbnails import image_read_errors

NOT_TAKEN = "no PNG, JPEG or WebP"
_JPEG_END = b"\xff\xd9"
_JPEG_TRAILER_BYTES = 65536  # what programs put behind the end: a preview, padding
_WEBP_ANIMATED = 0x02  # flag of the chunk VP8X
_TEXT_CHUNKS = (b"tEXt", b"zTXt", b"iTXt", b"eXIf")
_NO_CHUNK_MORE = b"\0\0\0\0"


class NotAdoptableError(StorageError):
    """The file is no picture that can be adopted; the message says why, in short."""


@dataclass(frozen=True, slots=True)
class ForeignFile:
    """A whole picture of another program, as it was read.

    `modified_ns`: nanoseconds since 1970, of the file. `suffix` follows from what is in
    it, whatever its name is. `width` and `height` are pixels.
    """

    path: Path
    sha256: str
    bytes: int
    modified_ns: int
    suffix: str
    width: int
    height: int
    metadata: ForeignMetadata


def read_foreign_file(path: Path) -> ForeignFile:
    """Read a file of another program: its bytes once, its pixels not at all.

    Raises:
        NotAdoptableError: if it is no picture, is torn, animated, enormous or of
            another kind than PNG, JPEG and WebP, or cannot be read.
    """
    try:
        data, status = _load_bytes(path)
        suffix, light = _suffix_and_light_form(data)
        with Image.open(BytesIO(data), formats=["PNG", "JPEG", "WEBP"]) as image:
            width, height = image.size
            if width * height > MAX_FILE_PIXELS:
                raise NotAdoptableError(f"too large: {width}×{height} pixels")
            metadata = _read_metadata(image, light, path)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise NotAdoptableError("too large: very many pixels") from error
    except image_read_errors() as error:
        reason = getattr(error, "strerror", None) or "torn, or no picture"
        raise NotAdoptableError(reason) from error
    return ForeignFile(
        path,
        hashlib.sha256(data).hexdigest(),
        len(data),
        status.st_mtime_ns,
        suffix,
        width,
        height,
        metadata,
    )


def _load_bytes(path: Path) -> tuple[bytes, os.stat_result]:
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        if status.st_size > MAX_FILE_BYTES:
            raise NotAdoptableError(f"too large: {status.st_size} bytes")
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) != status.st_size:
        raise NotAdoptableError("it is being written")
    return data, status


def _read_metadata(
    image: Image.Image, light: bytes | None, path: Path
) -> ForeignMetadata:
    """Read what its program wrote, from the light form of the file if that tells it."""
    if light is not None:
        with Image.open(BytesIO(light), formats=["PNG"]) as without_pixels:
            found = read_metadata(without_pixels, path)
        if found.program != "unknown":
            return found
    return read_metadata(image, path)


def _suffix_and_light_form(data: bytes) -> tuple[str, bytes | None]:
    """Return the suffix of its kind, and of a PNG with text the file without its pixels.

    Raises `NotAdoptableError` for a file that ends too early, or is animated.
    """
    kind, light = media_type_of(data), None
    if kind is None:
        raise NotAdoptableError(NOT_TAKEN if data else "it is empty")
    if kind == "image/png":
        light = _light_png(data)
    elif kind == "image/jpeg":
        _require_whole_jpeg(data)
    else:
        _require_whole_webp(data)
    return SUFFIXES[kind], light


def _light_png(data: bytes) -> bytes | None:
    """Return a whole PNG without its pixels; None if it has no text.

    Text may stand behind the pixels, and Pillow decodes all of them to get there.
    """
    texts, header, last = [], b"", b""
    for kind, start, end in png_chunks(data):
        _require_sound_chunk(data, start, end)
        last = kind
        if kind == b"IHDR":
            header = data[start:end]
        elif kind in _TEXT_CHUNKS:
            texts.append(data[start:end])
        elif kind == b"acTL":
            raise NotAdoptableError("it is animated")
        if kind == b"IEND":
            break
    if not header or last != b"IEND":
        raise NotAdoptableError("torn: it ends too early")
    if not texts:
        return None
    empty = b"".join(
        _NO_CHUNK_MORE + kind + struct.pack(">I", zlib.crc32(kind))
        for kind in (b"IDAT", b"IEND")
    )
    return b"".join((PNG_SIGNATURE, header, *texts, empty))


def _require_sound_chunk(data: bytes, start: int, end: int) -> None:
    """Raise `NotAdoptableError` unless the chunk is whole, and as its checksum says."""
    content = memoryview(data)[start + 4 : end - 4]
    recorded = int.from_bytes(data[end - 4 : end], "big")
    if end > len(data) or zlib.crc32(content) != recorded:
        raise NotAdoptableError("torn: a part of it is damaged or missing")


def _require_whole_jpeg(data: bytes) -> None:
    if _JPEG_END not in data[-_JPEG_TRAILER_BYTES:]:
        raise NotAdoptableError("torn: it ends too early")


def _require_whole_webp(data: bytes) -> None:
    if int.from_bytes(data[4:8], "little") + 8 > len(data):
        raise NotAdoptableError("torn: it ends too early")
    if data[12:16] == b"VP8X" and data[20:21] and data[20] & _WEBP_ANIMATED:
        raise NotAdoptableError("it is animated")
