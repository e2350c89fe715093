"""What drawing gives back: one kept picture, or several with a contact sheet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagen_nb.errors import safe
from imagen_nb.storage.record import Record
from imagen_nb.system.markup import bidi, escaped
from imagen_nb.system.thumbnails import captioned, img_tag

if TYPE_CHECKING:
    from PIL.Image import Image

    from imagen_nb.storage.catalog import Catalog

IMAGE_READ_ERRORS = (
    OSError,
    SyntaxError,
)  # what Pillow raises of files that are gone or torn


@dataclass(frozen=True, slots=True, repr=False)
class Picture:
    """One picture on disk.

    In a notebook it shows as a thumbnail of a few kilobytes, never as the full PNG.

    Of a picture that was drawn again, `identical` says whether its pixels are the original's (None:
    there is nothing to compare with) and `differs` what was not as it was then.
    """

    record: Record
    path: Path
    sidecar_path: Path
    catalog: Catalog
    identical: bool | None = None
    differs: tuple[str, ...] = ()

    @property
    def cloud(self) -> str:
        """What the cloud has of it by now: pending, synced, off, or "failed: <the reason>"."""
        entry = self.catalog.get(self.record.id)
        if entry is None:
            return "unknown: it is not in the catalog, see `imagen reindex`"
        return entry.cloud

    @property
    def image(self) -> Image:
        """The picture itself, read from its file: RGB, (width, height) pixels."""
        from PIL import Image

        with Image.open(self.path) as file:
            return file.convert("RGB")

    def __repr__(self) -> str:
        return f"<Picture {safe(f'{self.path.name} {describe_record(self.record)}')}>"

    def _repr_mimebundle_(
        self, include: Any = None, exclude: Any = None
    ) -> dict[str, str]:
        page = captioned(
            _thumbnail_html(self), f"{self.path.name} · {describe_record(self.record)}"
        )
        return {"text/plain": repr(self), "text/html": page}


def _thumbnail_html(picture: Picture) -> str:
    """The thumbnail as HTML, or why there is none: a cell shows what it can."""
    try:
        return img_tag(picture.image, picture.record.prompt)
    except IMAGE_READ_ERRORS as error:
        return f"{bidi(picture.record.prompt)}<br>{escaped(explain_unreadable(error))}"


def explain_unreadable(error: Exception) -> str:
    return f"cannot be shown: {getattr(error, 'strerror', None) or 'no whole picture'}"


def describe_record(record: Record) -> str:
    """One line: what a person wants to know of a picture besides its prompt."""
    size = f"{record.width}×{record.height}"
    took = f"{record.steps} steps · {record.latency_ms} ms"
    seed = "no seed" if record.seed is None else f"seed {record.seed}"
    return f"{record.backend} {size} {seed} · {took}"
