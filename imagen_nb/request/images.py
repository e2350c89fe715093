"""Images that pictures are drawn from: init image and mask, known by their sha256."""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagen_nb.errors import UsageError
from imagen_nb.request.validation import short_repr
from imagen_nb.system.paths import absolute_path
from imagen_nb.system.thumbnails import image_read_errors

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGE_SUFFIXES = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp"}  # by Pillow's formats
_ORIENTATION = 0x0112  # EXIF's tag
_ON_THE_SIDE = (5, 6, 7, 8)  # its values for images that are turned by 90 degrees
MAX_INPUT_PIXELS = 64_000_000  # what a camera makes, and no decompression bomb
_ACCEPTED_FORMS = (
    "a file (PNG, JPEG or WebP), a picture of the history, a PIL image or an array"
)


@dataclass(frozen=True, slots=True)
class InputImage:
    """One image as it was given: the bytes of its file; `kind` is png, jpg or webp.

    `width` and `height` are in pixels after the EXIF rotation.
    """

    sha256: str
    kind: str
    width: int
    height: int
    data: bytes = field(repr=False, compare=False)

    @property
    def file_name(self) -> str:
        """The name of its file beside the pictures that are drawn from it."""
        return f"{self.sha256}.{self.kind}"

    def image(self, width: int, height: int) -> Image:
        """Return the image as RGB of this size in pixels: scaled, and cropped to its shape.

        Transparent pixels become white.
        """
        from PIL import Image

        seen = _load_upright(self.data)
        if seen.mode in ("RGBA", "LA", "PA") or "transparency" in seen.info:
            seen = seen.convert("RGBA")
            seen = Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen)
        return _fit_size(seen.convert("RGB"), width, height)

    def mask(self, width: int, height: int) -> Image:
        """Return the mask as L of this size: white is redrawn, transparent is kept."""
        from PIL import Image

        seen = _load_upright(self.data).convert("RGBA")
        grey = Image.composite(
            seen.convert("L"), Image.new("L", seen.size, 0), seen.getchannel("A")
        )
        return _fit_size(grey, width, height)


def load_input(name: str, given: Any) -> InputImage:
    """Return the image that a user gives as `name`. Raise `UsageError` if it is none."""
    if isinstance(given, InputImage):
        return given
    if isinstance(given, (str, os.PathLike)):
        return decode_input(name, _read_image_file(name, absolute_path(Path(given))))
    if isinstance(given, bytes):
        return decode_input(name, given)
    return decode_input(name, _encode_in_memory(name, given))


def decode_input(name: str, data: bytes) -> InputImage:
    """Return the image of a file's bytes. Raise `UsageError` if torn or too large."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            # Too many pixels are refused below, with our own line; torn EXIF is none.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=[*IMAGE_SUFFIXES]) as file:
                kind, (width, height) = IMAGE_SUFFIXES[str(file.format)], file.size
                if width * height > MAX_INPUT_PIXELS:
                    raise UsageError(
                        f"{name} has {width}×{height} pixels, more than {MAX_INPUT_PIXELS:,}: "
                        "scale it down"
                    )
                file.load()
                if file.getexif().get(_ORIENTATION) in _ON_THE_SIDE:
                    width, height = height, width
    except image_read_errors() as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{name} is torn, or no PNG, JPEG or WebP image") from None
    return InputImage(hashlib.sha256(data).hexdigest(), kind, width, height, data)


def _read_image_file(name: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{name}: cannot read {path}: {error.strerror or error}"
        ) from None


def _encode_in_memory(name: str, given: Any) -> bytes:
    """Return the PNG of an image in memory: a PIL image or an array."""
    from PIL import Image

    if not isinstance(given, Image.Image):
        if not hasattr(given, "__array_interface__"):
            raise UsageError(f"{name} is {_ACCEPTED_FORMS}, not {short_repr(given)}")
        try:
            if len(given.shape) == 1:  # Pillow would make something of it
                raise ValueError
            given = Image.fromarray(given)
        except (TypeError, ValueError):
            shape, kind = getattr(given, "shape", "?"), getattr(given, "dtype", "?")
            raise UsageError(
                f"{name}: an array is (height, width) or (height, width, 3) of uint8, "
                f"not {shape} of {kind}"
            ) from None
    plain = _upright(given)
    if plain.mode not in ("L", "LA", "RGB", "RGBA"):
        plain = plain.convert("RGBA" if "transparency" in plain.info else "RGB")
    buffer = io.BytesIO()
    Image.frombytes(plain.mode, plain.size, plain.tobytes()).save(
        buffer, "PNG", compress_level=1
    )
    return buffer.getvalue()


def _load_upright(data: bytes) -> Image:
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(data), formats=[*IMAGE_SUFFIXES]) as file:
            return _upright(file)


def _upright(image: Image) -> Image:
    """Return a copy, rotated as its EXIF data say."""
    from PIL import ImageOps

    turned: Image = ImageOps.exif_transpose(image)
    return turned


def _fit_size(image: Image, width: int, height: int) -> Image:
    from PIL import Image, ImageOps

    if image.size == (width, height):
        return image
    return ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)
