"""The format `imagefolder`: pictures beside a metadata.jsonl, as Hugging Face's datasets read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from imagen_nb.errors import StorageError
from imagen_nb.frames.plugins.exporters import ExportedPicture
from imagen_nb.frames.plugins.metadata import shared_facts
from imagen_nb.frames.plugins.shards import remove_others

METADATA = "metadata.jsonl"


class ImageFolder:
    """Writes each picture's file, and a line about it."""

    def __call__(
        self, pictures: Iterable[ExportedPicture], folder: Path
    ) -> Iterator[Path]:
        """Write each picture's file, and a line about it; yield the file.

        A line has `file_name`, `text` (the caption, as training scripts call it) and
        the frame's columns, the whole record excepted.
        `datasets.load_dataset("imagefolder", data_dir=folder)` gives the columns
        `image`, `text` and so on.
        """
        return self.resume(pictures, folder, ())

    def resume(
        self,
        pictures: Iterable[ExportedPicture],
        folder: Path,
        done: Sequence[Path],
    ) -> Iterator[Path]:
        """See `ResumableExporter.resume`."""
        remove_others(folder, [folder / METADATA, *done])
        _keep_lines(folder / METADATA, len(done))
        with (folder / METADATA).open("a", encoding="utf-8") as lines:
            for picture in pictures:
                path = folder / picture.name
                path.write_bytes(picture.data)
                line = {"file_name": picture.name, "text": picture.caption}
                line |= shared_facts(picture)
                lines.write(json.dumps(line, ensure_ascii=True) + "\n")
                lines.flush()  # or a process that is killed takes it along
                yield path


def _keep_lines(path: Path, count: int) -> None:
    """Cut a file after so many lines. Raise `StorageError` if it has fewer."""
    if not count:
        path.unlink(missing_ok=True)
        return
    with path.open("r+b") as file:
        if not all(file.readline().endswith(b"\n") for _ in range(count)):
            raise StorageError(f"{path} is torn: remove {path.parent}, and begin anew")
        file.truncate(file.tell())


imagefolder = ImageFolder()  # the entry point
