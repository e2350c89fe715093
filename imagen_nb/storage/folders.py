"""The output folders of a session, each with its files and its catalog."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from pathlib import Path

from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.credentials import PictureSigner
from imagen_nb.storage.names import parse_destination
from imagen_nb.storage.output import PictureFiles
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

    Invariant: each is opened once.
    """

    def __init__(self, default: Path, signer: PictureSigner | None = None) -> None:
        """Open nothing yet.

        `default`: the configured folder; `signer`: what signs the pictures.
        """
        self._default, self._signer = default, signer
        self._open: dict[Path, OutputFolder] = {}
        self._writable: set[Path] = set()
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
        path, stem = self._destination(output, pictures)
        with self._lock:
            opened = self._opened(path)
            if path not in self._writable:
                opened.files.prepare()  # an error should come before drawing
                self._writable.add(path)
            return replace(opened, stem=stem)

    def require_signer(self) -> None:
        """Raise `ConfigError` if pictures are to be signed, and cannot be."""
        if self._signer:
            self._signer.require_ready()

    def catalog(self, output: str | Path | None = None) -> Catalog:
        """Return the catalog of a folder, which may be one that can only be read."""
        path, _ = self._destination(output, 1)
        with self._lock:
            return self._opened(path).catalog

    def catalogs(self) -> list[Catalog]:
        """Return the catalogs of all folders, the configured one's among them."""
        self.catalog()
        with self._lock:
            return [opened.catalog for opened in self._open.values()]

    def _destination(
        self, output: str | Path | None, pictures: int
    ) -> tuple[Path, str | None]:
        if output is None:
            return absolute_path(self._default), None
        return parse_destination(output, pictures)

    def _opened(self, path: Path) -> OutputFolder:
        if path not in self._open:
            self._open[path] = OutputFolder(
                PictureFiles(path, self._signer), Catalog(path)
            )
        return self._open[path]

    def close(self) -> None:
        """Close the catalogs."""
        for opened in self._open.values():
            opened.catalog.close()
