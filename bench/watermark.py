"""What the watermark survives, and how much it changes: pictures of several kinds and sizes.

python bench/watermark.py
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image
from write import photo_like

from imagen_nb import Studio
from imagen_nb.storage.watermark import embed_watermark, has_watermark

PICTURES = 10  # of each kind and size
_TINY = {"backend": "flux-tiny-local", "preview": "off"}


def recoded(kind: str, quality: int) -> Callable[[Image.Image], Image.Image]:
    """Write it in another format, and read it again."""

    def change(image: Image.Image) -> Image.Image:
        buffer = io.BytesIO()
        image.save(buffer, kind, quality=quality)
        return Image.open(buffer).convert("RGB")

    return change


def resized(share: float, *, back: bool) -> Callable[[Image.Image], Image.Image]:
    """Make it smaller (or larger), and perhaps as large as it was again."""

    def change(image: Image.Image) -> Image.Image:
        other = image.resize((round(image.width * share), round(image.height * share)))
        return other.resize(image.size) if back else other

    return change


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "none": lambda image: image,
    **{
        f"JPEG, quality {quality}": recoded("JPEG", quality)
        for quality in (90, 80, 70, 50)
    },
    "WebP, quality 80": recoded("WEBP", 80),
    "half the size and back": resized(0.5, back=True),
    "90 % of the size": resized(0.9, back=False),
    "twice the size": resized(2, back=False),
    "3 pixels cut off on the left": lambda image: image.crop((3, 0, *image.size)),
    "a quarter cut off below": lambda image: image.crop(
        (0, 0, image.width, image.height * 3 // 4)
    ),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
}


def pictures() -> Iterator[tuple[str, list[Image.Image]]]:
    """Yield each kind with its pictures, unmarked."""
    settings = {**_TINY, "output": {"dir": tempfile.mkdtemp("imagen-bench")}}
    with Studio(settings, background=False) as studio:
        drawn = studio.sweep(
            "a {red|blue} boat",
            seeds=range(PICTURES // 2),
            size=[(256, 256)],
            progress=False,
        )
        yield "flux-tiny-local 256²", [one.image for one in drawn]
    for side in (256, 512, 1024):
        alike = [photo_like(seed).resize((side, side)) for seed in range(PICTURES)]
        yield f"photograph-like {side}²", alike


def psnr(one: Image.Image, other: Image.Image) -> float:
    """Return the peak signal-to-noise ratio in dB."""
    differs = np.asarray(one, float) - np.asarray(other, float)
    return float(10 * np.log10(255**2 / np.mean(differs**2)))


def main() -> None:
    for kind, images in pictures():
        marked = [embed_watermark(image) for image in images]
        worst = min(map(psnr, images, marked))
        wrongly = sum(bool(has_watermark(image)) for image in images)
        print(
            f"{kind}: PSNR at least {worst:.1f} dB; found in {wrongly} of the unmarked"
        )
        for name, change in CHANGES.items():
            found = sum(bool(has_watermark(change(image))) for image in marked)
            print(f"  {name}: found in {found} of {len(marked)}")


if __name__ == "__main__":
    main()
