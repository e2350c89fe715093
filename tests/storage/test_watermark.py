"""The invisible watermark: what it survives, what it does to pictures, and which have none."""

from __future__ import annotations

import datetime
import hashlib
import io
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from imwatermark import WatermarkDecoder, WatermarkEncoder
from PIL import Image

from imagen_nb.config.groups import ProvenanceSettings
from imagen_nb.errors import StorageError, UsageError
from imagen_nb.storage.credentials import PictureSigner
from imagen_nb.storage.output import PictureFiles, load_png_record, load_record
from imagen_nb.storage.record import Record
from imagen_nb.storage.reindex import reindex
from imagen_nb.storage.verification import verify_picture
from imagen_nb.storage.watermark import (
    MISSING_WATERMARK,
    PictureMarker,
    embed_watermark,
    has_watermark,
    has_watermark_in,
    marker_of,
)
from imagen_nb.studio.studio import Studio

DAY = datetime.date(2026, 5, 11)
SIDE = (256, 256)
Make = Callable[..., Record]
Draw = Callable[..., Image.Image]


def photo_like(side: int, seed: int = 0) -> Image.Image:
    """Slow colours, edges and noise, as in a photograph; (side, side) pixels."""
    noise = np.random.default_rng(seed)
    y, x = np.mgrid[0:side, 0:side] / side
    channels = [
        128 + 70 * np.sin(5 * x + k) + 40 * np.cos(9 * y * (k + 1)) - 50 * (x + y > 1.1)
        for k in range(3)
    ]
    pixels = np.stack(channels, axis=2) + noise.normal(0, 6, (side, side, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Image.Image:
    """What the embedded FLUX draws, 256 × 256, without a watermark."""
    with Studio(
        {"backend": "flux-tiny-local", "output": {"dir": tmp_path_factory.mktemp("drawn")}},
        background=False,
    ) as studio:
        image = studio.generate("a red boat", seed=7, steps=2, width=256, height=256).image
    assert has_watermark(image) is False
    return image


def file_of(image: Image.Image, kind: str, quality: int = 80) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, quality=quality)
    return buffer.getvalue()


def psnr(one: Image.Image, other: Image.Image) -> float:
    """Peak signal-to-noise ratio in dB: 255² over the mean square of what differs."""
    differs = np.asarray(one, float) - np.asarray(other, float)
    return float(10 * np.log10(255**2 / np.mean(differs**2)))


class TestSurvival:
    def test_it_survives_jpeg_at_quality_80(self, drawn: Image.Image) -> None:
        for image in (drawn, photo_like(256), photo_like(512)):
            assert has_watermark_in(file_of(image, "JPEG")) is False
            assert has_watermark_in(file_of(embed_watermark(image), "JPEG")) is True

    def test_it_survives_webp_at_quality_80_in_a_larger_picture(self) -> None:
        marked = embed_watermark(photo_like(512))
        assert has_watermark_in(file_of(marked, "WEBP")) is True

    def test_it_is_gone_where_the_documentation_says_so(self) -> None:
        marked = embed_watermark(photo_like(512))
        assert has_watermark(marked.resize((460, 460))) is False
        assert has_watermark(marked.crop((3, 3, 512, 512))) is False
        assert has_watermark_in(file_of(marked, "JPEG", quality=30)) is False

    def test_no_unmarked_picture_has_one(self) -> None:
        others = [photo_like(256, seed) for seed in range(5)]
        flat = [Image.new("RGB", SIDE, colour) for colour in ("black", "white", "red", "navy")]
        assert not any(has_watermark(image) for image in [*others, *flat])


class TestPixels:
    def test_nobody_sees_it(self, drawn: Image.Image) -> None:
        for image in (drawn, photo_like(256), photo_like(512)):
            assert psnr(image, embed_watermark(image)) >= 35
        red = Image.new("RGB", SIDE, (255, 0, 0))
        assert psnr(red, embed_watermark(red)) >= 35  # 21 dB, as the library gives it back

    def test_the_same_picture_is_marked_the_same(self) -> None:
        image = photo_like(256)
        before = image.tobytes()
        assert embed_watermark(image).tobytes() == embed_watermark(image).tobytes()
        assert image.tobytes() == before

    def test_the_library_itself_reads_it(self) -> None:
        marked = embed_watermark(photo_like(512))
        bgr = np.asarray(marked)[:, :, ::-1].copy()
        assert WatermarkDecoder("bytes", 72).decode(bgr, "dwtDctSvd") == b"imagen_nb"

    def test_one_that_the_library_itself_wrote_is_read(self) -> None:
        encoder = WatermarkEncoder()
        encoder.set_watermark("bytes", b"imagen_nb")
        bgr = np.asarray(photo_like(512))[:, :, ::-1].copy()
        marked = Image.fromarray(encoder.encode(bgr, "dwtDctSvd")[:, :, ::-1])
        assert has_watermark(marked) is True

    @pytest.mark.parametrize("size", [(257, 300), (411, 259)])
    def test_sides_need_not_be_multiples_of_anything(self, size: tuple[int, int]) -> None:
        marked = embed_watermark(photo_like(512).crop((0, 0, *size)))
        assert marked.size == size
        assert has_watermark(marked) is True


class TestReading:
    def test_a_small_picture_has_none_and_a_huge_one_is_not_looked_at(self) -> None:
        assert has_watermark(Image.new("RGB", (255, 1000))) is False
        assert has_watermark(Image.new("L", (8000, 4000))) is None

    def test_pictures_that_are_not_rgb_are_read(self) -> None:
        marked = embed_watermark(photo_like(512))
        assert has_watermark(marked.convert("RGBA")) is True
        palette = photo_like(512).quantize(64)
        palette.info["transparency"] = bytes(64)  # of which Pillow may warn
        assert has_watermark(palette) is False

    def test_a_torn_file_is_said_to_be_one(self) -> None:
        with pytest.raises(StorageError, match="its pixels cannot be read"):
            has_watermark_in(file_of(photo_like(256), "PNG")[:5000])


class TestKeeping:
    def test_a_kept_picture_has_it_and_its_record_says_so(
        self, folder: Path, make_record: Make
    ) -> None:
        image, record = photo_like(256), make_record(width=256, height=256)
        saved = PictureFiles(folder, marker=PictureMarker()).save(image, record, DAY)
        assert saved.record.watermark == "dwtDctSvd"
        assert load_png_record(saved.path) == load_record(saved.path) == saved.record
        assert saved.record.sha256 == hashlib.sha256(saved.path.read_bytes()).hexdigest()
        with Image.open(saved.path) as kept:
            assert kept.tobytes() == embed_watermark(image).tobytes()
        saved.sidecar_path.unlink()
        assert reindex(folder).rebuilt == (saved.sidecar_path,)
        assert load_record(saved.sidecar_path) == saved.record

    def test_verifying_says_so_also_of_a_jpeg_of_it(self, folder: Path, make_record: Make) -> None:
        record = make_record(width=256, height=256)
        saved = PictureFiles(folder, marker=PictureMarker()).save(photo_like(256), record, DAY)
        found = verify_picture(saved.path)
        assert [str(check) for check in found.checks][-1] == "watermark: good: imagen_nb, dwtDctSvd"
        assert {check.what: check.verdict for check in found.checks}["sidecar"] == "good"
        jpeg = folder / "sent.jpg"
        with Image.open(saved.path) as kept:
            jpeg.write_bytes(file_of(kept, "JPEG"))
        assert [check.verdict for check in verify_picture(jpeg).checks] == [
            *["not there"] * 4,
            "good",
        ]

    def test_a_marked_picture_is_signed_as_it_is(
        self, folder: Path, make_record: Make, signing: ProvenanceSettings
    ) -> None:
        files = PictureFiles(folder, PictureSigner(signing), PictureMarker())
        saved = files.save(photo_like(256), make_record(width=256, height=256), DAY)
        assert [check.verdict for check in verify_picture(saved.path).checks] == ["good"] * 5

    def test_marked_and_unmarked_are_two_pictures(self, folder: Path, make_record: Make) -> None:
        record = make_record(width=256, height=256)
        day = record.created_at.astimezone().date()
        plain, marking = PictureFiles(folder), PictureFiles(folder, marker=PictureMarker())
        first = plain.save(photo_like(256), record, day)
        assert marking.find_drawn(record, day) is None
        second = marking.save(photo_like(256), record, day)
        assert second.path != first.path
        for files, saved in ((plain, first), (marking, second)):
            again = files.save(photo_like(256), record, day)
            found = files.find_drawn(record, day)
            assert (again.path, again.reused) == (saved.path, True)
            assert found is not None
            assert found.path == saved.path

    def test_what_cannot_hold_it_is_kept_as_it_is_and_that_is_said_once(
        self,
        folder: Path,
        make_record: Make,
        make_image: Draw,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        files = PictureFiles(folder, marker=PictureMarker())
        small = [files.save(make_image(n), make_record(seed=n), DAY) for n in range(2)]
        grey = make_record(width=256, height=256)
        kept = files.save(photo_like(256).convert("L"), grey, DAY)
        assert [one.record.watermark for one in [*small, kept]] == [None] * 3
        with Image.open(small[0].path) as picture:
            assert picture.tobytes() == make_image(0).tobytes()
        assert capsys.readouterr().err == (
            "imagen: pictures are kept without a watermark: those below 256 × 256, or not RGB,"
            " cannot hold it\n"
        )
        assert files.save(make_image(0), make_record(seed=0), DAY).reused


class TestLibrary:
    def test_it_is_off_unless_asked_for(self) -> None:
        assert marker_of(ProvenanceSettings()) is None
        assert isinstance(marker_of(ProvenanceSettings(watermark=True)), PictureMarker)

    def test_without_the_extra_nothing_is_drawn_and_the_line_says_what_to_install(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setitem(sys.modules, "imwatermark.dwtDctSvd", None)
        settings = {
            "backend": "flux-tiny-local",
            "output": {"dir": tmp_path},
            "provenance": {"watermark": True},
        }
        with (
            Studio(settings, background=False) as studio,
            pytest.raises(UsageError, match=r'pip install "imagen_nb\[watermark\]"'),
        ):
            studio.generate("a red boat")
        assert not [*tmp_path.glob("*.png")]

    def test_without_the_extra_pictures_that_others_drew_are_kept(
        self,
        folder: Path,
        make_record: Make,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setitem(sys.modules, "imwatermark.dwtDctSvd", None)
        files = PictureFiles(folder, marker=PictureMarker())
        saved = files.save(photo_like(256), make_record(width=256, height=256), DAY)
        assert saved.record.watermark is None
        assert MISSING_WATERMARK in capsys.readouterr().err
        (check,) = [one for one in verify_picture(saved.path).checks if one.what == "watermark"]
        assert str(check) == f"watermark: not checked: {MISSING_WATERMARK}"

    def test_an_opencv_that_wants_a_screen_is_told_apart(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        package = tmp_path / "imwatermark"
        package.mkdir()
        reason = "libGL.so.1: cannot open shared object file"
        (package / "__init__.py").write_text(f"raise ImportError({reason!r})")
        for name in [name for name in sys.modules if name.partition(".")[0] == "imwatermark"]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.syspath_prepend(tmp_path)
        with pytest.raises(UsageError, match=r"libGL\.so\.1.*pip install opencv-python-headless"):
            PictureMarker().require_ready()
