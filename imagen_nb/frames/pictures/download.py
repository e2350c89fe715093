"""Downloading the pictures of a frame, many at once; a broken download goes on."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from imagen_nb.cloud import picture_cache
from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.errors import ObjectMissingError
from imagen_nb.cloud.picture_cache import CloudPicture
from imagen_nb.errors import ImagenError
from imagen_nb.frames.pictures.locate import (
    PictureLocation,
    complete_from_cloud,
    load_picture_file,
    locate_pictures,
)
from imagen_nb.frames.pictures.parallel import map_in_threads
from imagen_nb.frames.pictures.signed_urls import sign_paths
from imagen_nb.storage.names import numbered_name, slug
from imagen_nb.storage.output import PictureFiles
from imagen_nb.system.atomic import (
    explain_folder_errors,
    flush_folder,
    move_to_new_name,
    temporary_file,
)
from imagen_nb.system.terminal import print_notice

if TYPE_CHECKING:
    import pandas as pd

_PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}  # what the bucket takes
_DAY_FOLDER = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_SAFE_STEM = re.compile(r"[\w-][\w.-]{0,150}", re.ASCII)


def download_pictures(
    frame: pd.DataFrame, folder: Path | str, cloud: Cloud | None
) -> pd.DataFrame:
    """Save every picture's file in one folder, as `Accessor.download` documents.

    Returns:
        The columns id, path (None if there is no file) and reason (why), with the index
        of the frame.

    Raises:
        UsageError: if the frame lacks columns.
        StorageError: if the folder cannot be written to.
    """
    import pandas as pd

    locations = complete_from_cloud(locate_pictures(frame), cloud)
    output = PictureFiles(folder)
    output.prepare()
    results = _download_all(locations, output.folder, cloud)
    with explain_folder_errors(output.folder):
        flush_folder(output.folder)
    paths = [None if isinstance(one, ImagenError) else str(one) for one in results]
    reasons = [str(one) if isinstance(one, ImagenError) else None for one in results]
    failed = [reason for reason in reasons if reason]
    if failed:
        print_notice(
            f"{len(failed)} of {len(results)} pictures could not be downloaded: "
            f"{failed[0]}"
        )
    columns = {
        "id": [location.picture.id for location in locations],
        "path": paths,
        "reason": reasons,
    }
    return pd.DataFrame(columns, index=frame.index, dtype="str")


def _download_all(
    locations: Sequence[PictureLocation], folder: Path, cloud: Cloud | None
) -> list[Path | ImagenError]:
    """Return the file of each picture, or why there is none; sign all URLs at once."""
    present = map_in_threads(locations, lambda one: _find_downloaded(one, folder))
    absent = [
        location
        for location, path in zip(locations, present, strict=True)
        if path is None
    ]
    remote = [one for one in absent if not (one.local or one.not_in_cloud)]
    urls: dict[str, str] = {}
    reasons: dict[str, str] = {}
    if cloud:
        urls, reasons = sign_paths(cloud, [one.picture.storage_path for one in remote])

    def read(cloud: Cloud, picture: CloudPicture) -> bytes:
        if reason := reasons.get(picture.storage_path):
            raise ObjectMissingError(reason)
        return picture_cache.download_picture(
            cloud, picture, urls[picture.storage_path]
        )

    def save(location: PictureLocation) -> Path:
        data = load_picture_file(location, cloud, read)
        return _save_under_free_name(location, folder, data)

    saved = iter(map_in_threads(absent, save, "downloading"))
    return [next(saved) if path is None else path for path in present]


def _find_downloaded(location: PictureLocation, folder: Path) -> Path | None:
    """Return the picture's file in the folder, found by its hash, or None."""
    if location.picture.sha256 is None:
        return None
    number = 1
    while (path := _numbered_path(location, folder, number)).is_file():
        with suppress(OSError):
            sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
            if sha256 == location.picture.sha256:
                return path
        number += 1
    return None


def _save_under_free_name(location: PictureLocation, folder: Path, data: bytes) -> Path:
    """Save under the first name that is free, or that has these very bytes."""
    number = 1
    with explain_folder_errors(folder), temporary_file(folder, data) as temporary:
        while True:
            path = _numbered_path(location, folder, number)
            with suppress(FileExistsError):
                move_to_new_name(temporary, path)
                return path
            if path.is_file() and path.read_bytes() == data:
                return path
            number += 1


def _numbered_path(location: PictureLocation, folder: Path, number: int) -> Path:
    stem, suffix = download_name(location.picture.storage_path, location.picture.id)
    return (folder / numbered_name(stem, number)).with_suffix(suffix)


def download_name(storage_path: str, id: str) -> tuple[str, str]:
    """Return the stem ("<day>-<name>") and the suffix of a picture's file.

    The name is a safe one, whatever the row says: a path that is not one of ours
    becomes plain letters and a hash, so that two of them stay apart.

    Example:
        >>> download_name("5c2f/2026-05-11/a-boat-11.png", id)
        ('2026-05-11-a-boat-11', '.png')
    """
    path = PurePosixPath(storage_path)
    day, stem = path.parent.name, path.stem
    suffix = path.suffix if path.suffix in _PICTURE_SUFFIXES else ".png"
    is_ours = _DAY_FOLDER.fullmatch(day) and _SAFE_STEM.fullmatch(stem)
    if is_ours and path.suffix == suffix:
        return f"{day}-{stem}", suffix
    identity = f"{id}\n{storage_path}".encode(errors="surrogatepass")
    return f"{slug(stem)}-{hashlib.sha256(identity).hexdigest()[:12]}", suffix
