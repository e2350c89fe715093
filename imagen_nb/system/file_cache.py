"""Folders of files that can be made again, of which the least recently used go."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

from imagen_nb.system.atomic import PRIVATE, explained, sweep, write_whole

_LOOKS = (
    64  # how often the folder is looked through while as much as its limit is written
)


class Shelf:
    """A folder of files; the least recently used go when together they take too much room.

    Threads and processes may share it: files appear whole, and what one removes another makes
    again. Invariant: at most `limit` bytes are in it, but for what was written since the last look
    (a 64th of it for each process).
    """

    def __init__(self, folder: Path, limit: int) -> None:
        """Creates nothing."""
        self.folder, self.limit = folder, limit
        self._unlooked = limit  # bytes written since the last look
        self._lock = threading.Lock()

    def _put(self, path: Path, data: bytes) -> None:
        with explained(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            write_whole(path, data, PRIVATE)
        with self._lock:
            self._unlooked += len(data)
            if self._unlooked * _LOOKS < self.limit:
                return
            self._unlooked = 0
        self._make_room()

    def _make_room(self) -> None:
        sweep(self.folder)
        found = []
        for entry in os.scandir(self.folder):
            with suppress(OSError):  # another process makes room, too
                stat = entry.stat(follow_symlinks=False)
                found.append((stat.st_mtime_ns, stat.st_size, entry.path))
        left = sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if left <= self.limit:
                return
            with suppress(OSError):
                os.unlink(path)
            left -= size
