"""Pictures that enter the catalogs of this machine, told of as they come."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from imagen_nb.errors import ImagenError
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.catalog_rows import utc_text
from imagen_nb.system.restartable import RestartableThread

_LOOK_PAUSE_S = 0.4  # between two looks, so that a picture is told of within a second


class NewPictures:
    """A thread that looks for pictures of any program, from when this was made.

    Invariant: the thread runs between `start` and `stop`, and nothing is told twice.

    Args:
        catalogs: returns where to look; asked again at each look.
        tell: called, on the thread, with the ids of new pictures.
        report: called, on the thread, with one line for a catalog that cannot be read.
    """

    def __init__(
        self,
        catalogs: Callable[[], Sequence[Catalog]],
        tell: Callable[[list[str]], None],
        report: Callable[[str], None],
    ) -> None:
        self._catalogs, self._tell, self._report = catalogs, tell, report
        self._begun = utc_text(datetime.now(UTC))
        self._newest: dict[Path, int] = {}  # rows of catalogs that were told of
        self._thread = RestartableThread(self._run, "imagen-local-live")
        self.look()

    def start(self) -> None:
        """Look from now on; a second call changes nothing."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread after its current look."""
        self._thread.stop()

    def look(self) -> list[str]:
        """Return the ids of pictures that came since the last look."""
        return [id for catalog in self._catalogs() for id in self._look_into(catalog)]

    def _run(self, stopped: threading.Event) -> None:
        said = ""
        while not stopped.wait(_LOOK_PAUSE_S):
            try:
                ids = self.look()
                if ids:
                    self._tell(ids)
                said = ""
            except ImagenError as error:
                if str(error) != said:  # once, not at each look
                    said = str(error)
                    self._report(said)

    def _look_into(self, catalog: Catalog) -> list[str]:
        if not catalog.has_any():
            return []
        known = self._newest.get(catalog.folder)
        with catalog.connection() as connection:
            (newest,) = connection.execute("SELECT max(rowid) FROM images").fetchone()
            self._newest[catalog.folder] = newest or 0
            if known == newest:
                return []
            if known is None or known > (newest or 0):  # first seen, or made anew
                rows = connection.execute(
                    "SELECT id FROM images WHERE created_at >= ?", (self._begun,)
                )
            else:
                rows = connection.execute(
                    "SELECT id FROM images WHERE rowid > ?", (known,)
                )
            return [id for (id,) in rows]
