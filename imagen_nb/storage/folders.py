"""Output folders, each with its catalog, as one session has opened them."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from pathlib import Path

from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.output import PictureFiles, parse_destination
from imagen_nb.system.paths import absolute


@dataclass(frozen=True, slots=True)
class OutputFolder:
    """One output folder with its catalog; `name` when the user named the file itself."""

    output: PictureFiles
    catalog: Catalog
    name: str | None = None


class OutputFolders:
    """The folders that a session draws into. Invariant: each is opened once, and is writable."""

    def __init__(self, usual: Path) -> None:
        """Opens nothing. `usual`: the configured folder."""
        self._usual = usual
        self._open: dict[Path, OutputFolder] = {}
        self._lock = threading.Lock()

    def home(self, output: str | Path | None = None, pictures: int = 1) -> OutputFolder:
        """Where so many pictures go: the usual folder, or the folder or file that is named.

        Raises `UsageError` when one file is named for several, `StorageError` for a folder that
        cannot be written to.
        """
        if output is None:
            folder, name = absolute(self._usual), None
        else:
            folder, name = parse_destination(output, pictures)
        with self._lock:
            if folder not in self._open:
                home = OutputFolder(PictureFiles(folder), Catalog(folder))
                home.output.prepare()  # better to hear of it before drawing
                self._open[folder] = home
            return replace(self._open[folder], name=name)

    def catalogs(self) -> list[Catalog]:
        """Those of the usual folder and of the others, in the order in which they were opened."""
        self.home()
        with self._lock:
            return [home.catalog for home in self._open.values()]

    def close(self) -> None:
        """Close the catalogs."""
        for home in self._open.values():
            home.catalog.close()
