"""An exporter: each picture with its prompt and tags in a text file of the same name."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from imagen_nb.frames.plugins.exporters import ExportedPicture


def captions(pictures: Iterable[ExportedPicture], folder: Path) -> Iterator[Path]:
    """What the entry point names: yields where each picture is, once it is written.

    The folder is new and empty, and gets its name when all is written: nothing can be
    overwritten, and nothing half-written remains.
    """
    for picture in pictures:  # one after the other: all of them may not fit into memory
        path = folder / picture.name  # safe and unique, whatever the prompt says
        path.write_bytes(picture.data)
        words = [picture.row.get("prompt") or "", *picture.row.get("tags", ())]
        text = ", ".join(word for word in words if word)
        path.with_suffix(".txt").write_text(f"{text}\n", encoding="utf-8")
        yield path
