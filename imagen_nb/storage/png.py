"""PNG files of pictures: their metadata, and reading them back."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from imagen_nb.errors import StorageError
from imagen_nb.storage.record import Record
from imagen_nb.storage.webui_text import webui_text
from imagen_nb.system.thumbnails import image_read_errors

_SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype"
_MADE_BY_MODEL_XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 Iptc4xmpExt:DigitalSourceType=
"%s"/>
</rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CREDENTIALS_CHUNK = b"caBX"
MAX_FILE_PIXELS = 64_000_000  # more than any model draws: 256 MB in memory
MAX_FILE_BYTES = 4 * MAX_FILE_PIXELS


class NoRecordError(StorageError):
    """The PNG is whole, and was not drawn by imagen_nb."""


def encode_png(image: Image.Image, record: Record) -> bytes:
    """Return the PNG file, with the record and "made by a model" in its metadata.

    See `png_texts` for the text chunks; the mark is IPTC's DigitalSourceType in XMP.
    """
    info = PngInfo()
    for keyword, text in png_texts(record).items():
        info.add_text(keyword, text)
    info.add_itxt("XML:com.adobe.xmp", _MADE_BY_MODEL_XMP % digital_source_type(record))
    buffer = BytesIO()
    # Run-length matching at level 1 is faster and smaller on pictures than the default.
    image.save(buffer, "PNG", compress_level=1, compress_type=zlib.Z_RLE, pnginfo=info)
    return buffer.getvalue()


def png_texts(record: Record) -> dict[str, str]:
    """Return the text chunks of a picture's PNG, by keyword.

    `parameters` is what other tools read, `imagen_nb` the whole record, which we read.
    """
    return {"parameters": webui_text(record), "imagen_nb": record.to_png_chunk()}


def digital_source_type(record: Record) -> str:
    """Return IPTC's address for how the picture came about.

    Made by a model; or, where a mask kept a part of another image, composed with such.
    """
    composed = any(one.get("name") == "mask" for one in record.inputs)
    kind = (
        "compositeWithTrainedAlgorithmicMedia"
        if composed
        else "trainedAlgorithmicMedia"
    )
    return f"{_SOURCE_TYPES}/{kind}"


def has_credentials(png: bytes) -> bool:
    """Return whether a PNG has a chunk with content credentials, good or not."""
    return any(kind == _CREDENTIALS_CHUNK for kind, _, _ in png_chunks(png))


def png_chunks(png: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield each chunk's kind, and where it begins and ends.

    As their lengths say, which nothing checks: the end may be beyond that of the file.
    """
    start = len(PNG_SIGNATURE)
    while start + 8 <= len(png):
        size = int.from_bytes(png[start : start + 4], "big")
        end = start + 12 + size  # length, kind and checksum have 4 bytes each
        yield png[start + 4 : start + 8], start, end
        start = end


def read_png(path: Path) -> tuple[bytes, str]:
    """Return the bytes of a whole PNG, and the JSON text of the record in it.

    Raises `StorageError` if the file is missing or torn, and `NoRecordError` if it was
    not drawn by imagen_nb.
    """
    try:
        _require_size(path)
        with Image.open(path, formats=["PNG"]) as image:
            image.load()
            text = image.info.get("imagen_nb")
        data = path.read_bytes()  # when the pixels are gone: memory for one of the two
    except image_read_errors() as error:
        reason = getattr(error, "strerror", None) or "it is torn, or no PNG"
        raise StorageError(f"cannot read the picture {path}: {reason}") from error
    if not isinstance(text, str):
        raise NoRecordError(
            f"no record of imagen_nb in {path}: another program made it"
        )
    return data, text


def _require_size(path: Path) -> None:
    """Raise ValueError for a file that no memory may hold, by what its header says."""
    with path.open("rb") as file:
        header, size = file.read(24), os.fstat(file.fileno()).st_size
    width, height = header[16:20], header[20:24]
    pixels = int.from_bytes(width, "big") * int.from_bytes(height, "big")
    if pixels > MAX_FILE_PIXELS or size > MAX_FILE_BYTES:
        raise ValueError("too large")


def has_pixels_of(path: Path, image: Image.Image) -> bool:
    """Return whether the PNG is whole and has the size and pixels of the image."""
    try:
        with Image.open(path, formats=["PNG"]) as saved:
            same_shape = saved.size == image.size and saved.mode == image.mode
            return same_shape and saved.tobytes() == image.tobytes()
    except image_read_errors():
        return False
