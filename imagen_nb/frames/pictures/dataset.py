"""Pictures of a frame, handed to an exporter one after the other."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagen_nb.cloud.client import Cloud
from imagen_nb.errors import ImagenError
from imagen_nb.frames.pictures.batches import PICTURES_PER_BATCH
from imagen_nb.frames.pictures.facts import (
    dataset_captions,
    joined_kind,
    made_smaller,
    require_size,
    row_for_others,
    unique_names,
)
from imagen_nb.frames.pictures.locate import (
    PictureLocation,
    complete_from_cloud,
    load_picture_file,
    locate_pictures,
)
from imagen_nb.frames.pictures.parallel import map_in_threads
from imagen_nb.frames.pictures.splitting import split_by_prompt
from imagen_nb.frames.pictures.staging import Staging
from imagen_nb.frames.plugins.exporters import (
    ExportedPicture,
    Exporter,
    load_exporter,
    require_options,
)
from imagen_nb.frames.schema import json_rows, prompts_of, require_columns
from imagen_nb.system.progress import progress_bar
from imagen_nb.system.terminal import print_notice

if TYPE_CHECKING:
    import pandas as pd

    LoadedFile = tuple[bytes, tuple[int, int] | None]  # with sides that are new

_NOTHING_TO_OTHERS = ("local_path", "cloud")  # columns


@dataclass(frozen=True, slots=True)
class DatasetOptions:
    """What a user asks of a data set, as `Accessor.export` documents it.

    `own`: options of the exporter.
    """

    captions: str | None = None
    split: Mapping[str, float] | None = None
    size: int | None = None
    own: Mapping[str, Any] = field(default_factory=dict)


class Dataset:
    """The pictures of a frame as an exporter gets them, and what becomes of them."""

    def __init__(
        self,
        frame: pd.DataFrame,
        format: str,
        options: DatasetOptions,
        cloud: Cloud | None,
    ) -> None:
        """Check all that is asked; read no picture, and write nothing.

        Raises:
            UsageError: for an unknown format or option, or if the frame lacks columns.
            ImagenError: if the exporter cannot be loaded.
        """
        self._exporter: Exporter = load_exporter(format)
        require_options(format, self._exporter, options.own)
        require_size(options.size)
        self._frame, self._format, self._options = frame, format, options
        self._cloud = cloud
        self._locations = locate_pictures(frame)
        self._captions = dataset_captions(frame, options.captions)
        self._sides = _sides(frame, options.split)
        self._names = unique_names(self._locations)
        columns = [name for name in frame.columns if name not in _NOTHING_TO_OTHERS]
        self._told = frame[columns]
        self._kinds = dict.fromkeys(columns, "none")
        self.purpose = self._survey()

    @property
    def is_resumable(self) -> bool:
        """Whether its exporter can go on where it was broken off."""
        return hasattr(self._exporter, "resume")

    def _survey(self) -> str:
        """Learn the kind of each column; return what tells this export from others."""
        asked = [self._format, str(self._options), self._captions, self._sides]
        digest = hashlib.sha256(json.dumps(asked).encode())
        has_sidecar = "sidecar" in self._kinds
        light = self._told.drop(columns="sidecar") if has_sidecar else self._told
        for row in map(row_for_others, json_rows(light)):
            digest.update(json.dumps(row).encode())
            for name, value in row.items():
                self._kinds[name] = joined_kind(self._kinds[name], value)
        if has_sidecar:
            self._kinds["sidecar"] = "json"
        return digest.hexdigest()

    def write(self, staging: Staging) -> pd.DataFrame:
        """Let the exporter write the pictures that are not there yet.

        Returns:
            The columns id, path (None if there is no file), reason (why) and, of a
            split, split, with the index of the frame.

        Raises:
            ImagenError: if the exporter does not say what it wrote.
        """
        import pandas as pd

        locations = complete_from_cloud(self._locations, self._cloud)
        reasons: dict[int, str] = {}
        total = len(locations)
        with progress_bar("exporting") as count:

            def advance(reading: _Reading) -> None:
                done = len(staging.done) + len(reasons) + len(reading.reasons)
                count(done, total)

            for side in self._options.split or [""]:
                places = [n for n in range(total) if self._sides[n] == side]
                todo = [place for place in places if place not in staging.done]
                reading = _Reading(self, locations, todo, advance)
                self._write_side(staging, side, places, reading)
                reasons |= reading.reasons
        if reasons:
            reason = next(iter(reasons.values()))
            count_of = f"{len(reasons)} of {total}"
            print_notice(f"{count_of} pictures are not exported: {reason}")
        done = staging.done
        columns: dict[str, list[str | None]] = {
            "id": [location.picture.id for location in locations],
            "path": [str(done[n]) if n in done else None for n in range(total)],
            "reason": [reasons.get(n) for n in range(total)],
        }
        if self._options.split:
            columns["split"] = [*self._sides]
        return pd.DataFrame(columns, index=self._frame.index, dtype="str")

    def _write_side(
        self, staging: Staging, side: str, places: Sequence[int], reading: _Reading
    ) -> None:
        folder = staging.folder / side
        own = {*places}
        before = [path for place, path in staging.done.items() if place in own]
        exporter: Any = self._exporter
        if before:
            arguments = (reading.pictures(), folder, before)
            written: Iterable[Path] = exporter.resume(*arguments, **self._options.own)
        else:
            shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
            folder.mkdir(parents=True)
            written = exporter(reading.pictures(), folder, **self._options.own)
        count = 0
        for path in map(Path, written):
            if path.is_relative_to(folder):
                if count < len(reading.given):
                    staging.note(reading.given[count], path)
                count += 1
        if count != len(reading.given):
            raise ImagenError(
                f"the format {self._format} named {count} files in its folder for"
                f" {len(reading.given)} pictures: tell those who wrote it"
            )

    def rows(self, places: Sequence[int]) -> Iterator[dict[str, Any]]:
        """Yield what exporters are told of these rows, as JSON values."""
        return map(row_for_others, json_rows(self._told.iloc[[*places]]))

    def load(self, location: PictureLocation) -> LoadedFile:
        """Return a picture's file, made smaller where that is asked.

        Raise `ImagenError` if it cannot be had.
        """
        data, size = load_picture_file(location, self._cloud), self._options.size
        smaller = made_smaller(data, size) if size else None
        return smaller or (data, None)

    def picture(
        self, place: int, file: LoadedFile, row: dict[str, Any]
    ) -> ExportedPicture:
        """Return a picture as the exporter gets it."""
        data, sides = file
        name = self._names[place]
        if sides:
            name = str(Path(name).with_suffix(".png"))
            new = dict(zip(("width", "height"), sides, strict=True))
            row = {column: new.get(column, value) for column, value in row.items()}
        return ExportedPicture(name, data, row, self._captions[place], self._kinds)


def _sides(frame: pd.DataFrame, split: Mapping[str, float] | None) -> list[str]:
    """Return each picture's side; "" if there is no split."""
    if split is None:
        return [""] * len(frame)
    require_columns(frame, "prompt")
    return split_by_prompt(prompts_of(frame), split)


class _Reading:
    """Reads pictures for an exporter, some at a time.

    Invariant: each position of `todo` is in `given`, or in `reasons` with why not, once
    `pictures` has come to it.
    """

    def __init__(
        self,
        dataset: Dataset,
        locations: Sequence[PictureLocation],
        todo: Sequence[int],
        advance: Callable[[_Reading], None],
    ) -> None:
        self._dataset, self._locations = dataset, locations
        self._todo, self._advance = todo, advance
        self.given: list[int] = []
        self.reasons: dict[int, str] = {}

    def pictures(self) -> Iterator[ExportedPicture]:
        """Yield those that can be had, in the order of the frame."""
        rows = self._dataset.rows(self._todo)
        for start in range(0, len(self._todo), PICTURES_PER_BATCH):
            part = self._todo[start : start + PICTURES_PER_BATCH]
            locations = [self._locations[place] for place in part]
            for place, file in zip(
                part, map_in_threads(locations, self._dataset.load), strict=True
            ):
                row = next(rows)
                if isinstance(file, ImagenError):
                    self.reasons[place] = str(file)
                    continue
                self.given.append(place)
                yield self._dataset.picture(place, file, row)
            self._advance(self)
