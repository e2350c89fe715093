"""The format `imagefolder`: pictures beside a metadata.jsonl, as Hugging Face's datasets read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from imagen_nb.frames.plugins.exporters import ExportedPicture

METADATA = "metadata.jsonl"


def imagefolder(pictures: Iterable[ExportedPicture], folder: Path) -> Iterator[Path]:
    """Write each picture's file, and a line about it; yield the file.

    A line has `file_name`, `text` (the prompt, as training scripts call it) and the
    frame's columns, the whole record excepted. `datasets.load_dataset("imagefolder",
    data_dir=folder)` gives the columns `image`, `text` and so on.
    """
    with (folder / METADATA).open("w", encoding="utf-8") as lines:
        for picture in pictures:
            path = folder / picture.name
            path.write_bytes(picture.data)
            lines.write(json.dumps(_metadata_of(picture), ensure_ascii=True) + "\n")
            yield path


def _metadata_of(picture: ExportedPicture) -> dict[str, object]:
    columns = {
        name: value for name, value in picture.row.items() if name not in _LEFT_OUT
    }
    return {"file_name": picture.name, "text": picture.row.get("prompt"), **columns}


_LEFT_OUT = {
    "file_name",
    "text",  # names of ours, whatever the frame has under them
    "prompt",  # as `text`
    "sidecar",  # with other keys in each row, which no table of Arrow takes
    "storage_path",
    "owner_user_id",
}
