"""How much memory the kernel holds, and how much of it is too much."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imagen_nb.backends.flux.drawing.loaded import LoadedModel

GROWTH = 2 * 2**30  # bytes above what the kernel weighed after its first notebook
_WORTH_A_SEARCH = (
    2**28
)  # bytes of growth after which all memory is searched, not just the young


class Memory:
    """Watches the weight, and keeps the loaded models from one notebook to the next.

    Invariant: what the garbage collector passes over was alive when a notebook was cleaned away.
    """

    def __init__(self) -> None:
        self._first: int | None = (
            None  # weight after the first notebook, without models
        )
        self._searched = 0  # weight when all was last searched
        self._models: list[LoadedModel] = []

    def keep_models(self) -> None:
        """Hold the models that are loaded, before the session that draws with them ends."""
        self._models = _in_memory()

    def left(self, bound: int | None) -> list[str]:
        """Why it is too heavy, if it is; models are given up before the kernel is.

        `bound`: bytes; None for the usual, which counts from what the first notebook left, and
        to which models that were loaded later are added.
        """
        weight = resident()
        if self._first is None:
            self._searched = weight  # all was young until now, and has been searched
        elif weight > self._searched + _WORTH_A_SEARCH:
            weight = self._search()
        if weight > self._limit(weight, bound) and self._models:
            self._models.clear()
            weight = self._search()
        limit = self._limit(weight, bound)
        gc.freeze()  # what libraries made, or each notebook's end would search through it again
        heavy = weight > limit
        return [
            f"it holds {weight / 1e9:.2f} GB, and {limit / 1e9:.2f} is the bound"
        ] * heavy

    def _limit(self, weight: int, bound: int | None) -> int:
        models = sum(one.size() for one in self._models)
        if self._first is None:
            self._first = weight - models
        return self._first + models + GROWTH if bound is None else bound

    def _search(self) -> int:
        gc.unfreeze()
        gc.collect()
        self._searched = resident()
        return self._searched


def resident() -> int:
    """Bytes of this process in memory."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def _in_memory() -> list[LoadedModel]:
    loaded = sys.modules.get("imagen_nb.backends.flux.drawing.loaded")
    return loaded.in_memory() if loaded else []
