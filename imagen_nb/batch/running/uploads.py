"""Copies a batch's pictures to the cloud while it runs, and what is left at its end.

A warm kernel closes its session with each notebook, sooner than a background upload begins: whoever
runs the batch sends for all of them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path

from imagen_nb.cloud.sync_report import SyncReport
from imagen_nb.config.settings import Settings
from imagen_nb.errors import ImagenError
from imagen_nb.studio.studio import Studio
from imagen_nb.system.terminal import print_notice

_UPLOAD_INTERVAL_S = 10.0


class Uploads:
    """A thread that sends what waits in the folders it was told of, every ten seconds.

    Invariant: nothing that goes wrong here is raised; one line on stderr says it, at the end.
    """

    def __init__(self, settings: Settings, cloud: bool | None) -> None:
        """Starts nothing. With cloud=False, or without a Supabase, nothing is ever sent."""
        self._settings, self._cloud = settings, cloud
        self._studios: dict[Path, Studio] = {}
        self._told, self._ending = threading.Event(), threading.Event()
        self._thread = threading.Thread(
            target=self._run, daemon=True, name="imagen-batch-uploads"
        )

    def __enter__(self) -> Uploads:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._end()
        for studio in self._studios.values():
            studio.close()

    def wanted(self, pictures: Iterable[str]) -> None:
        """There are new pictures at these paths."""
        for folder in {Path(path).parent for path in pictures} - self._studios.keys():
            output = self._settings.output.model_copy(update={"dir": folder})
            settings = self._settings.model_copy(update={"output": output})
            studio = Studio(settings, background=False)
            if folder.is_dir() and studio.copies(self._cloud):
                self._studios = {
                    **self._studios,
                    folder: studio,
                }  # the thread may be reading
        self._told.set()

    def finish(self) -> None:
        """Send what is left, and say what could not be sent."""
        self._end()
        report = self.send(None)
        if report.trouble or report.failed or report.pending:
            why = f": {report.trouble}" if report.trouble else ""
            print_notice(
                f"cloud sync: {len(report.failed)} pictures failed and {report.pending} are "
                f"pending{why}; all are kept, `imagen sync` tries again"
            )

    def send(self, timeout: float | None) -> SyncReport:
        """Send what waits now, for at most so many seconds a folder."""
        return sum(
            (_sync_studio(studio, timeout) for studio in self._studios.values()),
            SyncReport(),
        )

    def _end(self) -> None:
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ending.wait(_UPLOAD_INTERVAL_S):
            if self._told.is_set():
                self._told.clear()
                self.send(_UPLOAD_INTERVAL_S)


def _sync_studio(studio: Studio, timeout: float | None) -> SyncReport:
    try:
        return studio.sync(timeout)
    except ImagenError as error:
        return SyncReport(trouble=str(error))
