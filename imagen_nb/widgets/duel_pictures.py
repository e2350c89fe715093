"""The files of a duel's pictures, as a browser gets them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

from imagen_nb.cloud.account import NOT_CONFIGURED
from imagen_nb.cloud.errors import UnreachableError
from imagen_nb.cloud.picture_cache import cached_picture
from imagen_nb.errors import ImagenError
from imagen_nb.frames.pictures.locate import (
    NO_ROW,
    PictureLocation,
    complete_from_cloud,
)
from imagen_nb.frames.pictures.parallel import map_in_threads
from imagen_nb.studio.default import studio
from imagen_nb.widgets.rows import GalleryRows
from imagen_nb.widgets.thumbnails import enlarged_picture, thumbnail_or_error

_IN_MEMORY = 32  # pictures, which come again soon; of a megabyte at most


class DuelPictures:
    """Loads pictures by their ids; the last ones stay in memory. For one thread.

    Attributes:
        answered: set when the first two were loaded.
    """

    def __init__(self, rows: GalleryRows, ids: Sequence[str]) -> None:
        self._rows = rows
        self._position = {id: position for position, id in enumerate(ids)}
        self._files: dict[str, bytes] = {}
        self.answered = threading.Event()

    def load(self, ids: Sequence[str]) -> tuple[list[bytes], dict[str, str]]:
        """Return the files, and why some cannot be had, by id: then no files.

        Where the cloud is out of reach, all that are only there cannot be had.
        """
        cloud = studio().reader()
        unknown = [id for id in ids if id not in self._files]
        places = complete_from_cloud(self._places(unknown), cloud)
        made = map_in_threads(places, lambda place: enlarged_picture(place, cloud))
        lacking: dict[str, str] = {}
        for id, place, one in zip(unknown, places, made, strict=True):
            if not isinstance(one, ImagenError):
                self._files[id] = one
                continue
            lacking[id] = str(one)
            if _is_out_of_reach(place, one):
                lacking |= self.unavailable(str(one))
        if lacking:
            return [], lacking
        files = [self._files.pop(id) for id in ids]
        self._files |= dict(zip(ids, files, strict=True))  # used last
        for id in [*self._files][:-_IN_MEMORY]:
            del self._files[id]
        self.answered.set()
        return files, {}

    def unavailable(self, out_of_reach: str | None = None) -> dict[str, str]:
        """Return, by id, why pictures cannot be had, as far as nobody need be asked.

        `out_of_reach`: why the cloud cannot be read, if it cannot.
        """
        why = out_of_reach if studio().reader() else NOT_CONFIGURED
        return {
            id: f"not on this machine, and {place.not_in_cloud or why}"
            for id, place in self._only_in_cloud()
            if place.not_in_cloud or why
        }

    def _only_in_cloud(self) -> Iterator[tuple[str, PictureLocation]]:
        ids = [*self._position]
        for id, place in zip(ids, self._places(ids), strict=True):
            if not place.local and cached_picture(place.picture) is None:
                yield id, place

    def thumbnails(self, ids: Sequence[str]) -> list[bytes]:
        """Return small pictures; empty where one cannot be had."""
        cloud = studio().reader()
        places = complete_from_cloud(self._places(ids), cloud)
        made = [thumbnail_or_error(place, cloud) for place in places]
        return [one if isinstance(one, bytes) else b"" for one in made]

    def _places(self, ids: Sequence[str]) -> list[PictureLocation]:
        return self._rows.places([self._position[id] for id in ids])


def _is_out_of_reach(place: PictureLocation, error: ImagenError) -> bool:
    """Return whether it is the cloud that cannot be read, rather than this picture."""
    if place.lookup_error is not None:
        return place.lookup_error != NO_ROW
    return isinstance(error, UnreachableError)
