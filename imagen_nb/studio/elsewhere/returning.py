"""Brings pictures of finished jobs into this session's folders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from imagen_nb.backends import FinishedFile
from imagen_nb.storage.folders import OutputFolders
from imagen_nb.storage.picture import Picture
from imagen_nb.storage.writer import Writer
from imagen_nb.studio.elsewhere.boxes import Boxes


@dataclass(frozen=True, slots=True)
class Returning:
    """What handles of jobs need of their session."""

    boxes: Boxes
    folders: OutputFolders
    writer: Writer

    def pictures_here(self, ids: list[UUID]) -> dict[UUID, Picture]:
        """Return those of these pictures that a catalog of the session has."""
        return {
            entry.record.id: Picture(
                entry.record, entry.path, entry.sidecar_path, catalog
            )
            for catalog in self.folders.catalogs()
            for entry in catalog.get_many(ids)
        }

    def keep(self, file: FinishedFile, output: str | Path | None) -> Picture:
        """Keep a picture as it is. Raises `StorageError` if it cannot be kept."""
        return self.writer.keep_finished(file, self.folders.folder(output)).result()
