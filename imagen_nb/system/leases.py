"""Leases: who holds what, told by lock files that the holder's process keeps locked.

When the process dies, however it dies, the system frees the lock, and the next one takes over what
was held. No clock is asked.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from imagen_nb.system.atomic import explained


class Leases:
    """The lock files of one folder. `free` gives back all that a holder of this name had."""

    def __init__(self, folder: Path, free: Callable[[str], None]) -> None:
        self._folder, self._free = folder, free

    @contextmanager
    def held(self) -> Iterator[str]:
        """A name to hold things under, until the end of the block or of the process."""
        with explained(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = self._lock(name := secrets.token_hex(8))
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
        """Give back what those of these holders had whose process is no more."""
        for name in names:
            lock = self._lock(name)
            with (
                suppress(Timeout),
                lock.acquire(blocking=False),
            ):  # Timeout: its holder lives
                self._free(name)
                Path(lock.lock_file).unlink(missing_ok=True)

    def _lock(self, name: str) -> FileLock:
        # Not thread-local: the lease is the process's, whichever thread gives it back.
        return FileLock(self._folder / f"{name}.lock", thread_local=False)
