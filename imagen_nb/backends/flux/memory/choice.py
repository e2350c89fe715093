"""Chooses the memory plan for a machine and a model: the first that fits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from imagen_nb.backends.flux.memory.estimate import Demand, estimate_memory
from imagen_nb.backends.flux.memory.plan import (
    FAST_PLANS,
    FAST_THRESHOLD,
    MEMORY_PLANS,
    Machine,
    MemoryPlan,
)
from imagen_nb.backends.flux.memory.storages import PACKAGES, STORAGES
from imagen_nb.backends.flux.models import ModelSizes

BF16_CAPABILITY = 8.0  # CUDA compute capability from which cards have bfloat16
_CUDNN_CAPABILITY = 9.0  # where cuDNN's attention is known to be the fastest
RAM_SHARE = 0.95  # of the RAM: the rest is the system's
# Of RAM, no plan is called too large that takes no more: these figures are no finer.
_MIN_RAM_GB = 4.0


@dataclass(frozen=True, slots=True)
class PlanChoice:
    """The plan in force and how it was found.

    `fits`: False where nothing fits; then the plan is the one that lacks the least.
    `skipped`: names of better plans, with the reasons why they are not used here.
    `smaller`: plans that fit too and take less, each less than the one before.
    """

    plan: MemoryPlan
    fits: bool
    skipped: tuple[tuple[str, str], ...] = ()
    smaller: tuple[MemoryPlan, ...] = ()
    machine: Machine = field(default_factory=Machine)


def dtype_of(machine: Machine, cpu_dtype: str) -> str:
    """Return what to calculate with: CUDA cards before Ampere have no bfloat16."""
    if not machine.gpu_gb:
        return cpu_dtype
    old = machine.make == "cuda" and machine.capability < BF16_CAPABILITY
    return "float16" if old else "bfloat16"


def candidate_plans(
    machine: Machine,
    base: MemoryPlan,
    memory: Mapping[str, Any],
    cacheable: bool = False,
) -> Iterator[MemoryPlan]:
    """Yield the rows of the table as plans for this machine, each once.

    `base`: dtype and batch of the model. `memory`: what the user sets, over all rows;
    `plan`: fast puts the fast rows first. `cacheable`: whether the model takes so many
    steps that some can be cut short.
    """
    memory = dict(memory)
    rows = dict(MEMORY_PLANS)
    if memory.pop("plan", "auto") == "fast":
        cache = {"first_block_cache": FAST_THRESHOLD if cacheable else 0.0}
        fast = {name: {**row, **cache} for name, row in FAST_PLANS.items()}
        rows = fast | rows
    seen = set()
    for name, row in rows.items():
        plan = replace(base, name=name, **(row | memory))
        if plan.offload != "none" and plan.text_encoders == "kept":
            plan = replace(plan, text_encoders="offloaded")  # as the others are
        plan = _resolved_for(machine, plan)
        unnamed = replace(plan, name="")
        if unnamed not in seen:
            seen.add(unnamed)
            yield plan


def _resolved_for(machine: Machine, plan: MemoryPlan) -> MemoryPlan:
    """Settle what a plan leaves to the machine: cards, and the fastest attention."""
    device = plan.device or machine.device
    on_second = plan.text_encoders == "second-card"
    attention = plan.attention
    if attention == "auto":
        has_cudnn = machine.gpu_gb and machine.capability == _CUDNN_CAPABILITY
        attention = "cudnn" if has_cudnn else "native"
    return replace(
        plan,
        device=device,
        encoder_device=machine.second if on_second else device,
        attention=attention,
    )


def choose_plan(
    machine: Machine,
    sizes: ModelSizes,
    base: MemoryPlan,
    memory: Mapping[str, Any] | None = None,
    demand: Demand | None = None,
    cacheable: bool = False,
) -> PlanChoice | tuple[tuple[str, str], ...]:
    """Return the first plan that fits the machine, or else the one that lacks least.

    See `candidate_plans`; `demand`: what is to be drawn, the model's usual picture by
    default. If no plan can be used at all, return their names, each with the reason.
    """
    plans = [
        estimate_memory(plan, sizes, machine, demand)
        for plan in candidate_plans(machine, base, memory or {}, cacheable)
    ]
    with_loras = demand is not None and demand.lora_gb > 0
    reasons = {plan.name: explain_unusable(plan, machine, with_loras) for plan in plans}
    usable = [plan for plan in plans if not reasons[plan.name]]
    if not usable:
        return tuple(reasons.items())
    reasons |= {plan.name: explain_too_large(plan, machine) for plan in usable}
    fitting = [plan for plan in usable if not reasons[plan.name]]
    if not fitting:
        return _least_lacking(machine, plans, usable, reasons)
    chosen = fitting[0]
    better = plans[: plans.index(chosen)]
    return PlanChoice(
        chosen,
        fits=True,
        skipped=tuple((plan.name, reasons[plan.name]) for plan in better),
        smaller=tuple(_each_smaller(chosen, fitting[1:])),
        machine=machine,
    )


def replan(
    plans: Sequence[MemoryPlan], sizes: ModelSizes, machine: Machine, demand: Demand
) -> list[MemoryPlan]:
    """Return these plans, estimated for what is to be drawn, from the first that fits.

    All of them if none does: the figures may be too high.
    """
    estimated = [estimate_memory(plan, sizes, machine, demand) for plan in plans]
    with_loras = demand.lora_gb > 0
    for index, plan in enumerate(estimated):
        unusable = explain_unusable(plan, machine, with_loras)
        if not (unusable or explain_too_large(plan, machine)):
            return estimated[index:]
    return estimated


def _least_lacking(
    machine: Machine,
    plans: list[MemoryPlan],
    usable: list[MemoryPlan],
    reasons: dict[str, str],
) -> PlanChoice:
    nearest = min(usable, key=lambda plan: _shortage(plan, machine))
    others = [plan for plan in plans if plan != nearest]
    skipped = tuple((plan.name, reasons[plan.name]) for plan in others)
    return PlanChoice(nearest, fits=False, skipped=skipped, machine=machine)


def _each_smaller(plan: MemoryPlan, later: list[MemoryPlan]) -> Iterator[MemoryPlan]:
    """Yield those of the later plans that take less than all before them."""
    for other in later:
        if (other.gpu_gb, other.ram_gb) < (plan.gpu_gb, plan.ram_gb):
            plan = other
            yield plan


def _shortage(plan: MemoryPlan, machine: Machine) -> float:
    """Return the share that it takes of card or RAM, the larger; above 1: too large."""
    card = plan.gpu_gb / machine.gpu_gb if machine.gpu_gb else 0.0
    second = plan.second_gb / machine.second_gb if machine.second_gb else 0.0
    return max(card, second, plan.ram_gb / machine.ram_gb)


def explain_unusable(
    plan: MemoryPlan, machine: Machine, with_loras: bool = False
) -> str:
    """Return what a plan needs besides memory that the machine lacks, or nothing.

    `with_loras`: whether it is to take LoRAs.
    """
    if with_loras and explain_no_loras(plan):
        return explain_no_loras(plan)
    if plan.text_encoders == "second-card" and not machine.second:
        return "text_encoders second-card needs a second graphics card"
    if plan.offload != "none" and not machine.gpu_gb:
        return f"offload {plan.offload} needs a CUDA graphics card"
    if plan.offload != "none" and machine.make == "mps":
        return f"offload {plan.offload} saves nothing: the card's memory is the RAM"
    if plan.attention == "cudnn" and not _has_cuda(machine):
        return "attention cudnn needs a CUDA graphics card"
    if plan.fused_qkv and plan.quantization not in ("none", "fp8-dynamic"):
        return f"fused_qkv does not go with quantization {plan.quantization}"
    return _storage_unusable(plan.quantization, machine)


def explain_no_loras(plan: MemoryPlan) -> str:
    """Return why LoRAs cannot be put into a model held by a plan, or nothing."""
    other = 'set another quantization, as in memory={"quantization": "int8"}'
    if plan.quantization == "layerwise":
        return f"LoRAs do not go with layerwise casting: {other}"
    if plan.quantization == "fp8-dynamic":
        return f"LoRAs do not go with fp8-dynamic: {other}"
    if plan.fused_qkv:
        return 'LoRAs do not go with memory.fused_qkv: set memory={"fused_qkv": False}'
    return ""


def _storage_unusable(quantization: str, machine: Machine) -> str:
    storage = STORAGES[quantization]
    if storage.cuda and not _has_cuda(machine):
        return f"{quantization} needs a CUDA graphics card"
    if storage.float8 and machine.gpu_gb and machine.make == "mps":
        return f"{quantization} needs float8, which Apple's cards have not"
    if storage.cuda and storage.capability > machine.capability:
        return (
            f"{quantization} needs compute capability {storage.capability:g}, "
            f"and the card has {machine.capability:g}"
        )
    if storage.package and storage.package not in machine.packages:
        remedy = PACKAGES[storage.package]
        return f"{quantization} needs {storage.package}: {remedy}"
    return ""


def _has_cuda(machine: Machine) -> bool:
    return machine.gpu_gb > 0 and machine.make == "cuda"


def explain_too_large(plan: MemoryPlan, machine: Machine) -> str:
    """Return which memory is too small for a plan, with both figures; or nothing."""
    if plan.gpu_gb > machine.gpu_gb:
        return f"takes {plan.gpu_gb:.1f} of {machine.gpu_gb:.1f} GB on the card"
    if plan.second_gb > machine.second_gb:
        return f"takes {plan.second_gb:.1f} of {machine.second_gb:.1f} GB on the other"
    if plan.ram_gb > max(_MIN_RAM_GB, machine.ram_gb * RAM_SHARE):
        return f"takes {plan.ram_gb:.1f} of {machine.ram_gb:.1f} GB of RAM"
    return ""
