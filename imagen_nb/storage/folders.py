"""The output folders of a session, each with its files and its catalog."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from pathlib import Path

from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.output import PictureFiles, parse_destination
from imagen_nb.system.forks import start_anew_in_forks
from imagen_nb.system.paths import absolute_path


@dataclass(frozen=True, slots=True)
class OutputFolder:
    """One output folder. `stem`: the name without .png if the user named the file."""

    files: PictureFiles
    catalog: Catalog
    stem: str | None = None


class OutputFolders:
    """The folders that a session draws into.

    Invariant: each is opened once, and is writable.
    """

    def __init__(self, default: Path) -> None:
        """Open nothing yet. `default`: the configured folder."""
        self._default = default
        self._open: dict[Path, OutputFolder] = {}
        self.start_anew()
        start_anew_in_forks(self)

    def start_anew(self) -> None:
        """Make a new lock: in a forked child, the old one may be locked for ever."""
        self._lock = threading.Lock()

    def folder(
        self, output: str | Path | None = None, pictures: int = 1
    ) -> OutputFolder:
        """Return where the pictures go, opened and writable.

        Args:
            output: a folder, or the PNG file to write; None is the configured folder.
            pictures: how many they are.

        Raises:
            UsageError: if one file is named for several pictures.
            StorageError: if the folder cannot be written to.
        """
        if output is None:
            path, stem = absolute_path(self._default), None
        else:
            path, stem = parse_destination(output, pictures)
        with self._lock:
            if path not in self._open:
                opened = OutputFolder(PictureFiles(path), Catalog(path))
                opened.files.prepare()  # an error should come before drawing
                self._open[path] = opened
            return replace(self._open[path], stem=stem)

    def catalogs(self) -> list[Catalog]:
        """Return the catalogs of all folders, the configured one's among them."""
        self.folder()
        with self._lock:
            return [opened.catalog for opened in self._open.values()]

    def close(self) -> None:
        """Close the catalogs."""
        for opened in self._open.values():
            opened.catalog.close()
