"""Explains a memory plan to people, and gives it as plain data to programs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from imagen_nb.backends.flux.memory.choice import PlanChoice
from imagen_nb.backends.flux.memory.plan import Machine, MemoryPlan

STORAGE_TEXTS = {
    "none": "as they are",
    "fp8": "in 8 bits, float8 (torchao)",
    "fp8-dynamic": "in 8 bits, float8, and multiplied in it (torchao)",
    "int8": "in 8 bits, int8 (torchao)",
    "layerwise": "the transformer's in 8 bits, each layer widened while it is used",
    "nf4": "in 4 bits, NF4 (bitsandbytes)",
    "gguf": "the transformer's from a GGUF file",
}
OFFLOAD_TEXTS = {
    "none": "the whole model stays where it draws",
    "model": (
        "text encoders, transformer and VAE take turns on the card, and wait in RAM"
    ),
    "group": "blocks come to the card from RAM one after the other",
    "sequential": "every layer comes to the card from RAM by itself: very slow",
}
TEXT_ENCODER_TEXTS = {
    "kept": "stay beside the transformer",
    "second-card": "stay on another card",
    "offloaded": "come to the card for all prompts of a call, then wait in RAM",
    "freed": (
        "are read for all prompts of a call, then freed: they and the transformer "
        "take turns"
    ),
}
_PINNED_TEXT = ", each while the one before works; RAM is pinned for it"
_UNPINNED_TEXT = ", which the card waits for: some 4 times slower"
_PAINTER_STAYS = "transformer and VAE stay where they draw"


def describe_machine(machine: Machine) -> str:
    """Return what there is to draw with, in a phrase."""
    ram = f"{machine.ram_gb:.1f} GB of RAM"
    if not machine.gpu_gb:
        return f"the processor alone, {ram}"
    card = f"a card with {machine.gpu_gb:.1f} GB for use ({_describe_make(machine)})"
    if machine.second:
        card += f" and another with {machine.second_gb:.1f} GB"
    return f"{card}, {ram}"


def _describe_make(machine: Machine) -> str:
    if machine.make == "cuda":
        return f"compute capability {machine.capability:g}"
    return {"rocm": "AMD, ROCm", "mps": "Apple, MPS"}[machine.make]


def explain_plan(model: str, choice: PlanChoice) -> Iterator[str]:
    """Yield the whole explanation of a plan and its alternatives, line by line.

    `model`: what records call it.
    """
    yield f"{model} on {describe_machine(choice.machine)}"
    yield ""
    if not choice.fits:
        yield (
            "Nothing fits this machine (flux-tiny-local does, and hosted models need "
            "none)."
        )
        yield "This comes nearest, and will probably fail:"
    plan = choice.plan
    yield f"Plan {plan.name}, expected to take {describe_expectation(plan)}"
    yield from (f"  {line}" for line in describe_effects(plan))
    yield from _explain_skipped(choice)
    if choice.smaller and choice.machine.gpu_gb:
        plans = (f"{plan.name} ({plan.gpu_gb:.1f} GB)" for plan in choice.smaller)
        yield ""
        yield (
            "Should the card's memory prove too small, a session goes on with the next "
            "of:"
        )
        yield f"  {', '.join(plans)}"


def _explain_skipped(choice: PlanChoice) -> Iterator[str]:
    skipped = choice.skipped
    if not choice.machine.gpu_gb:  # what needs a card is not worth a line each
        skipped = tuple(one for one in skipped if "needs a CUDA" not in one[1])
    if not skipped:
        return
    yield ""
    yield "Better ones, and why not:" if choice.fits else "The others:"
    for name, reason in skipped:
        yield f"  {name}: {reason}"


def describe_expectation(plan: MemoryPlan) -> str:
    """Return what a plan is expected to take at its peak, in a phrase."""
    places = [(plan.gpu_gb, "on the card"), (plan.second_gb, "on the other card")]
    places.append((plan.ram_gb, "of RAM"))
    return " and ".join(f"{size:.1f} GB {place}" for size, place in places if size)


def describe_effects(plan: MemoryPlan) -> Iterator[str]:
    """Yield what a plan does, a line for each effect."""
    yield f"weights: {STORAGE_TEXTS[plan.quantization]}; calculated in {plan.dtype}"
    yield f"places: {describe_places(plan)}"
    if plan.offload == "none" or plan.text_encoders != "offloaded":
        yield f"text encoders: {TEXT_ENCODER_TEXTS[plan.text_encoders]}"
    if plan.vae_tiling:
        yield "decoding: in tiles"
    yield from _describe_speed(plan)
    yield f"pictures drawn together: {plan.batch}"


def describe_places(plan: MemoryPlan) -> str:
    """Return where transformer and VAE are while it draws."""
    if plan.separate:
        return _PAINTER_STAYS
    text = OFFLOAD_TEXTS[plan.offload]
    if plan.offload == "group":
        text += _PINNED_TEXT if plan.pinned else _UNPINNED_TEXT
    return text


def _describe_speed(plan: MemoryPlan) -> Iterator[str]:
    if plan.attention == "cudnn":
        yield "speed: attention is computed by cuDNN"
    if plan.fused_qkv:
        yield "speed: one multiplication instead of three in each attention"
    if plan.compile:
        yield "speed: the transformer's blocks are compiled at the first picture"
    if plan.first_block_cache:
        threshold = f"{plan.first_block_cache:g}"
        yield f"speed: steps that change less than {threshold} are cut short"
    if plan.taylorseer:
        yield f"speed: one step of {plan.taylorseer} is calculated, others predicted"
    if not plan.exact:
        yield "pixels: near those of the plan whole, not the same bits"


def plan_as_data(model: str, choice: PlanChoice) -> dict[str, Any]:
    """Return the choice as JSON values."""
    packages = sorted(choice.machine.packages)
    return {
        "model": model,
        "machine": asdict(choice.machine) | {"packages": packages},
        "plan": asdict(choice.plan),
        "fits": choice.fits,
        "does": [*describe_effects(choice.plan)],
        "skipped": [{"plan": name, "why": why} for name, why in choice.skipped],
        "smaller": [plan.name for plan in choice.smaller],
    }
