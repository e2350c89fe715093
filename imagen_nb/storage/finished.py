"""Keeps pictures that another machine finished: file and sidecar byte for byte."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from imagen_nb.backends import FinishedFile
from imagen_nb.errors import StorageError
from imagen_nb.request.images import InputImage
from imagen_nb.storage.catalog_schema import CatalogBusyError
from imagen_nb.storage.folders import OutputFolder
from imagen_nb.storage.input_files import save_inputs
from imagen_nb.storage.names import numbered_name, sidecar_of, stem_of
from imagen_nb.storage.output import SavedPicture
from imagen_nb.storage.picture import Picture
from imagen_nb.storage.record import Record
from imagen_nb.system.atomic import (
    explain_folder_errors,
    flush_folder,
    make_folder,
    move_to_new_name,
    temporary_file,
)
from imagen_nb.system.terminal import print_notice

_WITHOUT_INPUTS: Mapping[str, InputImage] = {}


def keep_finished(
    file: FinishedFile,
    folder: OutputFolder,
    inputs: Mapping[str, InputImage] = _WITHOUT_INPUTS,
) -> Picture:
    """Keep a picture under the next free name, its copy being in the cloud already.

    One that the catalog has is that picture.

    Args:
        file: the PNG, and its sidecar.
        folder: where it goes.
        inputs: the images that it was drawn from, which are kept beside it.

    Raises:
        StorageError: if the file is not the one of its record, or cannot be written.
    """
    record = Record.from_sidecar(file.sidecar)
    if hashlib.sha256(file.png).hexdigest() != record.sha256:
        raise StorageError(f"the file of {record.id} is not the one of its record")
    known = folder.catalog.get(record.id)
    if known:
        return Picture(known.record, known.path, known.sidecar_path, folder.catalog)
    save_inputs(folder.files.folder, inputs)
    saved = _place(file, record, folder)
    try:
        folder.catalog.add(saved, "synced")
    except CatalogBusyError as error:  # then a sync finds that its copy is there
        print_notice(f"{saved.path.name} is kept, and entered later: {error}")
    return Picture(record, saved.path, saved.sidecar_path, folder.catalog)


def _place(file: FinishedFile, record: Record, folder: OutputFolder) -> SavedPicture:
    """Write both files: the PNG under a name of its own, then the sidecar beside it."""
    root = folder.files.folder
    stem = folder.stem or stem_of(record, record.created_at.astimezone().date())
    with explain_folder_errors(root):
        make_folder(root)
        with (
            temporary_file(root, file.png) as png,
            temporary_file(root, file.sidecar.encode()) as sidecar,
        ):
            path = _claim_free_name(png, root, stem)
            try:
                os.replace(sidecar, sidecar_of(path))
            except BaseException:
                path.unlink(missing_ok=True)
                raise
        flush_folder(root)
    return SavedPicture(path, sidecar_of(path), record)


def _claim_free_name(png: Path, root: Path, stem: str) -> Path:
    number = 1
    while True:
        path = root / numbered_name(stem, number)
        number += 1
        if os.path.lexists(sidecar_of(path)):
            continue
        with suppress(FileExistsError):
            move_to_new_name(png, path)
            return path
