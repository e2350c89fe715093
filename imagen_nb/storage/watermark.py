"""An invisible watermark in the pixels: what writes it into pictures, and what reads it.

It is that of invisible-watermark, method dwtDctSvd, and says "imagen_nb" in every picture: nothing
of who drew it, and the same request gives the same pixels.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from imagen_nb.errors import StorageError, UsageError
from imagen_nb.storage.record import Record
from imagen_nb.system.terminal import print_notice
from imagen_nb.system.thumbnails import image_read_errors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from imagen_nb.config.groups import ProvenanceSettings

WATERMARK = "dwtDctSvd"  # the value of `Record.watermark`
MIN_WATERMARK_SIDE = 256  # pixels; the library refuses pictures of fewer than 256 × 256
MISSING_WATERMARK = (
    'watermarks need invisible-watermark: pip install "imagen_nb[watermark]"'
)
_NOT_MARKED = f"those below {MIN_WATERMARK_SIDE} × {MIN_WATERMARK_SIDE}, or not RGB, cannot hold it"
_PAYLOAD = b"imagen_nb"
_BITS = 8 * len(_PAYLOAD)
# Of 72 bits. By chance, that few are wrong once in 3·10¹¹ times.
_MOST_WRONG_BITS = 8
_MAX_PIXELS_READ = 2**24  # reading takes a second for each four million


class PictureMarker:
    """Writes the watermark into pictures.

    A forked child can use it, too: it keeps nothing of the library's.
    """

    def __init__(self) -> None:
        """Load nothing yet."""
        self._told = False

    def require_ready(self) -> None:
        """Raise `UsageError` if the library cannot be loaded, before anything is drawn."""
        _load_embedder()

    def mark(self, image: Image, record: Record) -> tuple[Image, Record]:
        """Return the picture with the watermark, and its record, which says so.

        What is small, or not RGB, comes back as it is, and a line on stderr says so,
        once in a session. So does every picture if the library cannot be loaded.
        """
        unmarked = record.model_copy(update={"watermark": None})
        if image.mode != "RGB" or min(image.size) < MIN_WATERMARK_SIDE:
            self._tell(_NOT_MARKED)
            return image, unmarked
        try:
            marked = embed_watermark(image)
        except UsageError as error:
            self._tell(str(error))
            return image, unmarked
        return marked, record.model_copy(update={"watermark": WATERMARK})

    def wanted(self, record: Record) -> Record:
        """Return the record of a picture as it is once it is marked."""
        large = min(record.width, record.height) >= MIN_WATERMARK_SIDE
        return record.model_copy(update={"watermark": WATERMARK if large else None})

    def _tell(self, reason: str) -> None:
        if not self._told:
            self._told = True
            print_notice(f"pictures are kept without a watermark: {reason}")


def marker_of(settings: ProvenanceSettings) -> PictureMarker | None:
    """Return what marks pictures, or None where they shall not be marked."""
    return PictureMarker() if settings.watermark else None


def embed_watermark(image: Image) -> Image:
    """Return a copy of the picture with the watermark: RGB, the same size.

    Only what the mark itself changes is taken from the library: its way through 8 bits of
    YUV would also dull strong reds and shift colours by a pixel. Raises `UsageError`
    without the library.

    Example:
        >>> has_watermark(embed_watermark(picture.image))
        True
    """
    import numpy as np
    from PIL import Image as Images

    pixels = np.asarray(image)
    marked = _through_library(pixels, _write_bits).astype(np.int16)
    change = marked - _through_library(pixels, _write_nothing)
    return Images.fromarray((pixels + change).clip(0, 255).astype(np.uint8))


def has_watermark(image: Image) -> bool | None:
    """Return whether the picture has the watermark; None if it is too large to look.

    Raises `UsageError` without the library.
    """
    import numpy as np

    if min(image.size) < MIN_WATERMARK_SIDE:
        return False
    if image.width * image.height > _MAX_PIXELS_READ:
        return None
    decoder = _load_embedder()(wmLen=_BITS)
    if image.mode != "RGB":
        image = image.convert("RGBA").convert("RGB")  # of a palette: without a warning
    found = decoder.decode(_as_bgr(np.asarray(image)))
    return int((found != _payload_bits()).sum()) <= _MOST_WRONG_BITS


def has_watermark_in(data: bytes) -> bool | None:
    """As `has_watermark`, of a file: PNG, JPEG or WebP. Raises `StorageError`, too."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=["PNG", "JPEG", "WEBP"]) as image:
            return has_watermark(image)
    except UsageError:  # without the library; a ValueError, too
        raise
    except image_read_errors():
        raise StorageError("its pixels cannot be read") from None


def _through_library(
    pixels: NDArray[np.uint8], change: Callable[[Any, float], None]
) -> NDArray[np.uint8]:
    """Return the pixels (H, W, 3), as the library gives them back with this change."""
    embedder = _load_embedder()(wmLen=_BITS)
    embedder.encode_frame = change
    marked: NDArray[np.uint8] = embedder.encode(_as_bgr(pixels))[:, :, ::-1]
    return marked


def _write_nothing(frame: NDArray[np.float64], scale: float) -> None:
    """Leave the coefficients as they are."""


def _write_bits(frame: NDArray[np.float64], scale: float) -> None:
    """Write the bits into a channel's coefficients (H/2, W/2), one into each 4 × 4 block.

    As the library's own `encode_frame` does it, which takes the blocks one by one and so
    three times as long: a bit is in which half of a step of `scale` the first singular
    value lies. The cosine transform between changes no singular value.
    """
    import numpy as np

    rows, columns = frame.shape[0] // 4, frame.shape[1] // 4
    whole = frame[: rows * 4, : columns * 4]
    blocks = whole.reshape(rows, 4, columns, 4).swapaxes(1, 2).reshape(-1, 4, 4)
    left, values, right = np.linalg.svd(blocks)
    first = values[:, 0]
    bits = np.resize(_payload_bits(), len(blocks))
    more = (first // scale + 0.25 + 0.5 * bits) * scale - first
    blocks = blocks + more[:, None, None] * (left[:, :, :1] @ right[:, :1])
    whole[:] = blocks.reshape(rows, columns, 4, 4).swapaxes(1, 2).reshape(whole.shape)


def _payload_bits() -> NDArray[np.uint8]:
    import numpy as np

    return np.unpackbits(np.frombuffer(_PAYLOAD, np.uint8))


def _as_bgr(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return pixels[:, :, ::-1].copy()


def _load_embedder() -> Any:
    """Return the library's class. Raises `UsageError` if it cannot be loaded."""
    try:
        from imwatermark.dwtDctSvd import EmbedDwtDctSvd
    except ModuleNotFoundError:
        raise UsageError(MISSING_WATERMARK) from None
    except ImportError as error:  # OpenCV, where a server has no libGL
        raise UsageError(
            f"watermarks need OpenCV, which cannot be loaded ({error}): on a machine"
            " without a screen, pip uninstall opencv-python, then"
            " pip install opencv-python-headless"
        ) from None
    return EmbedDwtDctSvd
