"""Downloading the pictures of a frame: many at once, and going on where it was broken off."""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from imagen_nb.cloud import picture_cache as cache
from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.errors import Missing
from imagen_nb.cloud.picture_cache import Wanted
from imagen_nb.errors import ImagenError
from imagen_nb.frames.pictures.locate import Place, content, described, places
from imagen_nb.frames.pictures.parallel import each
from imagen_nb.frames.pictures.signed_urls import sign
from imagen_nb.storage.output import PictureFiles, numbered_name, slug
from imagen_nb.system.atomic import explained, flush_folder, move_new, written
from imagen_nb.system.terminal import complain

if TYPE_CHECKING:
    import pandas as pd

_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}  # what the bucket takes
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_NAME = re.compile(r"[\w-][\w.-]{0,150}", re.ASCII)


def download(
    frame: pd.DataFrame, folder: Path | str, cloud: Cloud | None
) -> pd.DataFrame:
    """Every picture's file in one folder, and a frame that says where, or why not."""
    import pandas as pd

    wanted = described(places(frame), cloud)
    output = PictureFiles(folder)
    output.prepare()
    done = _all(wanted, output.folder, cloud)
    with explained(output.folder):
        flush_folder(output.folder)
    reasons = [str(one) if isinstance(one, ImagenError) else None for one in done]
    if failed := [reason for reason in reasons if reason]:
        complain(
            f"{len(failed)} of {len(done)} pictures could not be downloaded: {failed[0]}"
        )
    columns = {
        "id": [place.wanted.id for place in wanted],
        "path": [None if isinstance(one, ImagenError) else str(one) for one in done],
        "reason": reasons,
    }
    return pd.DataFrame(columns, index=frame.index, dtype="str")


def _all(
    wanted: list[Place], folder: Path, cloud: Cloud | None
) -> list[Path | ImagenError]:
    there = each(wanted, lambda place: _there(place, folder))
    absent = [place for place, path in zip(wanted, there, strict=True) if path is None]
    away = [one.wanted.storage_path for one in absent if not (one.local or one.nowhere)]
    urls, reasons = sign(cloud, away) if cloud else ({}, {})

    def read(cloud: Cloud, picture: Wanted) -> bytes:
        if reason := reasons.get(picture.storage_path):
            raise Missing(reason)
        return cache.read(cloud, picture, urls[picture.storage_path])

    def fetch(place: Place) -> Path:
        return _kept(place, folder, content(place, cloud, read))

    fetched = iter(each(absent, fetch, "downloading"))
    return [next(fetched) if path is None else path for path in there]


def _there(place: Place, folder: Path) -> Path | None:
    """The picture's file in the folder, by its hash; None if it is not, or none is known."""
    if place.wanted.sha256 is None:
        return None
    stem, suffix = file_name(place.wanted.storage_path, place.wanted.id)
    number = 1
    while (path := _numbered(folder, stem, number, suffix)).is_file():
        with suppress(OSError):
            if hashlib.sha256(path.read_bytes()).hexdigest() == place.wanted.sha256:
                return path
        number += 1
    return None


def _kept(place: Place, folder: Path, data: bytes) -> Path:
    """Under the first name that is free, or that has these very bytes."""
    stem, suffix = file_name(place.wanted.storage_path, place.wanted.id)
    number = 1
    with explained(folder), written(folder, data) as temporary:
        while True:
            path = _numbered(folder, stem, number, suffix)
            with suppress(FileExistsError):
                move_new(temporary, path)
                return path
            if path.is_file() and path.read_bytes() == data:
                return path
            number += 1


def _numbered(folder: Path, stem: str, number: int, suffix: str) -> Path:
    return (folder / numbered_name(stem, number)).with_suffix(suffix)


def file_name(storage_path: str, id: str) -> tuple[str, str]:
    """The name of a picture's file, "<day>-<name>", and its suffix; whatever its row says.

    What is no path of ours becomes plain letters and a hash, so that two of them stay apart.
    """
    path = PurePosixPath(storage_path)
    day, suffix = path.parent.name, path.suffix if path.suffix in _SUFFIXES else ".png"
    if _DAY.fullmatch(day) and _NAME.fullmatch(path.stem) and path.suffix == suffix:
        return f"{day}-{path.stem}", suffix
    told = f"{id}\n{storage_path}".encode(errors="surrogatepass")
    return f"{slug(path.stem)}-{hashlib.sha256(told).hexdigest()[:12]}", suffix
