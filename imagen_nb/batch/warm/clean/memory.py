"""How much memory the kernel holds, and how much of it is too much."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imagen_nb.backends.flux.drawing.loaded import LoadedModel

# Above what the kernel weighed after its first notebook.
MAX_GROWTH_BYTES = 2 * 2**30
# After so much growth all memory is searched for garbage, not only what is young.
_SEARCH_GROWTH_BYTES = 2**28


class MemoryWatch:
    """Watches the weight, and keeps the loaded models from one notebook to the next.

    Weights are bytes of resident memory. Invariant: what the garbage collector passes
    over (`gc.freeze`) was alive when a notebook was forgotten.
    """

    def __init__(self) -> None:
        # The weight after the first notebook, without models; None before that.
        self._first: int | None = None
        self._searched = 0  # the weight when all was last searched
        self._models: list[LoadedModel] = []

    def keep_models(self) -> None:
        """Hold the loaded models; call it before the session that has them ends."""
        self._models = _loaded_models()

    def left(self, bound: int | None) -> list[str]:
        """Return why the kernel is too heavy; give up its models before that.

        `bound`: bytes; None for the usual bound, which counts from the weight after the
        first notebook, and to which models that were loaded later are added.
        """
        weight = resident_bytes()
        if self._first is None:
            self._searched = weight  # all was young until now, and has been searched
        elif weight > self._searched + _SEARCH_GROWTH_BYTES:
            weight = self._search()
        if weight > self._limit(weight, bound) and self._models:
            self._models.clear()
            weight = self._search()
        limit = self._limit(weight, bound)
        # Or each notebook's end would search again through all that libraries made.
        gc.freeze()
        if weight <= limit:
            return []
        return [f"it holds {weight / 1e9:.2f} GB, and {limit / 1e9:.2f} is the bound"]

    def _limit(self, weight: int, bound: int | None) -> int:
        models = sum(one.size() for one in self._models)
        if self._first is None:
            self._first = weight - models
        return self._first + models + MAX_GROWTH_BYTES if bound is None else bound

    def _search(self) -> int:
        """Collect garbage in all memory, and return the weight after that."""
        gc.unfreeze()
        gc.collect()
        self._searched = resident_bytes()
        return self._searched


def resident_bytes() -> int:
    """Return how many bytes of this process are in memory."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def _loaded_models() -> list[LoadedModel]:
    loaded = sys.modules.get("imagen_nb.backends.flux.drawing.loaded")
    return loaded.in_memory() if loaded else []
