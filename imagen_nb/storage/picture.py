"""One saved picture, as drawing gives it back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagen_nb.errors import printable
from imagen_nb.storage.record import Record
from imagen_nb.system.markup import bidi_isolated, escaped_html
from imagen_nb.system.thumbnails import captioned_html, image_read_errors, img_tag

if TYPE_CHECKING:
    from PIL.Image import Image

    from imagen_nb.storage.catalog import Catalog, CatalogEntry


@dataclass(frozen=True, slots=True, repr=False)
class Picture:
    """One picture on disk.

    In a notebook it shows as a thumbnail of a few kilobytes, never as the full PNG.

    For a picture that was drawn again, `identical` says whether its pixels are those of
    the original (None: there is nothing to compare with), and `differs` lists what was
    not as it was then.

    Example:
        >>> picture = im.generate("a red boat", seed=7)
        >>> picture.path.exists(), picture.record.seed
        (True, 7)
    """

    record: Record
    path: Path
    sidecar_path: Path
    catalog: Catalog
    identical: bool | None = None
    differs: tuple[str, ...] = ()

    @property
    def cloud(self) -> str:
        """The state of its copy: pending, synced, off, or "failed: <the reason>".

        Example:
            >>> picture.cloud in ("pending", "synced", "off")
            True
        """
        entry = self.catalog_entry()
        if entry is None:
            return (
                "unknown: it is not in the catalog: deleted (see `imagen restore`), or"
                " to be entered by `imagen reindex`"
            )
        return entry.cloud

    def catalog_entry(self) -> CatalogEntry | None:
        """Return what the catalog has of it now; its id may be another by then.

        Example:
            >>> picture.catalog_entry().path == picture.path
        """
        return self.catalog.find(self.record, self.path)

    @property
    def image(self) -> Image:
        """The picture itself, read from its file: RGB, (width, height) pixels.

        Example:
            >>> picture.image.size
            (128, 128)
        """
        from PIL import Image

        with Image.open(self.path) as file:
            return file.convert("RGB")

    def __repr__(self) -> str:
        text = f"{self.path.name} {describe_record(self.record)}"
        return f"<Picture {printable(text)}>"

    def _repr_mimebundle_(
        self, include: Any = None, exclude: Any = None
    ) -> dict[str, str]:
        caption = f"{self.path.name} · {describe_record(self.record)}"
        page = captioned_html(_thumbnail_html(self), caption)
        return {"text/plain": repr(self), "text/html": page}


def _thumbnail_html(picture: Picture) -> str:
    """Return the thumbnail, or the prompt and why there is none."""
    try:
        return img_tag(picture.image, picture.record.prompt)
    except image_read_errors() as error:
        reason = escaped_html(explain_unreadable(error))
        return f"{bidi_isolated(picture.record.prompt)}<br>{reason}"


def explain_unreadable(error: Exception) -> str:
    """Return why a picture is not shown, given one of `image_read_errors()`."""
    reason = getattr(error, "strerror", None) or "no whole picture"
    return f"cannot be shown: {reason}"


def describe_record(record: Record) -> str:
    """Return one line about a picture, without its prompt.

    Example:
        "flux-tiny-local 128×128 seed 11 · 4 steps · 120 ms"
    """
    size = f"{record.width}×{record.height}"
    seed = "no seed" if record.seed is None else f"seed {record.seed}"
    steps = None if record.steps is None else f"{record.steps} steps"
    timing = None if record.latency_ms is None else f"{record.latency_ms} ms"
    known = [f"{record.backend} {size} {seed}", steps, timing]
    return " · ".join(part for part in known if part)
