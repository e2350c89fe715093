"""Reads back what the cloud has, by signed URLs as other programs would, and compares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from imagen_nb.cloud.client import CONNECTIONS, Cloud
from imagen_nb.cloud.errors import Rejected
from imagen_nb.storage.catalog import CatalogEntry

_BATCH = 200  # pictures whose rows and URLs are asked for at once


def differences(
    entries: Sequence[CatalogEntry],
    cloud: Cloud,
    progress: Callable[[int, int], None] | None = None,
) -> list[str]:
    """A line for each picture whose row or object is missing, or is not the picture here."""
    found: list[str] = []
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        for start in range(0, len(entries), _BATCH):
            batch = entries[start : start + _BATCH]
            rows = cloud.paths([str(entry.record.id) for entry in batch])
            paths = [entry.record.storage_path or "" for entry in batch]
            urls = cloud.signed_urls(paths)
            compare = partial(_difference, cloud)
            rowed = [rows.get(str(entry.record.id)) for entry in batch]
            found += filter(None, pool.map(compare, batch, rowed, map(urls.get, paths)))
            if progress:
                progress(start + len(batch), len(entries))
    return found


def _difference(
    cloud: Cloud, entry: CatalogEntry, row: str | None, url: str | None
) -> str | None:
    name, path = entry.path.name, entry.record.storage_path
    if row is None:
        return f"{name}: no row {entry.record.id} in imagen.images"
    if row != path:
        return f"{name}: its row names {row}, its sidecar {path}"
    if url is None:
        return f"{name}: no object {path}"
    try:
        same = cloud.read(url) == entry.path.read_bytes()
    except (Rejected, OSError) as error:
        return f"{name}: {error}"
    return None if same else f"{name}: the object {path} is another file"
