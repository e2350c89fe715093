"""Images that users give: whatever form they have, they are the bytes of one file."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from imagen_nb.errors import UsageError
from imagen_nb.request.images import MAX_INPUT_PIXELS, InputImage, decode_input, load_input

TURNED = 6  # of EXIF's orientations: the camera was held upright, its file lies on its side
ORIENTATION = 0x0112


def coloured(size: tuple[int, int] = (6, 4), mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def as_array(image: Image.Image) -> np.ndarray:
    return np.asarray(image)


def header_of(width: int, height: int) -> bytes:
    """A PNG that says it is so large, with next to nothing in it."""

    def chunk(name: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum)

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


class TestFiles:
    @pytest.mark.parametrize(
        ("kind", "ending"), [("PNG", "png"), ("JPEG", "jpg"), ("WEBP", "webp")]
    )
    def test_a_file_is_kept_byte_for_byte(self, tmp_path: Path, kind: str, ending: str) -> None:
        data = encoded(coloured(), kind)
        (tmp_path / "given").write_bytes(data)
        found = load_input("init_image", tmp_path / "given")
        digest = hashlib.sha256(data).hexdigest()
        assert found == InputImage(digest, ending, 6, 4, b"")
        assert found.data == data
        assert found.file_name == f"{digest}.{ending}"

    def test_a_path_may_be_text_and_begin_at_home(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        (tmp_path / "boat.png").write_bytes(encoded(coloured()))
        assert load_input("init_image", "~/boat.png").data == encoded(coloured())

    def test_an_input_is_taken_as_it_is(self) -> None:
        first = decode_input("init_image", encoded(coloured()))
        assert load_input("mask", first) is first

    def test_a_file_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"init_image: cannot read .*none\.png: No such file"):
            load_input("init_image", tmp_path / "none.png")

    def test_a_folder_is_no_image(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="mask: cannot read"):
            load_input("mask", tmp_path)

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"no image at all",
            encoded(coloured((40, 40)))[:500],
            encoded(coloured((40, 40)), "JPEG")[:700],
            encoded(coloured((40, 40)), "WEBP", lossless=True)[:300],
            encoded(coloured(), "GIF"),
            encoded(coloured(), "BMP"),
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        ],
        ids=["empty", "text", "half a PNG", "half a JPEG", "half a WebP", "GIF", "BMP", "EPS"],
    )
    def test_what_is_torn_or_foreign_is_one_clear_line(self, data: bytes) -> None:
        with pytest.raises(UsageError, match=r"^mask is torn, or no PNG, JPEG or WebP image$"):
            load_input("mask", data)

    @given(st.binary(max_size=200), st.integers(0, 200))
    def test_no_bytes_raise_anything_else(self, noise: bytes, place: int) -> None:
        whole = encoded(coloured())
        try:
            found = decode_input("mask", whole[:place] + noise + whole[place + len(noise) :])
        except UsageError:
            return
        assert found.image(6, 4).size == (6, 4)


class TestLargeness:
    @pytest.mark.parametrize("side", [8001, 20_000, 2**31 - 1])
    def test_a_bomb_is_not_unpacked(self, side: int) -> None:
        with pytest.raises(UsageError) as error:
            decode_input("init_image", header_of(side, 8000))
        assert "init_image" in str(error.value)
        assert "\n" not in str(error.value)

    def test_the_line_says_how_many_pixels_there_may_be(self) -> None:
        with pytest.raises(UsageError, match=r"8001×8000 pixels, more than 64,000,000: scale it"):
            decode_input("init_image", header_of(8001, 8000))

    def test_what_is_just_small_enough_is_opened(self) -> None:
        assert MAX_INPUT_PIXELS == 8000 * 8000
        with pytest.raises(UsageError, match="torn"):
            decode_input("init_image", header_of(8000, 8000))


class TestOrientation:
    @pytest.fixture
    def photograph(self) -> bytes:
        exif = Image.Exif()
        exif[ORIENTATION] = TURNED
        return encoded(coloured((6, 4)), "PNG", exif=exif)

    def test_the_size_is_as_it_is_seen(self, photograph: bytes) -> None:
        found = decode_input("init_image", photograph)
        assert (found.width, found.height) == (4, 6)

    @pytest.mark.parametrize("form", ["image", "mask"])
    def test_the_pixels_are_turned(self, photograph: bytes, form: str) -> None:
        seen = getattr(decode_input("init_image", photograph), form)(4, 6)
        upright = coloured((6, 4)).transpose(Image.Transpose.ROTATE_270)
        np.testing.assert_array_equal(as_array(seen), as_array(upright.convert(seen.mode)))

    def test_an_opened_photograph_is_turned_once(self, photograph: bytes) -> None:
        opened = Image.open(io.BytesIO(photograph))
        found = load_input("init_image", opened)
        upright = coloured((6, 4)).transpose(Image.Transpose.ROTATE_270)
        np.testing.assert_array_equal(as_array(found.image(4, 6)), as_array(upright))


class TestTransparency:
    @pytest.fixture
    def hole(self) -> InputImage:
        """Red; its left half is not there."""
        pixels = np.full((4, 4, 4), (255, 0, 0, 255), np.uint8)
        pixels[:, :2, 3] = 0
        return load_input("init_image", pixels)

    def test_in_an_image_it_is_white(self, hole: InputImage) -> None:
        seen = as_array(hole.image(4, 4))
        assert (seen[:, :2] == 255).all()
        assert (seen[:, 2:] == (255, 0, 0)).all()

    def test_in_a_mask_it_is_kept(self) -> None:
        pixels = np.full((4, 4, 4), 255, np.uint8)
        pixels[:, :2, 3] = 0
        seen = as_array(load_input("mask", pixels).mask(4, 4))
        assert (seen[:, :2] == 0).all()
        assert (seen[:, 2:] == 255).all()

    def test_of_a_palette_too(self) -> None:
        image = Image.new("P", (4, 4), 1)
        image.putpalette([0, 0, 0, 9, 9, 9])
        image.info["transparency"] = 1
        assert (as_array(load_input("init_image", image).image(4, 4)) == 255).all()
        assert (as_array(load_input("mask", image).mask(4, 4)) == 0).all()


class TestInMemory:
    @pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "1", "P", "CMYK", "YCbCr", "HSV"])
    def test_an_image_of_any_mode_looks_the_same(self, mode: str) -> None:
        given = coloured(mode=mode)
        seen = as_array(load_input("init_image", given).image(6, 4)).astype(int)
        assert np.abs(seen - as_array(given.convert("RGB"))).max() == 0

    def test_the_same_pixels_are_the_same_file(self) -> None:
        assert load_input("a", coloured()).data == load_input("b", coloured()).data
        assert load_input("a", coloured()).data == load_input("a", as_array(coloured())).data

    def test_nothing_but_pixels_is_kept(self) -> None:
        image = coloured()
        image.info["comment"] = "where I live"
        assert load_input("a", image).data == load_input("a", coloured()).data

    def test_the_given_image_stays_as_it_was(self) -> None:
        image = coloured(mode="P")
        load_input("init_image", image).image(64, 64)
        assert (image.mode, image.size) == ("P", (6, 4))

    @given(arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))))
    def test_the_pixels_of_a_coloured_array_come_back(self, pixels: np.ndarray) -> None:
        found = load_input("init_image", pixels)
        height, width, _ = pixels.shape
        np.testing.assert_array_equal(as_array(found.image(width, height)), pixels)
        assert found.sha256 == hashlib.sha256(found.data).hexdigest()

    @given(arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9))))
    def test_the_pixels_of_a_grey_array_come_back(self, pixels: np.ndarray) -> None:
        found = load_input("mask", pixels)
        height, width = pixels.shape
        np.testing.assert_array_equal(as_array(found.mask(width, height)), pixels)

    @pytest.mark.parametrize(
        ("given_", "said"),
        [
            (np.zeros((2, 2, 7), np.uint8), r"uint8, not \(2, 2, 7\) of uint8"),
            (np.zeros(4, np.uint8), r"uint8, not \(4,\) of uint8"),
            (np.zeros((4, 4, 3)), r"uint8, not \(4, 4, 3\) of float64"),
            (3, "PIL image or an array, not 3"),
            ([1, 2], r"PIL image or an array, not \[1, 2\]"),
        ],
    )
    def test_what_is_none_is_told_what_is_one(self, given_: object, said: str) -> None:
        with pytest.raises(UsageError, match=f"^init_image.*{said}"):
            load_input("init_image", given_)


class TestSizes:
    def test_another_shape_is_cut_at_its_longer_sides(self) -> None:
        pixels = np.zeros((8, 24, 3), np.uint8)
        pixels[:, 8:16] = 255  # the middle third
        seen = load_input("init_image", pixels).image(8, 8)
        assert (as_array(seen)[:, 1:-1] > 200).all()

    def test_a_mask_is_cut_as_the_image_is(self) -> None:
        pixels = np.random.default_rng(2).integers(0, 256, (20, 50), dtype=np.uint8)
        found = load_input("mask", pixels)
        grey = as_array(found.image(16, 16).convert("L")).astype(int)
        assert np.abs(grey - as_array(found.mask(16, 16))).max() <= 1
