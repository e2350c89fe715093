"""Copies a batch's pictures to the cloud while it runs, and the rest at its end.

A warm kernel closes its session after each notebook, before a background upload
begins: the process that runs the batch uploads for all of them.
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
    """A thread that uploads from the folders of a batch's pictures every ten seconds.

    Invariant: no error is raised here; `finish` prints one line on stderr.
    """

    def __init__(self, settings: Settings, cloud: bool | None) -> None:
        """Start nothing yet. With cloud=False, or no Supabase, nothing is sent."""
        self._settings, self._cloud = settings, cloud
        self._studios: dict[Path, Studio] = {}
        self._pictures_added, self._ending = threading.Event(), threading.Event()
        self._thread = threading.Thread(
            target=self._run, daemon=True, name="imagen-batch-uploads"
        )

    def __enter__(self) -> Uploads:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop_thread()
        for studio in self._studios.values():
            studio.close()

    def add(self, paths: Iterable[str]) -> None:
        """Upload the pictures at these paths, and all that wait in their folders."""
        for folder in {Path(path).parent for path in paths} - self._studios.keys():
            output = self._settings.output.model_copy(update={"dir": folder})
            settings = self._settings.model_copy(update={"output": output})
            studio = Studio(settings, background=False)
            if folder.is_dir() and studio.copies(self._cloud):
                # A new dictionary: the thread may be reading the old one.
                self._studios = {**self._studios, folder: studio}
        self._pictures_added.set()

    def finish(self) -> None:
        """Upload the rest, and print a line on stderr if some could not be sent."""
        self._stop_thread()
        report = self.send(None)
        if report.trouble or report.failed or report.pending:
            reason = f": {report.trouble}" if report.trouble else ""
            print_notice(
                f"cloud sync: {len(report.failed)} pictures failed and "
                f"{report.pending} are pending{reason}; all are kept, "
                "`imagen sync` tries again"
            )

    def send(self, timeout: float | None) -> SyncReport:
        """Upload now, for at most `timeout` seconds a folder; None for no limit."""
        reports = (_sync_studio(studio, timeout) for studio in self._studios.values())
        return sum(reports, SyncReport())

    def _stop_thread(self) -> None:
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ending.wait(_UPLOAD_INTERVAL_S):
            if self._pictures_added.is_set():
                self._pictures_added.clear()
                self.send(_UPLOAD_INTERVAL_S)


def _sync_studio(studio: Studio, timeout: float | None) -> SyncReport:
    try:
        return studio.sync(timeout)
    except ImagenError as error:
        return SyncReport(trouble=str(error))
