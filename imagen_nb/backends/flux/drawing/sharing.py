"""Several models on one machine: those that do not draw make room for one that does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from imagen_nb.backends.flux.drawing.card import free_memory, total_card_gb
from imagen_nb.backends.flux.memory.choice import PlanChoice, explain_too_large
from imagen_nb.backends.flux.memory.machine import this_machine
from imagen_nb.backends.flux.memory.plan import Machine, MemoryPlan


class Neighbour(Protocol):
    """A model that holds memory."""

    def give_way(self) -> None:
        """Free it, unless it draws."""

    def size(self) -> int:
        """Return the bytes that it takes of RAM."""


class Chooses(Protocol):
    """Chooses a plan for a machine; for this one as it is now, by default."""

    def __call__(self, *, machine: Machine | None = None) -> PlanChoice:
        """Return the choice."""


def plan_for_all(choose: Chooses, others: Sequence[Neighbour]) -> PlanChoice:
    """Choose by what is free; other models give way if that makes another plan."""
    choice = choose()
    if not others or not choice.machine.gpu_gb:
        return choice
    emptied = replace(choice.machine, gpu_gb=total_card_gb(choice.machine.device))
    if choose(machine=emptied).plan == choice.plan:
        return choice
    for model in others:
        model.give_way()
    return choose()


def make_room(plan: MemoryPlan, others: Sequence[Neighbour]) -> None:
    """Let other models give way, the first ones first, until a plan has what it takes."""
    with_second = plan.text_encoders == "second-card"
    for model in others:
        free_memory()
        machine = this_machine(plan.device, with_second)
        taken_gb = sum(one.size() for one in others) / 1e9
        left = replace(machine, ram_gb=machine.ram_gb - taken_gb)
        if not explain_too_large(plan, left):
            return
        model.give_way()
