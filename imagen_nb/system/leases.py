"""Leases: who holds what, by lock files that the holder's process keeps locked.

When the process dies, however it dies, the system frees the lock, and the next process
takes over what was held. No clock is involved.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from imagen_nb.system.atomic import explain_folder_errors


class Leases:
    """The lock files of one folder. `free(name)` gives back all that this holder had."""

    def __init__(self, folder: Path, free: Callable[[str], None]) -> None:
        self._folder, self._free = folder, free

    @contextmanager
    def held(self) -> Iterator[str]:
        """Yield a name to hold things under until the end of the block or the process."""
        with explain_folder_errors(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            name = secrets.token_hex(8)
            lock = self._lock(name)
            lock.acquire(blocking=False)
        try:
            yield name
        finally:
            try:
                self._free(name)
            finally:
                lock.release()
                Path(lock.lock_file).unlink(missing_ok=True)

    def free_the_dead(self, names: Iterable[str]) -> None:
        """Give back what these holders had, of those whose process has ended."""
        for name in names:
            lock = self._lock(name)
            # A timeout means that the holder lives.
            with suppress(Timeout), lock.acquire(blocking=False):
                self._free(name)
                Path(lock.lock_file).unlink(missing_ok=True)

    def _lock(self, name: str) -> FileLock:
        # Not thread-local: the lease is the process's, whichever thread gives it back.
        return FileLock(self._folder / f"{name}.lock", thread_local=False)
