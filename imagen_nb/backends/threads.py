"""How many threads a CPU draws with: sums are split by it, so the last bits depend on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

MOST = 256  # of a record, which may say anything


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Draw with so many threads, as long as this lasts; None or nonsense changes nothing."""
    if count is None or not 0 < count <= MOST:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
