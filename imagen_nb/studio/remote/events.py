"""What a worker tells of its jobs, and of the queue when it cannot be reached."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from imagen_nb.errors import CloudError
from imagen_nb.storage.catalog import CatalogEntry
from imagen_nb.system.terminal import print_notice


@dataclass(frozen=True, slots=True)
class WorkEvent:
    """What became of a job.

    Attributes:
        id: of the job, and of its picture.
        state: done: its picture is in the cloud. failed: it cannot be drawn here.
            dropped: its picture is not wanted, as another machine has it, or it was
            cancelled.
        reason: why it failed or was dropped, in one line.
        entry: the picture that is done.
    """

    id: UUID
    state: Literal["done", "failed", "dropped"]
    reason: str = ""
    entry: CatalogEntry | None = None


Tell = Callable[[WorkEvent], None]


class Outage:
    """Whether the queue answers; any thread says so. Each outage is told once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since: set[str] = set()  # which threads were not answered

    def began(self, error: CloudError) -> None:
        """Note that this thread was not answered."""
        with self._lock:
            is_new = not self._since
            self._since.add(threading.current_thread().name)
        if is_new:
            print_notice(f"{error}; what is drawn is kept, and goes up afterwards")

    def ended(self) -> bool:
        """Note that this thread was answered; return whether it was not, before."""
        with self._lock:
            name = threading.current_thread().name
            if name not in self._since:
                return False
            self._since.discard(name)
            is_over = not self._since
        if is_over:
            print_notice("Supabase answers again")
        return True
