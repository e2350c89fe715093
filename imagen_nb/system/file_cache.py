"""Folders of files that can be made again; the least recently used are removed."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

from imagen_nb.system.atomic import (
    PRIVATE_MODE,
    explain_folder_errors,
    is_temporary,
    remove_stale_files,
    write_atomically,
)

_CHECKS_PER_LIMIT = 64  # looks at the folder while as much as its limit is written


class FileCache:
    """A folder of files, of which the least recently used are removed when it is full.

    Threads and processes may share it: files appear whole, and what one removes another
    makes again. Invariant: it holds at most `limit` bytes, and for each process a 64th
    of that more, written since its last look.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        """Create nothing yet. `limit` is in bytes."""
        self.folder, self.limit = folder, limit
        self._unchecked = limit  # bytes written since the last look
        self._lock = threading.Lock()

    def _put(self, path: Path, data: bytes) -> None:
        with explain_folder_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(path, data, PRIVATE_MODE)
        with self._lock:
            self._unchecked += len(data)
            if self._unchecked * _CHECKS_PER_LIMIT < self.limit:
                return
            self._unchecked = 0
        self._make_room()

    def _make_room(self) -> None:
        remove_stale_files(self.folder)
        found = []
        for entry in os.scandir(self.folder):
            if is_temporary(entry.name):
                continue  # another process is writing it
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
