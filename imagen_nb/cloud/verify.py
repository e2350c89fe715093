"""Compares pictures with their copies in the cloud, and sends again what is lost there."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from imagen_nb.cloud.claims import claimant_of, is_claimed_by
from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.connection import MAX_CONNECTIONS
from imagen_nb.cloud.sync import drain
from imagen_nb.cloud.sync_report import RepairReport
from imagen_nb.cloud.upload import is_same_file, load_png
from imagen_nb.errors import CloudError, StorageError
from imagen_nb.storage.catalog import Catalog, CatalogEntry
from imagen_nb.storage.outbox import Outbox

_PICTURES_PER_REQUEST = 200  # whose rows and URLs are asked for at once


@dataclass(frozen=True, slots=True)
class Difference:
    """A picture whose copy is not as it should be.

    `line`: what is wrong, for people. `recorded`: the path that its row names, if it
    has a row.
    """

    entry: CatalogEntry
    what: Literal["row", "path", "object", "bytes", "file"]
    line: str
    recorded: str | None = None


def compare_copies(
    entries: Sequence[CatalogEntry],
    cloud: Cloud,
    progress: Callable[[int, int], None] | None = None,
) -> list[Difference]:
    """Return each picture whose row or object is missing, another, or unreadable.

    Objects are read by signed URLs, as other programs would. Raise CloudError if the
    cloud does not answer at all.
    """
    differences: list[Difference] = []
    with ThreadPoolExecutor(MAX_CONNECTIONS) as pool:
        for start in range(0, len(entries), _PICTURES_PER_REQUEST):
            batch = entries[start : start + _PICTURES_PER_REQUEST]
            rows = cloud.paths([str(entry.record.id) for entry in batch])
            urls = cloud.signed_urls(
                [entry.record.storage_path or "" for entry in batch]
            )
            compare = partial(_compare_copy, cloud, rows, urls)
            differences += [one for one in pool.map(compare, batch) if one]
            if progress:
                progress(start + len(batch), len(entries))
    return differences


def _compare_copy(
    cloud: Cloud, rows: dict[str, str], urls: dict[str, str | None], entry: CatalogEntry
) -> Difference | None:
    name, path = entry.path.name, entry.record.storage_path
    row, url = rows.get(str(entry.record.id)), urls.get(path or "")
    if row is None:
        line = f"{name}: no row {entry.record.id} in imagen.images"
        return Difference(entry, "row", line)
    if row != path:
        line = f"{name}: its row names {row}, its sidecar {path}"
        return Difference(entry, "path", line, row)
    if url is None:
        return Difference(entry, "object", f"{name}: no object {path}", row)
    try:
        png = entry.path.read_bytes()
    except OSError as error:
        return Difference(entry, "file", f"{name}: {error.strerror}", row)
    try:
        if cloud.read(url) == png:
            return None
    except CloudError as error:
        line = f"{name}: the object {path} could not be read: {error}"
        return Difference(entry, "bytes", line, row)
    line = f"{name}: the object {path} is another file"
    return Difference(entry, "bytes", line, row)


def repair_copies(
    catalog: Catalog,
    entries: Sequence[CatalogEntry],
    cloud: Cloud,
    progress: Callable[[int, int], None] | None = None,
) -> RepairReport:
    """Compare the pictures with their copies, and send again those that differ.

    What cannot be sent, as its file here is gone or was changed, is left as it is.
    """
    differences = compare_copies(entries, cloud, progress)
    left: list[str] = []
    tried: dict[Path, str] = {}
    again: list[CatalogEntry] = []
    for one in differences:
        try:
            png = load_png(one.entry)  # or the copy may be the only one that is right
            if one.what == "path" and _take_over_path(one, png, catalog, cloud):
                tried[one.entry.path] = one.line
                continue
            if one.what == "bytes" and _is_own(one.entry, cloud):
                cloud.replace(one.entry.record.storage_path or "", png)
        except (CloudError, StorageError) as error:
            left.append(f"{one.line}: {error}")
            continue
        again.append(one.entry)
        tried[one.entry.path] = one.line
    Outbox(catalog).resend(again)
    report = drain(catalog, cloud, [str(entry.record.id) for entry in again])
    for one in compare_copies(_entries_of_files(catalog, [*tried]), cloud):
        tried.pop(one.entry.path)
        left.append(one.line)
    return RepairReport(tuple(tried.values()), tuple(left), report)


def _take_over_path(
    difference: Difference, png: bytes, catalog: Catalog, cloud: Cloud
) -> bool:
    """Note the path that the row names, if the file is there; return whether it is."""
    recorded = difference.recorded or ""
    stored = cloud.object_info(recorded)
    if stored is None or not is_same_file(stored, png):
        return False
    catalog.amend(difference.entry, storage_path=recorded)
    return True


def _is_own(entry: CatalogEntry, cloud: Cloud) -> bool:
    """Return whether its path is its own, and no other picture's row names it."""
    id, path = str(entry.record.id), entry.record.storage_path or ""
    owner, _ = cloud.owner()
    claim = cloud.claim([(path, str(claimant_of(entry)))]).get(path)
    if claim is None or not is_claimed_by(entry, claim, owner):
        return False
    filters = [("storage_path", f"eq.{path}"), ("id", f"neq.{id}"), ("limit", "1")]
    return not cloud.rows(filters, "id")


def _entries_of_files(catalog: Catalog, paths: Sequence[Path]) -> list[CatalogEntry]:
    """Return what the catalog has of these files now: an id may have changed."""
    names = [path.relative_to(catalog.folder).as_posix() for path in paths]
    clauses = "WHERE path IN (SELECT value FROM json_each(?))"
    return catalog.select(clauses, json.dumps(names))
