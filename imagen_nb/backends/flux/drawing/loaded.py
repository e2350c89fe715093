"""Models in memory: one pipeline for each, however many backends draw with it."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from imagen_nb.backends.flux.drawing.card import cap_share_on_windows, free_memory
from imagen_nb.backends.flux.drawing.encoders import TextEncoders
from imagen_nb.backends.flux.drawing.loading import (
    load_pipeline,
    load_vae,
    load_whole_pipeline,
    pipeline_of_class,
)
from imagen_nb.backends.flux.drawing.phases import send_weights_home
from imagen_nb.backends.flux.drawing.placing import (
    drawing_device,
    networks_of,
    offload_again,
)
from imagen_nb.backends.flux.drawing.preview import LatentPreview
from imagen_nb.backends.flux.drawing.prompts import MAX_CACHED_PROMPTS, PromptCache
from imagen_nb.backends.flux.drawing.sharing import make_room, plan_for_all
from imagen_nb.backends.flux.failures import torch_failures
from imagen_nb.backends.flux.loras import LoraFile, require_plan_takes_loras, set_loras
from imagen_nb.backends.flux.memory.choice import explain_no_loras, replan
from imagen_nb.backends.flux.memory.estimate import Demand, demand_of
from imagen_nb.backends.flux.memory.machine import plan_for, sizes_of
from imagen_nb.backends.flux.memory.plan import Machine, MemoryPlan
from imagen_nb.backends.flux.models import Model
from imagen_nb.request.request import Request
from imagen_nb.system.forks import start_anew_in_forks
from imagen_nb.system.terminal import print_notice

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline


class LoadedModel:
    """One model's pipeline, loaded when first needed, with all that belongs to it.

    Invariant: only the holder of `lock` uses the pipeline and the encoded prompts, for
    one batch at a time; where several threads draw, their batches take turns.
    """

    def __init__(self, row: Model, memory: Mapping[str, Any]) -> None:
        """Nothing is loaded yet. `memory`: what the user sets of the memory plan."""
        self.prompts = PromptCache()
        self.kind = row.kind
        self.preview = LatentPreview(partial(load_vae, row))
        self._row, self._memory = row, memory
        self._smaller: list[
            MemoryPlan
        ] = []  # plans to fall back to, the next one first
        self._plan: MemoryPlan | None = None
        self._machine = Machine()  # as it was before the model was loaded
        self._demand: Demand | None = None  # the largest so far
        self._encoders: TextEncoders | None = None  # if the plan has them apart
        self._pipeline: DiffusionPipeline | None = None
        self._loras: tuple[LoraFile, ...] = ()  # in the pipeline
        self._last_used = 0.0  # by the monotonic clock
        self.start_anew()
        start_anew_in_forks(self)

    def start_anew(self) -> None:
        """Make a new lock: in a forked child, the old one may be locked for ever.

        There torch computes in one thread: more would wait for those of OpenMP's pool,
        which the fork left in the parent (as torch's own DataLoader does).
        """
        torch = sys.modules.get("torch")
        if torch:
            torch.set_num_threads(1)
        self.lock = threading.Lock()

    @property
    def plan(self) -> MemoryPlan:
        """The memory plan in force: this machine's, until that proves too large.

        Raise `BackendError` when no plan can be used.
        """
        if self._plan is None:
            with torch_failures(f"cannot plan the memory of {self._row.recorded}"):
                planned = plan_for_all(
                    partial(plan_for, self._row, self._memory, demand=self._demand),
                    self._others_in_memory(),
                )
            self._plan, self._smaller = planned.plan, [*planned.smaller]
            self._machine = planned.machine
            if not planned.fits:
                print_notice(
                    f"{self._row.recorded} is too large for this machine; trying "
                    f"the memory plan {planned.plan.name}: `imagen models --plan` "
                    "tells more"
                )
        return self._plan

    def plan_requests(
        self, requests: Sequence[Request], loras: Sequence[LoraFile] = ()
    ) -> str:
        """Choose the plan for these requests, if they take more than all before.

        Return a line for the user when the plan in force gives way, otherwise "". The
        caller holds `lock`.
        """
        files = [lora.path for lora in loras]
        demand = demand_of(requests, self.kind, files, MAX_CACHED_PROMPTS)
        demand = self._demand.joined(demand) if self._demand else demand
        if demand == self._demand:
            return ""
        self._demand = demand
        before = self.plan
        self._plan, *self._smaller = self._plans_for(demand)
        if self._plan.name == before.name:
            return ""
        self._drop()
        return (
            f"the plan {before.name} of {self._row.recorded} does not do for what is "
            f"drawn now: this session goes on with {self._plan.name}"
        )

    def _plans_for(self, demand: Demand) -> list[MemoryPlan]:
        """Return the plan in force or one in its place, and smaller ones."""
        if demand.lora_gb and explain_no_loras(self.plan):
            choice = plan_for(self._row, self._memory, self._machine, demand)
            return [choice.plan, *choice.smaller]
        plans = [
            replace(plan, batch=min(plan.batch, self.plan.batch))
            for plan in (self.plan, *self._smaller)
        ]
        return replan(plans, sizes_of(self._row), self._machine, demand)

    def _others_in_memory(self) -> list[LoadedModel]:
        """Return the other models that hold memory, that used longest ago first."""
        others = [one for one in in_memory() if one is not self and one.holds_memory()]
        return sorted(others, key=lambda one: one._last_used)

    def pipeline(
        self, loras: tuple[LoraFile, ...] = (), drawer: str = ""
    ) -> DiffusionPipeline:
        """Return the pipeline with exactly these LoRAs in it. The caller holds `lock`.

        `drawer`: the pipeline class that draws, with the same weights; by default the
        class that drew last. Where the plan has the text encoders apart, the pipeline
        has none: see `encode`. Raise `BackendError` when it cannot be loaded, or a LoRA
        does not fit.
        """
        require_plan_takes_loras(self.plan, loras)
        self._last_used = time.monotonic()
        with torch_failures(f"cannot load {self._row.source}"):
            if self._pipeline is None:
                self._pipeline = self._load()
            if drawer and type(self._pipeline).__name__ != drawer:
                self._pipeline = pipeline_of_class(drawer, self._pipeline)
                offload_again(self._pipeline, self.plan)
            if self._loras != loras:
                self._loras = ()
                if not self.plan.separate:
                    self.prompts = PromptCache()  # a LoRA may change the encoders
                set_loras(self._pipeline, loras)
                self._loras = loras
        return self._pipeline

    def _load(self) -> DiffusionPipeline:
        make_room(self.plan, self._others_in_memory())
        cap_share_on_windows(drawing_device(self.plan))
        if self.plan.separate:
            return load_pipeline(self._row, self.plan, self._row.kind.encoders)
        return load_whole_pipeline(self._row, self.plan)

    def encode(
        self, requests: Sequence[Request], loras: tuple[LoraFile, ...] = ()
    ) -> None:
        """Encode the prompts of these requests. The caller holds `lock`.

        Where the plan has the text encoders apart, transformer and VAE make room. Raise
        `BackendError` for what torch raises; nothing is left where it should not be.
        """
        with torch_failures(f"cannot encode the prompts for {self._row.recorded}"):
            if not self.plan.separate:
                pipeline = self.pipeline(loras)  # first: it may empty the prompt cache
                self._encode_with(pipeline, requests)
            elif not self.prompts.knows(requests):
                self._encoders = self._encoders or TextEncoders(self._row, self.plan)
                with self._room_for_encoders():
                    self._encoders.learn(self.prompts, requests)

    def _encode_with(
        self, pipeline: DiffusionPipeline, requests: Sequence[Request]
    ) -> None:
        try:
            self.prompts.learn(pipeline, requests)
        except BaseException as error:
            send_weights_home(pipeline, error)
            raise

    def fall_back(self, pictures: int) -> str:
        """Go on with less memory; return a line for the user, or "" if there is no way.

        Of several pictures drawn together, half as many are; nothing is loaded anew for
        that. Otherwise the next smaller plan is taken, and the pipeline dropped. The
        caller holds `lock`.
        """
        before = self.plan
        memory = "the card's memory" if before.gpu_gb else "memory"
        if pictures > 1:
            self._plan = replace(before, batch=min(before.batch, pictures // 2))
            free_memory()
            return (
                f"{memory} is too small for {pictures} pictures at once with the plan "
                f"{before.name} of {self._row.recorded}: this session draws "
                f"{self._plan.batch} at once"
            )
        if not self._smaller:
            return ""
        smaller = self._smaller.pop(0)
        self._plan = replace(smaller, batch=min(smaller.batch, before.batch))
        self._drop()
        return (
            f"{memory} is too small for the plan {before.name} of "
            f"{self._row.recorded}: this session goes on with {self._plan.name}"
        )

    def give_way(self) -> None:
        """Free what it holds of memory, to be loaded anew when used, unless it draws.

        The encoded prompts stay: a call may be between two of its phases.
        """
        if self.lock.acquire(blocking=False):
            try:
                self._unload()
            finally:
                self.lock.release()

    def holds_memory(self) -> bool:
        """Return whether any of its weights are in memory."""
        return self._pipeline is not None or self._encoders is not None

    def size(self) -> int:
        """Return the bytes of its weights in RAM; what is on a GPU does not count."""
        networks = networks_of(self._pipeline).values() if self._pipeline else ()
        weights = [weight for network in networks for weight in network.parameters()]
        return sum(weight.nbytes for weight in weights if weight.device.type == "cpu")

    @contextmanager
    def _room_for_encoders(self) -> Iterator[None]:
        """Free transformer and VAE, or keep them off the card, while the block runs."""
        if self.plan.text_encoders == "freed":
            self._pipeline, self._loras = None, ()
            free_memory()
        device = drawing_device(self.plan)
        moves = device.type != "cpu" and self.plan.text_encoders != "second-card"
        pipeline = self._pipeline if moves else None
        try:
            if pipeline:
                pipeline.to("cpu", silence_dtype_warnings=True)
            yield
        finally:
            if pipeline:
                self._return_to(device, pipeline)

    def _return_to(self, device: torch.device, pipeline: DiffusionPipeline) -> None:
        try:
            pipeline.to(device)
        except BaseException:
            self._pipeline, self._loras = None, ()  # half of it may be there
            raise

    def _drop(self) -> None:
        self.prompts = PromptCache()
        self._unload()

    def _unload(self) -> None:
        self._pipeline, self._encoders, self._loras = None, None, ()
        free_memory()


_models_lock = threading.Lock()
_LOADED_MODELS: WeakValueDictionary[tuple[str, str, str], LoadedModel] = (
    WeakValueDictionary()
)


def shared_model(row: Model, memory: Mapping[str, Any]) -> LoadedModel:
    """Return the one `LoadedModel` of a model and memory settings, made if need be.

    Its memory is freed when the last backend that draws with it is gone.
    """
    key = (row.source, row.cpu_dtype, str(sorted(memory.items())))
    with _models_lock:
        model = _LOADED_MODELS.get(key)
        if model is None:
            model = _LOADED_MODELS[key] = LoadedModel(row, memory)
        return model


def in_memory() -> list[LoadedModel]:
    """Return all models in memory; they stay there while the caller holds the list."""
    with _models_lock:
        return [*_LOADED_MODELS.values()]
