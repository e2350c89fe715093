"""The format `kohya`: pictures with captions beside them, as kohya's sd-scripts read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from imagen_nb.errors import UsageError
from imagen_nb.frames.plugins.exporters import ExportedPicture
from imagen_nb.frames.plugins.shards import remove_others

_SAFE_NAME = re.compile(r"[\w][\w -]{0,99}", re.ASCII)


class Kohya:
    """Writes "<repeats>_<name>/<picture>.png" and a .txt of the same name."""

    def __call__(
        self,
        pictures: Iterable[ExportedPicture],
        folder: Path,
        *,
        repeats: int = 1,
        name: str = "pictures",
    ) -> Iterator[Path]:
        """Write each picture, and its caption beside it; yield the picture's file.

        The folder is what sd-scripts take as `--train_data_dir`
        (https://github.com/kohya-ss/sd-scripts, docs/train_README.md).

        Args:
            pictures: those to write.
            folder: where "<repeats>_<name>" is made.
            repeats: how often an epoch shows each picture, 1 or more.
            name: letters, digits, spaces, _ and -.
        """
        return self.resume(pictures, folder, (), repeats=repeats, name=name)

    def resume(
        self,
        pictures: Iterable[ExportedPicture],
        folder: Path,
        done: Sequence[Path],
        *,
        repeats: int = 1,
        name: str = "pictures",
    ) -> Iterator[Path]:
        """See `ResumableExporter.resume`."""
        concept = folder / _concept_name(repeats, name)
        concept.mkdir(exist_ok=True)
        remove_others(concept, [*done, *(path.with_suffix(".txt") for path in done)])
        for picture in pictures:
            path = concept / picture.name
            text = " ".join(picture.caption.split())  # sd-scripts read one line
            path.with_suffix(".txt").write_text(f"{text}\n", encoding="utf-8")
            path.write_bytes(picture.data)
            yield path


def _concept_name(repeats: int, name: str) -> str:
    if not isinstance(repeats, int) or isinstance(repeats, bool) or repeats < 1:
        raise UsageError(f"repeats is a whole number, 1 or more, not {repeats!r}")
    if not isinstance(name, str) or not _SAFE_NAME.fullmatch(name):
        raise UsageError(f"name has letters, digits, spaces, _ and -, not {name!r}")
    return f"{repeats}_{name}"


kohya = Kohya()  # the entry point
