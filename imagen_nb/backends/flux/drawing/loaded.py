"""Models in memory: one pipeline for each, however many backends draw with it."""

from __future__ import annotations

import functools
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from imagen_nb.backends.flux.drawing.card import (
    cap_share_on_windows,
    free_memory,
    total_card_gb,
)
from imagen_nb.backends.flux.drawing.effects import offload_again
from imagen_nb.backends.flux.drawing.encoders import TextEncoders
from imagen_nb.backends.flux.drawing.loading import (
    load_pipeline,
    load_vae,
    load_whole_pipeline,
    pipeline_of_class,
)
from imagen_nb.backends.flux.drawing.phases import send_weights_home
from imagen_nb.backends.flux.drawing.preview import LatentPreview
from imagen_nb.backends.flux.drawing.prompts import PromptCache
from imagen_nb.backends.flux.failures import torch_failures
from imagen_nb.backends.flux.loras import LoraFile, require_plan_takes_loras, set_loras
from imagen_nb.backends.flux.memory.machine import plan_for, this_machine
from imagen_nb.backends.flux.memory.plan import (
    MemoryPlan,
    PlanChoice,
    explain_too_large,
)
from imagen_nb.backends.flux.models import Model
from imagen_nb.request.request import Request
from imagen_nb.system.forks import start_anew_in_forks
from imagen_nb.system.terminal import print_notice

if TYPE_CHECKING:
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
        self.preview = LatentPreview(functools.partial(load_vae, row))
        self._row, self._memory = row, memory
        self._smaller: list[
            MemoryPlan
        ] = []  # plans to fall back to, the next one first
        self._plan: MemoryPlan | None = None
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
                planned = self._choose_plan()
            self._plan, self._smaller = planned.plan, [*planned.smaller]
            if not planned.fits:
                print_notice(
                    f"{self._row.recorded} is too large for this machine; trying "
                    f"the memory plan {planned.plan.name}: `imagen models --plan` "
                    "tells more"
                )
        return self._plan

    def _choose_plan(self) -> PlanChoice:
        """Choose by what is free; idle models give way if that makes another plan."""
        machine, others = this_machine(), self._others_in_memory()
        choice = plan_for(self._row, self._memory, machine)
        if not others or not machine.gpu_gb:
            return choice
        emptied = replace(machine, gpu_gb=total_card_gb())
        if plan_for(self._row, self._memory, emptied).plan == choice.plan:
            return choice
        for model in others:
            model.give_way()
        return plan_for(self._row, self._memory)

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
        self._make_room()
        cap_share_on_windows()
        if self.plan.separate:
            return load_pipeline(self._row, self.plan, self._row.kind.encoders)
        return load_whole_pipeline(self._row, self.plan)

    def _make_room(self) -> None:
        """Let idle models give way until the plan has what it takes."""
        for model in self._others_in_memory():
            free_memory()
            others_gb = sum(one.size() for one in self._others_in_memory()) / 1e9
            machine = this_machine()
            left = replace(machine, ram_gb=machine.ram_gb - others_gb)
            if not explain_too_large(self.plan, left):
                return
            model.give_way()

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
        before, memory = (
            self.plan,
            "the card's memory" if self.plan.gpu_gb else "memory",
        )
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
        self.prompts = PromptCache()
        self._unload()
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
        pipeline = self._pipeline
        parts = pipeline.components.values() if pipeline else ()
        networks = [part for part in parts if hasattr(part, "parameters")]
        weights = [weight for network in networks for weight in network.parameters()]
        return sum(weight.nbytes for weight in weights if weight.device.type == "cpu")

    @contextmanager
    def _room_for_encoders(self) -> Iterator[None]:
        """Free transformer and VAE, or keep them off the card, while the block runs."""
        import torch

        if self.plan.text_encoders == "freed":
            self._pipeline, self._loras = None, ()
            free_memory()
        pipeline = self._pipeline if torch.cuda.is_available() else None
        try:
            if pipeline:
                pipeline.to("cpu")
            yield
        finally:
            if pipeline:
                self._return_to_card(pipeline)

    def _return_to_card(self, pipeline: DiffusionPipeline) -> None:
        try:
            pipeline.to("cuda")
        except BaseException:
            self._pipeline, self._loras = None, ()  # half of it may be there
            raise

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
