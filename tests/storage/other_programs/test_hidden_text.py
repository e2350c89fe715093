"""Text in the lowest bits of a picture is found, and pictures without are left alone."""

from __future__ import annotations

import gzip
from io import BytesIO

import pytest
from PIL import Image

from imagen_nb.storage.other_programs.hidden_text import load_hidden_text
from tests.fixtures.other_programs.sample import picture, with_hidden_text

HIDINGS = ("stealth_pnginfo", "stealth_pngcomp", "stealth_rgbinfo", "stealth_rgbcomp")


def saved(image: Image.Image, form: str = "PNG") -> Image.Image:
    buffer = BytesIO()
    image.save(buffer, form, lossless=True)
    return Image.open(BytesIO(buffer.getvalue()))


@pytest.mark.parametrize("hiding", HIDINGS)
@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_each_way_of_hiding_is_read(hiding: str, form: str) -> None:
    image = saved(picture("ein größeres Boot", hiding), form)
    assert load_hidden_text(image) == "ein größeres Boot"


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "I;16"])
def test_a_picture_that_hides_nothing_says_nothing(mode: str) -> None:
    image = Image.new("L", (40, 30), 200).convert("RGB")
    image = Image.new(mode, (40, 30)) if mode == "I;16" else image.convert(mode)
    assert load_hidden_text(saved(image)) is None


def test_a_jpeg_is_not_looked_through() -> None:
    buffer = BytesIO()
    picture("a boat", "stealth_rgbinfo").save(buffer, "JPEG")
    assert load_hidden_text(Image.open(BytesIO(buffer.getvalue()))) is None


def test_a_length_beyond_the_picture_gives_what_is_there() -> None:
    image = with_hidden_text(picture(), "x" * 200, "stealth_pnginfo").crop((0, 0, 20, 48))
    text = load_hidden_text(saved(image))
    assert text is not None
    assert text.startswith("x")


def test_a_packed_text_that_is_torn_or_none_is_no_text() -> None:
    image = picture("a boat", "stealth_pngcomp")
    pixels = image.load()
    assert pixels is not None
    for y in range(48):
        for x in range(4, 8):
            pixels[x, y] = (*pixels[x, y][:3], 255)
    assert load_hidden_text(saved(image)) is None


def test_a_text_that_unpacks_without_end_is_cut() -> None:
    packed = gzip.compress(b"x" * 20_000_000)
    assert len(packed) < 30_000
    image = Image.new("RGB", (700, 400))
    text = load_hidden_text(saved(_with_bytes(image, packed)))
    assert text is not None
    assert len(text) <= 5_000_000


def _with_bytes(image: Image.Image, packed: bytes) -> Image.Image:
    import numpy as np

    whole = b"stealth_pngcomp" + (len(packed) * 8).to_bytes(4, "big") + packed
    bits = np.unpackbits(np.frombuffer(whole, np.uint8))
    alpha = np.full(image.width * image.height, 254, np.uint8)
    alpha[: len(bits)] |= bits
    columns = Image.fromarray(np.ascontiguousarray(alpha.reshape(image.width, image.height).T))
    hiding = image.convert("RGBA")
    hiding.putalpha(columns)
    return hiding
