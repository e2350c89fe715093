"""Reads the pictures and captions that a LoRA is trained on, from an exported data set."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagen_nb.errors import UsageError
from imagen_nb.system.paths import absolute_path

MIN_PICTURES = 5  # of fewer, a model learns the pictures themselves
_METADATA = "metadata.jsonl"
_READ_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}
_CONCEPT = re.compile(r"(\d{1,6})_.+", re.ASCII)
_EXPORTED = 'df.imagen.export(folder, format="imagefolder") writes one'


@dataclass(frozen=True, slots=True)
class TrainingPicture:
    """A picture's file, what it shows, and how often an epoch shows it."""

    path: Path
    caption: str
    repeats: int = 1

    def sha256(self) -> str:
        """Return the hash of the file."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def load_training_pictures(folder: Path | str) -> list[TrainingPicture]:
    """Return the pictures of a data set, sorted by path.

    Args:
        folder: as `df.imagen.export` writes imagefolder or kohya; of a split, its side
            train is taken. Pictures with .txt files beside them will do, too.

    Raises:
        UsageError: if there is no such folder, it holds no pictures or fewer than 5, or
            some have no caption.
    """
    root = absolute_path(folder)
    if not root.is_dir():
        raise UsageError(f"there is no folder {root}: {_EXPORTED}")
    if (root / "train").is_dir():
        root = root / "train"
    has_list = (root / _METADATA).is_file()
    found = [*(_listed_pictures(root) if has_list else _captioned_pictures(root))]
    if not found:
        raise UsageError(f"there are no pictures in {root}: {_EXPORTED}")
    mute = [picture.path.name for picture in found if not picture.caption]
    if mute:
        raise UsageError(
            f"{len(mute)} of {len(found)} pictures in {root} have no caption"
            f" ({mute[0]} is one): export them again, with captions=…"
        )
    if len(found) < MIN_PICTURES:
        raise UsageError(
            f"{root} has {len(found)} pictures: a LoRA takes {MIN_PICTURES} or more"
        )
    return sorted(found, key=lambda picture: picture.path)


def _listed_pictures(root: Path) -> Iterator[TrainingPicture]:
    """Yield the pictures that a metadata.jsonl names."""
    lines = (root / _METADATA).read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        path, text = _listed_picture(root, line)
        if path is None:
            raise UsageError(
                f"line {number} of {root / _METADATA} names no picture of this folder"
            )
        yield TrainingPicture(path, text)


def _listed_picture(root: Path, line: str) -> tuple[Path | None, str]:
    try:
        values: Any = json.loads(line)
        name, text = values["file_name"], values.get("text")
        path = root / name
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None, ""
    is_inside = path.resolve().is_relative_to(root.resolve())
    text = " ".join(text.split()) if isinstance(text, str) else ""
    return (path if is_inside and path.is_file() else None), text


def _captioned_pictures(root: Path) -> Iterator[TrainingPicture]:
    """Yield the pictures of a folder and of its "<repeats>_<name>" folders."""
    folders = [(root, 1)]
    for folder in root.iterdir():
        concept = _CONCEPT.fullmatch(folder.name)
        if concept and folder.is_dir():
            folders.append((folder, max(1, int(concept[1]))))
    for folder, repeats in folders:
        for path in folder.iterdir():
            if path.suffix.lower() in _READ_SUFFIXES and path.is_file():
                yield TrainingPicture(path, _caption_beside(path), repeats)


def _caption_beside(path: Path) -> str:
    try:
        text = path.with_suffix(".txt").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return " ".join(text.split())
