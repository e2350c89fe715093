"""Pictures of a frame, with their sidecars, as a folder or a zip to give to others."""

from __future__ import annotations

import tempfile
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from imagen_nb.cloud.client import Cloud
from imagen_nb.errors import StorageError, UsageError
from imagen_nb.frames.pictures.download import download_pictures
from imagen_nb.frames.schema import parse_sidecar, text_or_empty
from imagen_nb.storage.names import sidecar_of
from imagen_nb.storage.output import load_record
from imagen_nb.storage.record import Record
from imagen_nb.system.atomic import (
    explain_folder_errors,
    make_folder,
    move_to_new_name,
    temporary_name,
    write_atomically,
)
from imagen_nb.system.paths import absolute_path

if TYPE_CHECKING:
    import pandas as pd


def export_pictures(
    frame: pd.DataFrame, target: Path | str, cloud: Cloud | None
) -> pd.DataFrame:
    """Write every picture and its sidecar, as `Accessor.export` documents.

    Returns:
        A frame as that of `download_pictures`; in a zip, `path` is the name inside it.

    Raises:
        UsageError: if there are no pictures, or the frame lacks columns.
        StorageError: if the folder or zip cannot be written, or the zip exists.
    """
    if not len(frame):
        raise UsageError("there are no pictures to export")
    path = absolute_path(target)
    if path.suffix.lower() != ".zip":
        return _export_to_folder(frame, path, cloud)
    if path.exists():
        raise StorageError(f"{path} exists: choose another name, or remove it")
    with explain_folder_errors(path.parent):
        make_folder(path.parent)
        with tempfile.TemporaryDirectory(
            dir=path.parent, prefix=".imagen-export-"
        ) as folder:
            done = _export_to_folder(frame, Path(folder), cloud)
            _zip_folder(Path(folder), path)
    return done.assign(path=done["path"].map(lambda one: Path(one).name, "ignore"))


def _export_to_folder(
    frame: pd.DataFrame, folder: Path, cloud: Cloud | None
) -> pd.DataFrame:
    done = download_pictures(frame, folder, cloud)
    sidecars = frame["sidecar"] if "sidecar" in frame.columns else [None] * len(frame)
    columns = (done["path"], frame["local_path"], sidecars)
    with explain_folder_errors(folder):
        for saved, local, sidecar in zip(*columns, strict=True):
            if isinstance(saved, str):
                _write_sidecar_of(Path(saved), text_or_empty(local), sidecar)
    return done


def _write_sidecar_of(saved: Path, local: str, sidecar: object) -> None:
    """Write what is known of a picture; of some that others made that is nothing."""
    record = _record_of(saved, local, sidecar)
    if record:
        # What its cloud is still to learn is nothing for others.
        text = record.model_copy(update={"unsent_tags": ()}).to_sidecar()
        write_atomically(sidecar_of(saved), text.encode())


def _record_of(saved: Path, local: str, sidecar: object) -> Record | None:
    """Return the record as it is here by now, or that of the row, or of the PNG."""
    if local:
        with suppress(StorageError):
            return load_record(Path(local))
    with suppress(ValueError):
        return Record.model_validate(parse_sidecar(sidecar))
    with suppress(StorageError):
        return load_record(saved)
    return None


def _zip_folder(folder: Path, target: Path) -> None:
    temporary = temporary_name(target.parent)
    try:
        with zipfile.ZipFile(temporary, "x") as archive:  # pictures are compressed
            for path in sorted(folder.iterdir()):
                archive.write(path, path.name)
        move_to_new_name(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
