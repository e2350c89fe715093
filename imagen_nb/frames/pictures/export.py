"""Pictures of a frame as a folder or a zip to give to others, with sidecars or as data sets."""

from __future__ import annotations

import os
import zipfile
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from imagen_nb.cloud.client import Cloud
from imagen_nb.errors import StorageError, UsageError
from imagen_nb.frames.pictures.dataset import Dataset, DatasetOptions
from imagen_nb.frames.pictures.download import download_pictures
from imagen_nb.frames.pictures.staging import Staging, staged_export
from imagen_nb.frames.plugins.exporters import EXPORTERS, SIDECARS
from imagen_nb.frames.schema import parse_sidecar, text_or_empty
from imagen_nb.storage.names import sidecar_of
from imagen_nb.storage.output import load_record
from imagen_nb.storage.record import Record
from imagen_nb.system.atomic import (
    explain_folder_errors,
    flush_folder,
    make_folder,
    move_to_new_name,
    temporary_name,
    write_atomically,
)
from imagen_nb.system.paths import absolute_path

if TYPE_CHECKING:
    import pandas as pd

_AS_IT_IS = DatasetOptions()


def export_pictures(
    frame: pd.DataFrame,
    target: Path | str,
    cloud: Cloud | None,
    format: str = SIDECARS,
    options: DatasetOptions = _AS_IT_IS,
) -> pd.DataFrame:
    """Write every picture in a format, as `Accessor.export` documents.

    Returns:
        A frame as that of `download_pictures`, with the column split where one was
        asked for; in a zip, `path` is the name inside it.

    Raises:
        UsageError: if there are no pictures, the frame lacks columns, or there is no
            such format or option.
        StorageError: if the folder or zip cannot be written, or is there already: only
            with sidecars may pictures be added to a folder.
    """
    EXPORTERS.require(format)
    if not len(frame):
        raise UsageError("there are no pictures to export")
    if format == SIDECARS and options != _AS_IT_IS:
        raise UsageError(
            "captions, split, size and other options are for data sets: with sidecars,"
            " pictures stay as they are"
        )
    path = absolute_path(target)
    is_zip = path.suffix.lower() == ".zip"
    if format == SIDECARS and not is_zip:
        return _export_to_folder(frame, path, cloud)
    dataset = None if format == SIDECARS else Dataset(frame, format, options, cloud)
    if _is_occupied(path):
        raise StorageError(f"{path} exists: choose another name, or remove it")
    with explain_folder_errors(path.parent):
        make_folder(path.parent)
        with _staging(path, dataset) as staging:
            folder = staging.folder
            if dataset is None:
                done = _export_to_folder(frame, folder, cloud)
            else:
                done = dataset.write(staging)
            inside = done["path"].map(lambda one: _name_inside(folder, one), "ignore")
            if is_zip:
                _zip_folder(folder, path)
                return done.assign(path=inside)
            os.replace(folder, path)
            flush_folder(path.parent)
    return done.assign(path=inside.map(lambda one: str(path / one), "ignore"))


def _staging(path: Path, dataset: Dataset | None) -> AbstractContextManager[Staging]:
    if dataset is None:
        return staged_export(path, SIDECARS, resumable=False)
    return staged_export(path, dataset.purpose, resumable=dataset.is_resumable)


def _is_occupied(path: Path) -> bool:
    """Tell whether something is there already; an empty folder is nothing."""
    if path.is_dir():
        return path.suffix.lower() == ".zip" or any(path.iterdir())
    return path.exists()


def _name_inside(folder: Path, file: str) -> str:
    return Path(file).relative_to(folder).as_posix()


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
            for path in sorted(folder.rglob("*")):
                archive.write(path, path.relative_to(folder))
        move_to_new_name(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
