"""Local FLUX through diffusers: any model of FLUX layout, on a GPU or the CPU."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from imagen_nb.backends import Availability, Drawn, Progress
from imagen_nb.backends.flux.custom import custom_model
from imagen_nb.backends.flux.drawing.drawing import DrawCall
from imagen_nb.backends.flux.drawing.loaded import shared_model
from imagen_nb.backends.flux.drawing.loading import CardMemoryError
from imagen_nb.backends.flux.drawing.phases import parts_of
from imagen_nb.backends.flux.loras import named, need_peft, read
from imagen_nb.backends.flux.memory.keys import checked
from imagen_nb.backends.flux.memory.plan import Plan
from imagen_nb.backends.flux.models import (
    FLUX_DEV,
    FLUX_FILL,
    FLUX_KLEIN,
    FLUX_KONTEXT,
    FLUX_KREA,
    FLUX_SCHNELL,
    Model,
)
from imagen_nb.backends.flux.weights import found, lacking, missing_line
from imagen_nb.errors import UsageError
from imagen_nb.request.request import Request
from imagen_nb.system.paths import portable
from imagen_nb.system.terminal import complain

if TYPE_CHECKING:
    from imagen_nb.backends.flux.loras import Loras

    Memory = Mapping[str, Any]


class Preset(Protocol):
    """What makes the backend of one row, not yet loaded."""

    def __call__(
        self, loras: Loras | None = None, memory: Memory | None = None
    ) -> FluxBackend:
        """With these LoRAs, and what of its memory plan is set."""
        ...


def preset(row: Model) -> Preset:
    """What makes a row's backend."""

    def make(loras: Loras | None = None, memory: Memory | None = None) -> FluxBackend:
        return FluxBackend(row, loras, memory)

    return make


def custom(
    model: str | None = None, loras: Loras | None = None, memory: Memory | None = None
) -> FluxBackend:
    """Any folder or Hugging Face id of FLUX layout, not yet loaded.

    Raises `UsageError` without a model and `BackendError` for a folder that is no FLUX pipeline.
    """
    if not model:
        raise UsageError(
            "the backend flux needs model=…: a folder or a Hugging Face id"
        )
    row = custom_model(str(model))
    options = {"model": portable(row.folder) if row.folder else row.source}
    return FluxBackend(row, loras, memory, options)


class FluxBackend:
    """Draws with one model's FluxPipeline, with or without LoRAs; loads it at the first picture.

    A call of `draw` takes the LoRAs' files as they are when it begins.
    """

    def __init__(
        self,
        row: Model,
        loras: Loras | None = None,
        memory: Memory | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        """`memory`: what of its memory plan is set. `options`: what records say of the row.

        Raises `UsageError` for loras or memory that are none, `BackendError` for LoRAs that are
        not there.
        """
        wanted = checked(memory)
        self.row = row
        self._options = dict(options or {}) | ({"memory": wanted} if wanted else {})
        self._named = named(loras)
        if self._named:
            need_peft()
            read(self._named)
        self.name, self.model = row.name, row.recorded
        self.defaults, self.limits = (
            row.defaults,
            replace(row.limits, takes=row.kind.takes),
        )
        self._loaded = shared_model(row, wanted)

    @property
    def made_with(self) -> dict[str, Any]:
        """See `imagen_nb.backends.made_with`."""
        return {
            "options": self._options,
            "loras": [lora.recorded() for lora in read(self._named)],
        }

    def availability(self) -> Availability:
        """Whether the weights are here; looks at files only."""
        folder = found(self.row)
        if folder is None or lacking(folder):
            return Availability(False, missing_line(self.row))
        return Availability(True)

    def cost_usd(self, request: Request) -> float:
        """Nothing: the machine is the user's own."""
        return 0.0

    def draw(
        self,
        requests: Sequence[Request],
        progress: Progress | None,
        cancel: threading.Event,
    ) -> Iterator[Drawn]:
        """Draw in batches of like requests; see `Backend.draw`.

        What finds the card's memory too small is drawn once more, with the next smaller plan.
        """
        loras, first, failed = read(self._named), 0, -1
        drawing = DrawCall(
            self._loaded, loras, self._options, requests, progress, cancel
        )
        while first < len(requests):
            try:
                for part in parts_of(requests[first:], self._plan(), self.row.kind):
                    for drawn in drawing.part(part, first):
                        yield drawn
                        first += 1
                return
            except CardMemoryError as error:
                if first == failed:
                    raise
                failed, why = first, str(error)
            # The error is gone by now, and what its frames held of the card's memory with it.
            if not self._fell_back():
                raise CardMemoryError(why)

    def _plan(self) -> Plan:
        with self._loaded.lock:
            return self._loaded.plan

    def _fell_back(self) -> bool:
        """Whether there is a smaller plan to go on with; says so."""
        with self._loaded.lock:
            said = self._loaded.fall_back()
        if said:
            complain(said)
        return bool(said)


schnell, dev, krea = preset(FLUX_SCHNELL), preset(FLUX_DEV), preset(FLUX_KREA)
fill, kontext, klein = preset(FLUX_FILL), preset(FLUX_KONTEXT), preset(FLUX_KLEIN)
