"""Models in memory: one pipeline for each, however many backends draw with it."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from imagen_nb.backends.flux.drawing.effects import offload_again
from imagen_nb.backends.flux.drawing.encoders import TextEncoders, free_memory
from imagen_nb.backends.flux.drawing.loading import (
    load_pipeline,
    load_vae,
    load_whole_pipeline,
    pipeline_of_class,
)
from imagen_nb.backends.flux.drawing.preview import LatentPreview
from imagen_nb.backends.flux.drawing.prompts import PromptCache
from imagen_nb.backends.flux.loras import Lora, check_goes_with, put
from imagen_nb.backends.flux.memory.machine import plan_for
from imagen_nb.backends.flux.memory.plan import Plan
from imagen_nb.backends.flux.models import Model
from imagen_nb.request.request import Request
from imagen_nb.system.terminal import complain

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline


class LoadedModel:
    """One model's pipeline, loaded when it is first needed, with all that belongs to it.

    Invariant: pipeline and encoded prompts are used by whoever holds `lock`, a batch at a time;
    several threads may draw, and their batches take turns.
    """

    def __init__(self, row: Model, memory: Mapping[str, Any]) -> None:
        """`memory`: what the user sets of its plan."""
        self.lock = threading.Lock()
        self.prompts = PromptCache()
        self.kind = row.kind
        self.preview = LatentPreview(functools.partial(load_vae, row))
        self._row, self._memory = row, memory
        self._smaller: list[Plan] = []  # what is left to fall back to
        self._plan: Plan | None = None
        self._encoders: TextEncoders | None = None  # where they are apart
        self._pipeline: DiffusionPipeline | None = None
        self._loras: tuple[Lora, ...] = ()  # in the pipeline

    @property
    def plan(self) -> Plan:
        """The memory plan in force: the machine's, until that proves too large.

        Raises `BackendError` when there is none that can be used.
        """
        if self._plan is None:
            found = plan_for(self._row, self._memory)
            self._plan, self._smaller = found.plan, [*found.smaller]
            if not found.fits:
                complain(
                    f"{self._row.recorded} is too large for this machine; trying the memory plan "
                    f"{found.plan.name}: `imagen models --plan` tells more"
                )
        return self._plan

    def pipeline(
        self, loras: tuple[Lora, ...] = (), drawer: str = ""
    ) -> DiffusionPipeline:
        """The pipeline with these LoRAs in it, and no others; for whoever holds `lock`.

        `drawer`: the class that shall draw, with the same weights; the one in force by default.

        It has no text encoders where the plan has them apart: see `encode`. Raises `BackendError`
        when it cannot be loaded or a LoRA does not fit.
        """
        check_goes_with(self.plan, loras)
        if self._pipeline is None:
            plan, row = self.plan, self._row
            apart = row.kind.encoders
            self._pipeline = (
                load_pipeline(row, plan, apart)
                if plan.separate
                else load_whole_pipeline(row, plan)
            )
        if drawer and type(self._pipeline).__name__ != drawer:
            self._pipeline = pipeline_of_class(drawer, self._pipeline)
            offload_again(self._pipeline, self.plan)
        if self._loras != loras:
            self._loras = ()
            if not self.plan.separate:
                self.prompts = PromptCache()  # a LoRA may change the encoders
            put(self._pipeline, loras)
            self._loras = loras
        return self._pipeline

    def encode(self, requests: Sequence[Request], loras: tuple[Lora, ...] = ()) -> None:
        """Know the embeddings of all these requests; for whoever holds `lock`.

        Where the encoders are apart, what paints leaves their place free meanwhile.
        """
        if not self.plan.separate:
            pipeline = self.pipeline(loras)  # first: it may begin with new prompts
            self.prompts.learn(pipeline, requests)
        elif not self.prompts.knows(requests):
            self._encoders = self._encoders or TextEncoders(self._row, self.plan)
            with self._room():
                self._encoders.learn(self.prompts, requests)

    def fall_back(self) -> str:
        """Go on with the next smaller plan; what to say of it, or nothing when there is none."""
        if not self._smaller:
            return ""
        before, self._plan = self.plan, self._smaller.pop(0)
        self._drop()
        return (
            f"the card's memory is too small for the plan {before.name} of {self._row.recorded}: "
            f"this session goes on with {self._plan.name}"
        )

    def size(self) -> int:
        """Bytes of its weights in the memory of this process, not of a GPU."""
        parts = self._pipeline.components.values() if self._pipeline else ()
        weights = (
            w
            for part in parts
            if hasattr(part, "parameters")
            for w in part.parameters()
        )
        return sum(weight.nbytes for weight in weights if weight.device.type == "cpu")

    @contextmanager
    def _room(self) -> Iterator[None]:
        """What paints is freed, or out of the card, as long as this lasts."""
        import torch

        if self.plan.text_encoders == "freed":
            self._pipeline, self._loras = None, ()
            free_memory()
        painter = self._pipeline if torch.cuda.is_available() else None
        if painter:
            painter.to("cpu")
        yield
        if painter:
            painter.to("cuda")

    def _drop(self) -> None:
        self._pipeline, self._encoders, self._loras = None, None, ()
        self.prompts = PromptCache()
        free_memory()


_models_lock = threading.Lock()
_LOADED_MODELS: WeakValueDictionary[tuple[str, str, str], LoadedModel] = (
    WeakValueDictionary()
)


def shared_model(row: Model, memory: Mapping[str, Any]) -> LoadedModel:
    """A model's own; memory is freed when the last backend that draws with it is gone."""
    key = (row.source, row.cpu_dtype, str(sorted(memory.items())))
    with _models_lock:
        found = _LOADED_MODELS.get(key)
        if found is None:
            found = _LOADED_MODELS[key] = LoadedModel(row, memory)
        return found


def in_memory() -> list[LoadedModel]:
    """All that are loaded. They stay so for as long as somebody holds what this gives."""
    with _models_lock:
        return [*_LOADED_MODELS.values()]
