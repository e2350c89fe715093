"""The texts of a file are found wherever the format has room for them."""

from __future__ import annotations

import warnings
from io import BytesIO

import pytest
from PIL import Image

from imagen_nb.storage.other_programs import image_texts
from imagen_nb.storage.other_programs.image_texts import exif_text, load_late_texts, load_texts
from tests.fixtures.other_programs.sample import exif_of, picture, png_info

WORDS = "Steps: 4, größer 赤い船"


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_is_read_in_whichever_order_it_was_written(order: str, encoding: str) -> None:
    assert exif_text(b"UNICODE\0" + WORDS.encode(encoding), order) == WORDS


def test_utf_16_in_the_order_of_the_file_where_both_would_do() -> None:
    for order, encoding in (("<", "utf-16-le"), (">", "utf-16-be")):
        assert exif_text(b"UNICODE\0" + "赤い船".encode(encoding), order) == "赤い船"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"ASCII\0\0\0a boat\0", "a boat"),
        (b"ASCII\0\0\0" + WORDS.encode(), WORDS),
        (bytes(8) + b"a boat", "a boat"),
        (b"JIS\0\0\0\0\0" + "赤い船".encode("shift_jis"), "赤い船"),
        (b'{"prompt": "a boat"}', '{"prompt": "a boat"}'),
        (WORDS.encode(), WORDS),
        ("größer".encode("latin-1"), "größer"),
        ("a boat".encode("utf-16-le") + b"\0\0", "a boat"),
        (b"UNICODE\0", ""),
        (b"UNICODE\0\0", "\N{REPLACEMENT CHARACTER}"),
        (b"", ""),
    ],
)
def test_a_comment_is_read_as_it_says_or_as_it_seems(data: bytes, text: str) -> None:
    assert exif_text(data, ">") == text


def saved(form: str, **options: object) -> Image.Image:
    buffer = BytesIO()
    picture().save(buffer, form, **options)
    return Image.open(BytesIO(buffer.getvalue()))


def test_a_comment_of_a_jpeg_is_a_text() -> None:
    assert load_texts(saved("JPEG", comment=WORDS.encode()))["comment"] == WORDS


def test_exif_of_a_png_is_read() -> None:
    exif = exif_of({"ImageDescription": "a boat"}, "text")
    assert load_texts(saved("PNG", exif=exif)) == {"exif:ImageDescription": "a boat"}


def test_damaged_exif_is_none() -> None:
    """A JPEG's is read when the file is opened, too, and Pillow warns there."""
    damaged = (b"II*\0\xff\xff\xff\xff", b"", b"MM\0*\0\0\0\x08\0\xff", b"II*\0\x08\0\0\0\x01\0")
    for form in ("JPEG", "WEBP", "PNG"):
        for exif in damaged:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                image = saved(form, exif=b"Exif\0\0" + exif)
            assert load_texts(image) == {}


def test_a_png_with_more_pixels_than_programs_draw_is_not_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(image_texts, "MAX_LOADED_PIXELS", 100)
    image = saved("PNG", pnginfo=png_info({"a": "b"}))
    assert load_late_texts(image) == {}
    assert load_texts(image) == {"a": "b"}
