"""The texts in a picture's file: PNG chunks, comments of JPEG, EXIF of all formats."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from imagen_nb.storage.other_programs.foreign_metadata import storable
from imagen_nb.system.thumbnails import image_read_errors

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_LOADED_PIXELS = 40_000_000  # more than programs draw: 160 MB in memory
_EXIF_NAMES = ("exif", "Raw profile type exif")  # in Pillow's info; of ImageMagick
_EXIF_IFD = 0x8769  # the tags of the camera, UserComment among them
_EXIF_TAGS = {
    0x010E: "ImageDescription",
    0x010F: "Make",
    0x0110: "Model",
    0x0131: "Software",
    0x9286: "UserComment",
    0x927C: "MakerNote",
    0x9C9C: "XPComment",
}
_BINARY_TAGS = ("MakerNote",)  # of cameras, unless Pillow says that it is text
_CHARSET = re.compile(rb"(UNICODE|ASCII|JIS|unicode|ascii)\0{1,3}|\0{8}")
_CHARSET_BYTES = 8  # EXIF 2.3: what a UserComment begins with
_PROBE_CHARS = 4096


def load_texts(image: Image) -> dict[str, str]:
    """Return the texts that are known without the pixels, by chunk or `exif:` and tag."""
    return _storable_texts(_info_texts(image)) | _exif_texts(image)


def load_late_texts(image: Image) -> dict[str, str]:
    """Return a PNG's texts, also those after the pixels, which are loaded.

    Empty where nothing more can be read, or the picture is too large.
    """
    if image.format != "PNG" or image.width * image.height > MAX_LOADED_PIXELS:
        return {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            texts: Mapping[str, str] = image.text  # type: ignore[attr-defined]
    except image_read_errors():
        return {}
    except AssertionError:  # Pillow's own, of damaged chunks
        return {}
    return _storable_texts(texts or {}) | _exif_texts(image)


def _storable_texts(texts: Mapping[str, str]) -> dict[str, str]:
    return {storable(key): storable(str(text)) for key, text in texts.items()}


def _info_texts(image: Image) -> dict[str, str]:
    info = dict(image.info)
    comment = info.get("comment")
    if isinstance(comment, bytes):
        info["comment"] = _decoded(comment)
    return {
        key: value
        for key, value in info.items()
        if isinstance(key, str) and isinstance(value, str)
    }


def _exif_texts(image: Image) -> dict[str, str]:
    """Return the texts of both directories: Fooocus writes UserComment into the first.

    A PNG without EXIF is not asked for it, as Pillow would load the pixels to be sure.
    """
    if not any(name in image.info for name in _EXIF_NAMES):
        return {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exif = image.getexif()
            directories: list[Mapping[int, Any]] = [exif, exif.get_ifd(_EXIF_IFD)]
            return _texts_of_tags(directories, exif.endian or ">")
    except image_read_errors():
        return {}


def _texts_of_tags(
    directories: list[Mapping[int, Any]], byte_order: str
) -> dict[str, str]:
    texts = {}
    for tag, name in _EXIF_TAGS.items():
        for directory in directories:
            value = directory.get(tag)
            if isinstance(value, bytes) and name not in _BINARY_TAGS:
                value = exif_text(value, byte_order)
            if isinstance(value, str) and value:
                texts[f"exif:{name}"] = storable(value)
    return texts


def exif_text(data: bytes, byte_order: str) -> str:
    """Return the text of a tag, whose first 8 bytes may name its characters.

    Args:
        data: the tag's value.
        byte_order: "<" or ">", of the whole EXIF; UTF-16 of some programs has the other.
    """
    named = _CHARSET.match(data)
    kind, body = (named[0], data[_CHARSET_BYTES:]) if named else (b"", data)
    if kind.upper().startswith(b"UNICODE"):
        text = _decoded_utf16(body, byte_order)
    elif kind.startswith(b"JIS"):
        text = body.decode("shift_jis", "replace")
    elif not kind and b"\0" in body.rstrip(b"\0"):  # XPComment, or a bare UTF-16
        text = _decoded_utf16(body, "<")
    else:
        text = _decoded(body)
    return text.strip("\0\ufeff")


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _decoded_utf16(data: bytes, byte_order: str) -> str:
    """Decode in the order that gives more of ASCII: every metadata has words of it."""
    orders = (
        ("utf-16-le", "utf-16-be") if byte_order == "<" else ("utf-16-be", "utf-16-le")
    )
    texts = [data.decode(order, "replace") for order in orders]
    return max(
        texts, key=lambda text: len(text[:_PROBE_CHARS].encode("ascii", "ignore"))
    )
