"""Names of pictures: their files, their sidecars, their objects in the bucket."""

from __future__ import annotations

import datetime
import os
import re
import unicodedata
from pathlib import Path

from imagen_nb.errors import UsageError
from imagen_nb.storage.media_types import SUFFIXES
from imagen_nb.storage.record import Record
from imagen_nb.system.paths import absolute_path

_MAX_SLUG_CHARS = 40
PICTURE_SUFFIXES = tuple(SUFFIXES.values())
_SHEET_NAME = re.compile(r"-sheet(-[0-9]+)?\.png$")

# Suffixes that mean a file, not a folder, and none that can be written here.
_FOREIGN_SUFFIX = re.compile(r"\.(avif|bmp|gif|hei[cf]|jpe?g|jxl|svg|tiff?|webp)")


def slug(prompt: str) -> str:
    """Return the prompt as part of a file name: a-z, 0-9 and single dashes, 40 at most.

    Example:
        >>> slug("Crème brûlée, photo")
        'creme-brulee-photo'
    """
    decomposed = unicodedata.normalize("NFKD", prompt)
    plain = "".join(c for c in decomposed if not unicodedata.combining(c))
    dashed = re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")
    return dashed[:_MAX_SLUG_CHARS].rstrip("-") or "untitled"


def stem_of(record: Record, day: datetime.date) -> str:
    """Return "<day>-<slug>-<seed>", a file's name before its number and suffix."""
    seed = "unseeded" if record.seed is None else record.seed
    return f"{day.isoformat()}-{slug(record.prompt)}-{seed}"


def numbered_name(stem: str, number: int, suffix: str = ".png") -> str:
    """Return the name of the `number`th file of this stem: x.png, x-2.png, x-3.png."""
    return f"{stem}{suffix}" if number == 1 else f"{stem}-{number}{suffix}"


def sidecar_of(path: Path) -> Path:
    """Return the path of the sidecar beside a picture's file."""
    return path.with_name(path.name + ".json")


def storage_path_of(day: datetime.date, stem: str, suffix: str = ".png") -> str:
    """Return where the cloud keeps the file: "<day>/<the stem without its day>.png"."""
    prefix = f"{day.isoformat()}-"
    name = stem.removeprefix(prefix) if stem.startswith(prefix) else slug(stem)
    return f"{day.isoformat()}/{name}{suffix}"


def parse_destination(output: Path | str, pictures: int = 1) -> tuple[Path, str | None]:
    """Split what a user gave as output into a folder and the stem of a file.

    The stem is None if `output` is a folder; an existing folder is one, whatever its
    name. Raises `UsageError` for files of another kind than PNG, and for one file that
    should hold several `pictures`.
    """
    path = absolute_path(output)
    suffix = path.suffix.lower()
    is_file = suffix == ".png" or _FOREIGN_SUFFIX.fullmatch(suffix)
    if os.path.isdir(path) or not is_file:
        return path, None
    if suffix != ".png":
        raise UsageError(
            f"pictures are PNG, {path.name} is not: name it {path.stem}.png, "
            "or give a folder"
        )
    if pictures > 1:
        raise UsageError(
            f"{path.name} names one picture, and these are {pictures}: give a folder"
        )
    return path.parent, path.stem


def is_sidecar(name: str) -> bool:
    """Return whether `sidecar_of` gives such names."""
    return name.endswith(".json") and name.removesuffix(".json").endswith(
        PICTURE_SUFFIXES
    )


def is_sheet(name: str) -> bool:
    """Return whether `save_sheet` gives such names."""
    return _SHEET_NAME.search(name) is not None
