"""Pictures that are only in the cloud, kept here once they were looked at."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath

from imagen_nb.atomic import write_whole
from imagen_nb.cloud.answers import Missing
from imagen_nb.cloud.client import Cloud
from imagen_nb.output import explained, slug
from imagen_nb.paths import cache_folder


def cached_path(folder: Path, storage_path: str) -> Path:
    """Where in the cache an object lies, or would.

    A row of the cloud can say anything: its path becomes a hash and a slug, so that no `..`, no
    root and no reserved name is left to reach outside `folder`.
    """
    digest = hashlib.sha256(storage_path.encode(errors="surrogatepass")).hexdigest()
    return folder / f"{slug(PurePosixPath(storage_path).stem)}-{digest[:16]}.png"


def fetch(cloud: Cloud, storage_path: str, folder: Path | None = None) -> Path:
    """The object's file in the cache, read from the cloud if it is not there yet.

    `folder`: ~/.cache/imagen/pictures unless given.
    Raises `CloudError` when it cannot be read, `StorageError` when it cannot be written.
    """
    path = cached_path(folder or cache_folder() / "pictures", storage_path)
    if path.exists():
        return path
    url = cloud.signed_urls([storage_path])[storage_path]
    if url is None:
        raise Missing(f"there is no object {storage_path}, or no right to read it")
    data = cloud.read(url)
    with explained(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, data)
    return path
