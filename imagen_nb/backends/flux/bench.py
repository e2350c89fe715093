"""Times the memory plans of a model on this machine, each with its own pipeline."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from imagen_nb.backends.flux.backend import FluxBackend
from imagen_nb.backends.flux.drawing.card import free_memory
from imagen_nb.backends.flux.libraries import library_versions
from imagen_nb.backends.flux.memory.machine import plan_for
from imagen_nb.backends.flux.memory.plan import Machine, MemoryPlan, memory_of_row
from imagen_nb.backends.flux.memory.words import describe_machine
from imagen_nb.backends.flux.models import Model
from imagen_nb.errors import BackendError
from imagen_nb.request.request import Request, resolve

if TYPE_CHECKING:
    from PIL.Image import Image

_BENCH_PROMPT = "a tiny lighthouse on a stormy cliff, photo"
_NEW_PROMPT = "a red boat on a calm sea, photo"


@dataclass(frozen=True, slots=True)
class PlanTiming:
    """One plan: seconds of the first picture, loading included, and of later ones.

    `next_s`: of the same picture again. `new_prompt_s`: of one with another prompt, for
    which a plan may load or move the text encoders. `expected_gb`, `peak_gb`: of the
    card's memory, 0 without a card. `error`: why there are no figures.
    """

    plan: str
    expected_gb: float
    first_s: float = 0.0
    next_s: float = 0.0
    new_prompt_s: float = 0.0
    peak_gb: float = 0.0
    error: str = ""

    @property
    def outcome(self) -> str:
        """Return it in a phrase."""
        return self.error or (
            f"{self.next_s:.1f} s a picture, {self.new_prompt_s:.1f} s with a new "
            f"prompt, {self.peak_gb:.1f} GB"
        )

    def as_data(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def plans_to_time(row: Model, machine: Machine) -> list[MemoryPlan]:
    """Return the plan of a machine and all smaller ones."""
    choice = plan_for(row, {"batch": 1}, machine)
    return [choice.plan, *choice.smaller]


def time_plans(
    row: Model, machine: Machine, steps: int | None = None
) -> Iterator[PlanTiming]:
    """Draw three pictures with each plan, one plan after the other.

    `steps`: the model's own by default. A plan that fails is yielded with its error.
    """
    for plan in plans_to_time(row, machine):
        yield _time_plan(row, plan, steps)
        free_memory()


def _time_plan(row: Model, plan: MemoryPlan, steps: int | None) -> PlanTiming:
    backend = FluxBackend(row, memory=memory_of_row(plan.name) | {"batch": 1})
    request = resolve(
        _BENCH_PROMPT,
        defaults=backend.defaults,
        limits=backend.limits,
        seed=1,
        steps=steps,
        options={name: _white_image(row) for name in backend.limits.takes.needs},
    )
    _reset_peak_memory()
    try:
        first = _seconds_to_draw(backend, request)
        again = _seconds_to_draw(backend, request)
        other = _seconds_to_draw(backend, replace(request, prompt=_NEW_PROMPT))
    except BackendError as error:
        return PlanTiming(plan.name, plan.gpu_gb, error=str(error))
    return PlanTiming(
        plan.name,
        plan.gpu_gb,
        first_s=round(first, 2),
        next_s=round(again, 2),
        new_prompt_s=round(other, 2),
        peak_gb=_peak_memory_gb(),
    )


def _white_image(row: Model) -> Image:
    """Return an image to paint over, which is also a mask of all of it."""
    import PIL.Image

    return PIL.Image.new("L", (row.defaults.width, row.defaults.height), 255)


def _seconds_to_draw(backend: FluxBackend, request: Request) -> float:
    started = time.perf_counter()
    drawn = [*backend.draw([request], None, threading.Event())]
    seconds = time.perf_counter() - started
    for one in drawn:
        _ = one.image  # raises if it came out broken
    return seconds


def _reset_peak_memory() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def _peak_memory_gb() -> float:
    import torch

    if not torch.cuda.is_available():
        return 0.0
    return round(torch.cuda.max_memory_allocated() / 1e9, 2)


def timings_as_markdown(
    model: str, machine: Machine, rows: Sequence[PlanTiming]
) -> str:
    """Return the figures as a Markdown table, with what they were measured on."""
    libraries = ", ".join(f"{name} {version}" for name, version in library_versions())
    lines = [
        f"{model} on {describe_machine(machine)}; {libraries}",
        "",
        "| plan | expected GB | peak GB | first picture, s | next picture, s "
        "| with a new prompt, s |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        seconds = (row.first_s, row.next_s, row.new_prompt_s)
        cells = " | ".join(f"{each:.1f}" for each in (row.peak_gb, *seconds))
        lines.append(f"| {row.plan} | {row.expected_gb:.1f} | {row.error or cells} |")
    return "\n".join(lines)
