"""Text in the lowest bits of a picture's pixels, as NovelAI and webui extensions hide it.

Column by column: a signature, the number of bits (32, big-endian), then the text, in
UTF-8 or gzip. NovelAI writes it into the alpha channel, so that it survives services
that drop chunks; others into red, green and blue.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from imagen_nb.storage.other_programs.foreign_metadata import MAX_JSON_CHARS, storable
from imagen_nb.storage.other_programs.image_texts import MAX_LOADED_PIXELS
from imagen_nb.system.thumbnails import image_read_errors

if TYPE_CHECKING:
    from PIL.Image import Image


class _Hiding(NamedTuple):
    channels: str
    packed: bool


_HIDINGS = {
    b"stealth_pnginfo": _Hiding("A", False),
    b"stealth_pngcomp": _Hiding("A", True),
    b"stealth_rgbinfo": _Hiding("RGB", False),
    b"stealth_rgbcomp": _Hiding("RGB", True),
}
_SIGNATURE_BYTES = 15
_LENGTH_BYTES = 4
_MAX_HIDDEN_BYTES = 1_000_000  # eight times as many pixels are looked at
_LOSSLESS = ("PNG", "WEBP")
_GZIP = 16 + zlib.MAX_WBITS


def load_hidden_text(image: Image) -> str | None:
    """Return the text that is hidden in the pixels, which are loaded; None for none."""
    pixels = image.width * image.height
    if image.format not in _LOSSLESS or not 0 < pixels <= MAX_LOADED_PIXELS:
        return None
    try:
        for channels in ("A", "RGB"):
            if set(channels) <= set(image.getbands()):
                text = _hidden_in(image, channels)
                if text is not None:
                    return storable(text)
    except image_read_errors():
        return None
    return None


def _hidden_in(image: Image, channels: str) -> str | None:
    begin = _SIGNATURE_BYTES + _LENGTH_BYTES
    head = _lowest_bits(image, channels, begin)
    hiding = _HIDINGS.get(head[:_SIGNATURE_BYTES])
    if hiding is None or hiding.channels != channels:
        return None
    length = int.from_bytes(head[_SIGNATURE_BYTES:], "big") // 8
    if length > _MAX_HIDDEN_BYTES:
        return None
    data = _lowest_bits(image, channels, begin + length)[begin:]
    if hiding.packed:
        data = zlib.decompressobj(_GZIP).decompress(data, MAX_JSON_CHARS)
    return data.decode("utf-8", "replace")


def _lowest_bits(image: Image, channels: Sequence[str], size: int) -> bytes:
    """Return so many bytes, or fewer, out of as few columns as hold them."""
    import numpy as np

    a_column = image.height * len(channels)
    columns = min(image.width, -(-size * 8 // a_column))
    part = image.crop((0, 0, columns, image.height))
    bands = [np.asarray(part.getchannel(channel)) for channel in channels]
    bits = (
        np.stack(bands, axis=-1).swapaxes(0, 1).ravel() & 1
    )  # (columns, height, bands)
    return np.packbits(bits[: size * 8]).tobytes()
