"""Pictures of a frame, handed to an exporter one after the other."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagen_nb.cloud.client import Cloud
from imagen_nb.errors import ImagenError
from imagen_nb.frames.pictures.batches import PICTURES_PER_BATCH
from imagen_nb.frames.pictures.download import download_name
from imagen_nb.frames.pictures.locate import (
    PictureLocation,
    complete_from_cloud,
    load_picture_file,
    locate_pictures,
)
from imagen_nb.frames.pictures.parallel import map_in_threads
from imagen_nb.frames.plugins.exporters import ExportedPicture, load_exporter
from imagen_nb.frames.schema import json_rows, parse_tags, plain_value
from imagen_nb.storage.names import numbered_name
from imagen_nb.system.progress import progress_bar
from imagen_nb.system.terminal import print_notice

if TYPE_CHECKING:
    import pandas as pd

_NOTHING_TO_OTHERS = ("local_path", "cloud")  # columns


def write_dataset(
    frame: pd.DataFrame, folder: Path, format: str, cloud: Cloud | None
) -> pd.DataFrame:
    """Let the exporter of this name write the frame's pictures into an empty folder.

    Returns:
        The columns id, path (None if there is no file) and reason (why), with the index
        of the frame.

    Raises:
        UsageError: for an unknown format, or if the frame lacks columns.
        ImagenError: if the exporter cannot be loaded, or does not say what it wrote.
    """
    import pandas as pd

    exporter = load_exporter(format)
    locations = complete_from_cloud(locate_pictures(frame), cloud)
    reading = _Reading(frame, locations, cloud)
    named = [Path(path) for path in exporter(reading.pictures(), folder)]
    written = [str(path) for path in named if path.is_relative_to(folder)]
    if len(written) != len(reading.given):
        raise ImagenError(
            f"the format {format} named {len(written)} files in its folder for"
            f" {len(reading.given)} pictures: tell those who wrote it"
        )
    file_of = dict(zip(reading.given, written, strict=True))
    if reading.reasons:
        reason = next(iter(reading.reasons.values()))
        count = len(reading.reasons)
        print_notice(f"{count} of {len(frame)} pictures are not exported: {reason}")
    columns = {
        "id": [location.picture.id for location in locations],
        "path": [file_of.get(place) for place in range(len(frame))],
        "reason": [reading.reasons.get(place) for place in range(len(frame))],
    }
    return pd.DataFrame(columns, index=frame.index, dtype="str")


class _Reading:
    """Reads pictures for an exporter, some at a time.

    Invariant: each position of the frame is in `given`, or in `reasons` with why not,
    once `pictures` has come to it.
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        locations: list[PictureLocation],
        cloud: Cloud | None,
    ) -> None:
        self._locations, self._cloud = locations, cloud
        columns = [name for name in frame.columns if name not in _NOTHING_TO_OTHERS]
        self._rows = json_rows(frame[columns])
        self._names: Counter[str] = Counter()
        self.given: list[int] = []
        self.reasons: dict[int, str] = {}

    def pictures(self) -> Iterator[ExportedPicture]:
        """Yield those that can be had, in the order of the frame."""
        total = len(self._locations)
        with progress_bar("exporting") as count:
            for start in range(0, total, PICTURES_PER_BATCH):
                part = self._locations[start : start + PICTURES_PER_BATCH]
                loaded = map_in_threads(
                    part, lambda one: load_picture_file(one, self._cloud)
                )
                for place, data in enumerate(loaded, start):
                    row = _row_for_others(next(self._rows))
                    if isinstance(data, ImagenError):
                        self.reasons[place] = str(data)
                        continue
                    self.given.append(place)
                    yield ExportedPicture(self._free_name(place), data, row)
                count(start + len(part), total)

    def _free_name(self, place: int) -> str:
        picture = self._locations[place].picture
        stem, suffix = download_name(picture.storage_path, picture.id)
        self._names[stem] += 1
        return str(Path(numbered_name(stem, self._names[stem])).with_suffix(suffix))


def _row_for_others(row: dict[str, Any]) -> dict[str, Any]:
    """Return the values as JSON has them: no infinity, and text for other objects.

    A frame may have been in a file meanwhile: then tags may be JSON, or an array.
    """
    text = json.dumps(plain_value(row), default=str)
    values: dict[str, Any] = json.loads(text, parse_constant=lambda name: None)
    return values | {name: parse_tags(row[name]) for name in ("tags",) if name in row}
