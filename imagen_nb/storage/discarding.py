"""Pictures that were drawn for jobs and are not wanted: found, and removed for good."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from imagen_nb.errors import StorageError
from imagen_nb.storage.catalog import Catalog, CatalogEntry
from imagen_nb.storage.names import sidecar_of
from imagen_nb.storage.output import SavedPicture, load_png_record, load_sidecar
from imagen_nb.system.atomic import (
    explain_folder_errors,
    flush_folder,
    names_in,
    write_atomically,
)


def unsent_job_pictures(catalog: Catalog) -> list[CatalogEntry]:
    """Return the pictures that were drawn for jobs and that the cloud may not have.

    Those too whose worker died before it wrote the sidecar: it is made anew.
    """
    _enter_without_sidecar(catalog)
    if not catalog.has_any():
        return []
    return catalog.select(
        "WHERE cloud_state <> 'synced' AND json_valid(sidecar)"
        " AND json_extract(sidecar, '$.job') IS NOT NULL ORDER BY created_at, id"
    )


def discard_picture(catalog: Catalog, entry: CatalogEntry) -> bool:
    """Remove a job's picture from the folder, then from the catalog, not to the trash.

    In the cloud nothing is removed: there the id is another file's, that of whoever
    drew the job's picture first. What is interrupted is found by
    `unsent_job_pictures`, and done again.

    Returns:
        Whether it was there, and still unsent.

    Raises:
        StorageError: if the folder cannot be changed.
    """
    id = str(entry.record.id)
    with catalog.sidecar_lock(), explain_folder_errors(catalog.folder):
        current = catalog.get(id)
        if current is None or current.cloud_state == "synced":
            return False
        if current.record.job is None or current.path != entry.path:
            return False
        _unlink(current.path)
        flush_folder(catalog.folder)
        with catalog.transaction(durable=True) as connection:
            connection.execute("DELETE FROM images WHERE id = ?", (id,))
            connection.execute("DELETE FROM tag_changes WHERE id = ?", (id,))
    return True


def discard_duplicate(catalog: Catalog, path: Path) -> None:
    """Remove the files of a job's picture that has no row: another has its id.

    Raises `StorageError` if the folder cannot be changed.
    """
    with catalog.sidecar_lock(), explain_folder_errors(catalog.folder):
        record = load_sidecar(sidecar_of(path))
        kept = record and catalog.get(record.id)
        if record and record.job and kept and kept.path != path:
            _unlink(path)


def _unlink(path: Path) -> None:
    """The picture first: a sidecar alone is nobody's picture."""
    path.unlink(missing_ok=True)
    sidecar_of(path).unlink(missing_ok=True)


def _enter_without_sidecar(catalog: Catalog) -> None:
    names = {*names_in(catalog.folder)}
    alone = [name for name in names if name.endswith(".png")]
    for name in alone:
        path = catalog.folder / name
        if sidecar_of(path).name in names:
            continue
        with suppress(StorageError):  # another program's picture, or gone
            record = load_png_record(path)
            if record.job:
                write_atomically(sidecar_of(path), record.to_sidecar().encode())
                catalog.add(SavedPicture(path, sidecar_of(path), record), "off")
