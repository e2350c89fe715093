"""Draws with local FLUX through diffusers: any model of its layout, on a GPU or CPU."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from imagen_nb.backends import Availability, Drawn, Progress
from imagen_nb.backends.flux.custom import custom_model
from imagen_nb.backends.flux.drawing.drawing import DrawCall
from imagen_nb.backends.flux.drawing.loaded import shared_model
from imagen_nb.backends.flux.drawing.phases import parts_of
from imagen_nb.backends.flux.failures import CardMemoryError
from imagen_nb.backends.flux.loras import hash_loras, require_peft, validated_loras
from imagen_nb.backends.flux.memory.keys import validated_memory
from imagen_nb.backends.flux.memory.plan import MemoryPlan
from imagen_nb.backends.flux.models import (
    FLUX_DEV,
    FLUX_FILL,
    FLUX_KLEIN,
    FLUX_KONTEXT,
    FLUX_KREA,
    FLUX_SCHNELL,
    Model,
)
from imagen_nb.backends.flux.weights import (
    explain_incomplete,
    explain_missing,
    locate_weights,
)
from imagen_nb.errors import BackendError, UsageError
from imagen_nb.request.request import Request
from imagen_nb.system.paths import portable_path
from imagen_nb.system.terminal import print_notice

if TYPE_CHECKING:
    from imagen_nb.backends.flux.loras import LoraFile, Loras

    Memory = Mapping[str, Any]


class Preset(Protocol):
    """Makes the backend of one row, not yet loaded."""

    def __call__(
        self, loras: Loras | None = None, memory: Memory | None = None
    ) -> FluxBackend:
        """Make it with these LoRAs; `memory`: what is set of its memory plan."""
        ...


def preset_of(row: Model) -> Preset:
    """Return the factory of a row's backend, for the entry point of its name."""

    def make(loras: Loras | None = None, memory: Memory | None = None) -> FluxBackend:
        return FluxBackend(row, loras, memory)

    return make


def custom(
    model: str | None = None, loras: Loras | None = None, memory: Memory | None = None
) -> FluxBackend:
    """Make the backend of any folder or Hugging Face id of FLUX layout, not yet loaded.

    `memory`: what is set of its memory plan, see `MEMORY_KEYS`. Raise `UsageError`
    without a model, and `BackendError` for a folder that holds no FLUX pipeline.

    Example:
        >>> custom("~/models/my-flux", loras=[("ink.safetensors", 0.8)])
    """
    if not model:
        raise UsageError(
            "the backend flux needs model=…: a folder or a Hugging Face id"
        )
    row = custom_model(str(model))
    options = {"model": portable_path(row.folder) if row.folder else row.source}
    return FluxBackend(row, loras, memory, options)


class FluxBackend:
    """Draws with one model, with or without LoRAs; loads it at the first picture.

    A call of `draw` takes the LoRAs' files as they are when it begins.
    """

    def __init__(
        self,
        row: Model,
        loras: Loras | None = None,
        memory: Memory | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        """Make it without loading the model.

        `memory`: what is set of its memory plan. `options`: what records say of the
        row. Raise `UsageError` for invalid loras or memory, `BackendError` for LoRAs
        that are not there.
        """
        memory = validated_memory(memory)
        self.row = row
        self.name, self.model = row.name, row.recorded
        self.defaults = row.defaults
        self.limits = replace(row.limits, takes=row.kind.takes)
        self._options = dict(options or {})
        if memory:
            self._options["memory"] = memory
        self._lora_paths = validated_loras(loras)
        if self._lora_paths:
            require_peft()
            hash_loras(self._lora_paths)
        self._loaded = shared_model(row, memory)

    @property
    def made_with(self) -> dict[str, Any]:
        """See `imagen_nb.backends.made_with`."""
        loras = hash_loras(self._lora_paths)
        return {"options": self._options, "loras": [lora.recorded() for lora in loras]}

    def availability(self) -> Availability:
        """Say whether the weights are on this machine; looks at files only."""
        folder = locate_weights(self.row)
        if folder is None or explain_incomplete(folder):
            return Availability(False, explain_missing(self.row), "weights")
        return Availability(True)

    def cost_usd(self, request: Request) -> float:
        """Return 0: the machine is the user's own."""
        return 0.0

    def draw(
        self,
        requests: Sequence[Request],
        progress: Progress | None,
        cancel: threading.Event,
    ) -> Iterator[Drawn]:
        """Draw in batches of similar requests; see `Backend.draw`.

        A batch for which the memory proves too small is drawn again, with fewer
        pictures or with the next smaller plan, as often as there is one.
        """
        loras, first = hash_loras(self._lora_paths), 0
        drawing = DrawCall(
            self._loaded, loras, self._options, requests, progress, cancel
        )
        self._plan_requests(requests, loras)
        while first < len(requests):
            try:
                for part in parts_of(requests[first:], self._plan(), self.row.kind):
                    for drawn in drawing.part(part, first):
                        yield drawn
                        first += 1
                return
            except CardMemoryError as error:
                why, pictures = str(error), error.pictures
            # The error is gone by now, and what its frames held of the card's memory
            # with it.
            if not self._fall_back(pictures):
                raise CardMemoryError(why)

    def _plan_requests(
        self, requests: Sequence[Request], loras: Sequence[LoraFile]
    ) -> None:
        """Let the plan follow what is drawn, and say so when another one is needed."""
        if not requests:
            return
        with self._loaded.lock:
            notice = self._loaded.plan_requests(requests, loras)
        if notice:
            state = self.availability()
            if not state.available:  # then no plan draws
                raise BackendError(state.reason)
            print_notice(notice)

    def _plan(self) -> MemoryPlan:
        with self._loaded.lock:
            return self._loaded.plan

    def _fall_back(self, pictures: int) -> bool:
        """Go on with less memory and say so; False when there is no way.

        `pictures`: how many were drawn together.
        """
        with self._loaded.lock:
            notice = self._loaded.fall_back(pictures)
        if notice:
            print_notice(notice)
        return bool(notice)


# The entry points of pyproject.toml.
schnell, dev = preset_of(FLUX_SCHNELL), preset_of(FLUX_DEV)
krea, fill = preset_of(FLUX_KREA), preset_of(FLUX_FILL)
kontext, klein = preset_of(FLUX_KONTEXT), preset_of(FLUX_KLEIN)
