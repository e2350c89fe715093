"""Files of input images: saved beside the pictures drawn from them, and loaded."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from imagen_nb.errors import BackendError
from imagen_nb.request.images import IMAGE_SUFFIXES, InputImage, decode_input
from imagen_nb.request.options import IMAGE_OPTIONS
from imagen_nb.storage.record import Record
from imagen_nb.system.atomic import (
    explain_folder_errors,
    flush_folder,
    make_folder,
    write_atomically,
)

INPUTS_FOLDER = "inputs"  # within the folder of the pictures
_INPUT_FILE_PATTERN = re.compile(
    rf"{INPUTS_FOLDER}/([0-9a-f]{{64}})\.({'|'.join(IMAGE_SUFFIXES.values())})"
)


def save_inputs(folder: Path, inputs: Mapping[str, InputImage]) -> None:
    """Write the files that are missing or torn, named by their sha256, and flush them.

    Raises `StorageError` if the folder is full or cannot be written to.
    """
    with explain_folder_errors(folder):
        for image in inputs.values():
            path = folder / INPUTS_FOLDER / image.file_name
            if not (path.is_file() and path.stat().st_size == len(image.data)):
                make_folder(path.parent)
                write_atomically(path, image.data)
        if inputs:
            flush_folder(folder / INPUTS_FOLDER)


def inputs_for_record(inputs: Mapping[str, InputImage]) -> tuple[dict[str, Any], ...]:
    """Return the value of `Record.inputs` for these images, given by option name."""
    return tuple(
        {
            "name": name,
            "sha256": image.sha256,
            "bytes": len(image.data),
            "file": f"{INPUTS_FOLDER}/{image.file_name}",
        }
        for name, image in inputs.items()
    )


def load_saved_input(name: str, file_name: str, folder: Path) -> InputImage:
    """Load an image that `save_inputs` wrote into a folder, by its `file_name`.

    Raises `BackendError` if it is not there, or was changed since.
    """
    file = f"{INPUTS_FOLDER}/{file_name}"
    known = _INPUT_FILE_PATTERN.fullmatch(file)
    if not known:
        raise BackendError(f"{file_name!r:.100} is no file of an input image")
    return _load_input(name, {"file": file, "sha256": known[1]}, [folder])


def load_inputs(
    record: Record,
    folders: Iterable[Path],
    names: Iterable[str] = IMAGE_OPTIONS,
    fetch: Callable[[Mapping[str, Any]], bytes | None] = lambda values: None,
) -> dict[str, InputImage]:
    """Load the images that a picture was drawn from.

    Args:
        record: the picture's record.
        folders: folders of pictures to look in, in this order.
        names: the options whose images are needed, such as init_image.
        fetch: gets one that is in no folder from elsewhere, whole, given its values in
            `Record.inputs`; None if it cannot.

    Raises:
        BackendError: if one is in none of the folders, or was changed since.
    """
    distinct = list(dict.fromkeys(folders))
    requested = set(names)
    return {
        name: _load_input(name, values, distinct, fetch)
        for name, values in recorded_inputs(record).items()
        if name in requested
    }


def recorded_inputs(record: Record) -> dict[str, Mapping[str, Any]]:
    """Return the record's inputs by option name.

    Raises `BackendError` for what is not an input: records of others are not to be
    trusted.
    """
    inputs: dict[str, Mapping[str, Any]] = {
        str(values.get("name")): values for values in record.inputs
    }
    for name, values in inputs.items():
        is_file = _INPUT_FILE_PATTERN.fullmatch(str(values.get("file")))
        if name not in IMAGE_OPTIONS or not is_file:
            raise BackendError(
                f"the picture's record has an input that is none: {values!r:.100}"
            )
    return inputs


def _load_input(
    name: str,
    values: Mapping[str, Any],
    folders: list[Path],
    fetch: Callable[[Mapping[str, Any]], bytes | None] = lambda values: None,
) -> InputImage:
    file, state = str(values["file"]), "is not here"
    for folder in folders:
        path = folder / file
        if path.is_file():
            data = path.read_bytes()
            if hashlib.sha256(data).hexdigest() == values.get("sha256"):
                return decode_input(name, data)
            state = "was changed since"
    fetched = fetch(values)
    if fetched is not None:
        return decode_input(name, fetched)
    where = folders[0] / file if folders else file
    raise BackendError(
        f"the {name} that the picture was drawn from {state}: put the file with the "
        f"sha256 {values.get('sha256')} at {where}, or name another with {name}="
    )
