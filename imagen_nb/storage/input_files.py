"""The files of inputs: kept beside the pictures that were drawn from them, and found again."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from imagen_nb.errors import BackendError
from imagen_nb.request.images import KINDS, Input, input_of
from imagen_nb.request.options import IMAGES
from imagen_nb.storage.record import Record
from imagen_nb.system.atomic import explained, write_whole

INPUTS_FOLDER = "inputs"  # in the folder of the pictures
_INPUT_FILE_PATTERN = re.compile(
    rf"{INPUTS_FOLDER}/([0-9a-f]{{64}})\.({'|'.join(KINDS.values())})"
)


def save_inputs(folder: Path, inputs: Mapping[str, Input]) -> None:
    """Write the files that are not there yet.

    Raises `StorageError` when the folder is full or cannot be written.
    """
    with explained(folder):
        for image in inputs.values():
            path = folder / INPUTS_FOLDER / image.file_name
            if not (path.is_file() and path.stat().st_size == len(image.data)):
                path.parent.mkdir(parents=True, exist_ok=True)
                write_whole(path, image.data)


def inputs_for_record(inputs: Mapping[str, Input]) -> tuple[dict[str, Any], ...]:
    """What records have of inputs."""
    return tuple(
        {
            "name": name,
            "sha256": image.sha256,
            "bytes": len(image.data),
            "file": f"{INPUTS_FOLDER}/{image.file_name}",
        }
        for name, image in inputs.items()
    )


def load_inputs(
    record: Record, folders: Iterable[Path], names: Iterable[str] = IMAGES
) -> dict[str, Input]:
    """The images that a picture was drawn from, those of `names`, from one of these folders.

    Raises `BackendError` when one is in none of them, or is another file than it was.
    """
    places, told = [*dict.fromkeys(folders)], recorded_inputs(record)
    return {
        name: _load_input(name, told[name], places) for name in told if name in names
    }


def recorded_inputs(record: Record) -> dict[str, Mapping[str, Any]]:
    """What a record says of its inputs, by name. Raises `BackendError` for what it cannot say."""
    told: dict[str, Mapping[str, Any]] = {
        str(one.get("name")): one for one in record.inputs
    }
    for name, one in told.items():
        if name not in IMAGES or not _INPUT_FILE_PATTERN.fullmatch(
            str(one.get("file"))
        ):
            raise BackendError(
                f"the picture's record has an input that is none: {one!r:.100}"
            )
    return told


def _load_input(name: str, told: Mapping[str, Any], folders: list[Path]) -> Input:
    file, state = str(told["file"]), "is not here"
    for folder in folders:
        path = folder / file
        if path.is_file():
            data = path.read_bytes()
            if hashlib.sha256(data).hexdigest() == told.get("sha256"):
                return input_of(name, data)
            state = "was changed since"
    where = folders[0] / file if folders else file
    raise BackendError(
        f"the {name} that the picture was drawn from {state}: put the file with the sha256 "
        f"{told.get('sha256')} at {where}, or name another with {name}="
    )
