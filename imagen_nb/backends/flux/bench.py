"""Times the memory plans of a model on this machine, each with a pipeline of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from imagen_nb.backends.flux.backend import FluxBackend
from imagen_nb.backends.flux.drawing.encoders import free_memory
from imagen_nb.backends.flux.libraries import versions
from imagen_nb.backends.flux.memory.machine import plan_for
from imagen_nb.backends.flux.memory.plan import ROWS, Machine, Plan, Planned
from imagen_nb.backends.flux.memory.words import machine_said
from imagen_nb.backends.flux.models import Model
from imagen_nb.errors import BackendError
from imagen_nb.request.request import Request, resolve

if TYPE_CHECKING:
    from PIL.Image import Image

PROMPT = "a tiny lighthouse on a stormy cliff, photo"


@dataclass(frozen=True, slots=True)
class Timed:
    """One plan: seconds of the first picture, loading included, and of the same one once more.

    `peak_gb` is of the card, 0 without one; `error` says why there are no figures.
    """

    plan: str
    expected_gb: float
    first_s: float = 0.0
    next_s: float = 0.0
    peak_gb: float = 0.0
    error: str = ""

    @property
    def outcome(self) -> str:
        """In a phrase."""
        return self.error or f"{self.next_s:.1f} s a picture, {self.peak_gb:.1f} GB"

    def as_data(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def plans_of(row: Model, machine: Machine) -> list[Plan]:
    """The plan of a machine and all smaller ones."""
    found: Planned = plan_for(row, {}, machine)
    return [found.plan, *found.smaller]


def timed(row: Model, machine: Machine, steps: int | None = None) -> Iterator[Timed]:
    """Draw two pictures with each plan, one plan after the other."""
    for plan in plans_of(row, machine):
        yield _timed(row, plan, steps)
        free_memory()


def _timed(row: Model, plan: Plan, steps: int | None) -> Timed:
    backend = FluxBackend(row, memory=dict(ROWS[plan.name]) | {"batch": 1})
    request = resolve(
        PROMPT, defaults=backend.defaults, limits=backend.limits, seed=1, steps=steps,
        extras={name: _white(row) for name in backend.limits.takes.needs},
    )  # fmt: skip
    _forget_peak()
    try:
        first = _seconds(backend, request)
        second = _seconds(backend, request)
    except BackendError as error:
        return Timed(plan.name, plan.gpu_gb, error=str(error))
    return Timed(plan.name, plan.gpu_gb, round(first, 2), round(second, 2), _peak())


def _white(row: Model) -> Image:
    """An image to paint over, and a mask that says all of it."""
    import PIL.Image

    return PIL.Image.new("L", (row.defaults.width, row.defaults.height), 255)


def _seconds(backend: FluxBackend, request: Request) -> float:
    started = time.perf_counter()
    for _ in backend.draw([request], None, threading.Event()):
        pass
    return time.perf_counter() - started


def _forget_peak() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def _peak() -> float:
    import torch

    return (
        round(torch.cuda.max_memory_allocated() / 1e9, 2)
        if torch.cuda.is_available()
        else 0.0
    )


def markdown(model: str, machine: Machine, rows: Sequence[Timed]) -> str:
    """The figures as a table to paste, with what they were measured on."""
    libraries = ", ".join(f"{name} {version}" for name, version in versions())
    lines = [
        f"{model} on {machine_said(machine)}; {libraries}",
        "",
        "| plan | expected GB | peak GB | first picture, s | next picture, s |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        cells = f"{row.peak_gb:.1f} | {row.first_s:.1f} | {row.next_s:.1f}"
        lines.append(f"| {row.plan} | {row.expected_gb:.1f} | {row.error or cells} |")
    return "\n".join(lines)
