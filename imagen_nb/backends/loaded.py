"""Models in memory: one pipeline for each, however many backends draw with it."""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from imagen_nb.backends.loading import load, load_vae
from imagen_nb.backends.loras import Lora, put
from imagen_nb.backends.models import Model
from imagen_nb.backends.preview import Preview
from imagen_nb.backends.prompts import PromptCache

if TYPE_CHECKING:
    from diffusers import FluxPipeline


class Loaded:
    """One model's pipeline, loaded when it is first needed, with all that belongs to it.

    Invariant: pipeline and encoded prompts are used by whoever holds `lock`, a batch at a time;
    several threads may draw, and their batches take turns.
    """

    def __init__(self, row: Model) -> None:
        self.lock = threading.Lock()
        self.prompts = PromptCache()
        self.preview = Preview(functools.partial(load_vae, row))
        self._row = row
        self._pipeline: FluxPipeline | None = None
        self._loras: tuple[Lora, ...] = ()  # in the pipeline

    def pipeline(self, loras: tuple[Lora, ...] = ()) -> FluxPipeline:
        """The pipeline with these LoRAs in it, and no others; for whoever holds `lock`.

        Raises `BackendError` when it cannot be loaded or one does not fit.
        """
        if self._pipeline is None:
            self._pipeline = load(self._row)
        if self._loras != loras:
            self._loras, self.prompts = (), PromptCache()  # a LoRA may change the encoders
            put(self._pipeline, loras)
            self._loras = loras
        return self._pipeline

    def size(self) -> int:
        """Bytes of its weights in the memory of this process, not of a GPU."""
        parts = self._pipeline.components.values() if self._pipeline else ()
        weights = (w for part in parts if hasattr(part, "parameters") for w in part.parameters())
        return sum(weight.nbytes for weight in weights if weight.device.type == "cpu")


_lock = threading.Lock()
_KNOWN: WeakValueDictionary[tuple[str, str], Loaded] = WeakValueDictionary()


def loaded(row: Model) -> Loaded:
    """A model's own; memory is freed when the last backend that draws with it is gone."""
    key = (row.source, row.cpu_dtype)
    with _lock:
        found = _KNOWN.get(key)
        if found is None:
            found = _KNOWN[key] = Loaded(row)
        return found


def in_memory() -> list[Loaded]:
    """All that are loaded. They stay so for as long as somebody holds what this gives."""
    with _lock:
        return [*_KNOWN.values()]
